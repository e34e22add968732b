// `a2a-task-manager`: the task manager, what agents are written against, and what storages are written against. Engines
// and servers have subpaths of their own (`exports` in package.json), so that each is loaded only when it is used.

export type { JsonObject } from "@bufbuild/protobuf";
export {
  type Artifact,
  type Message,
  type Part,
  Role,
  type StreamResponse,
  type Task,
  TaskState,
} from "../gen/lf/a2a/v1/a2a_pb.ts";
export { type ArtifactStream, artifactFrom } from "./agent/artifact-from.ts";
export type { AsJson, Json } from "./agent/as-json.ts";
export type { CancellableTask } from "./agent/cancellable-task.ts";
export type {
  AbortReason,
  MessageContext,
  MessageProcessor,
  ProcessOptions,
  TaskContext,
  TaskStore,
} from "./agent/message-processor.ts";
export { data, file, text } from "./agent/parts.ts";
export {
  artifact,
  authRequired,
  completed,
  failed,
  inputRequired,
  rejected,
  status,
  textOf,
  type Usage,
  usage,
  usageKey,
  working,
} from "./agent/processor-events.ts";
export type { TaskSubscriber } from "./agent/task-subscriber.ts";
export type { TaskAt } from "./domain/fold.ts";
export type {
  ArtifactInit,
  MessageInit,
  PartDetails,
  PartInit,
  PlainPart,
  ProcessorEvent,
} from "./domain/processor-event.ts";
export type { Caller, ConversationKey, Scope, TaskKey } from "./domain/scope.ts";
export {
  type A2AReason,
  type FieldViolation,
  type GeneralReason,
  type Reason,
  TaskError,
} from "./domain/task-error.ts";
export { isSettled, isTerminal, roleNames, stateNames } from "./domain/task-state.ts";
export type { Conversations } from "./manager/conversations/conversations.ts";
export type { ManagerOptions } from "./manager/options.ts";
export type { ListedTasks } from "./manager/read/list-tasks.ts";
export type { Readiness, ReadinessState } from "./manager/replica/readiness.ts";
export { createTaskManager, type ManagerParts, type SentMessage, type TaskManager } from "./manager/task-manager.ts";
export { type Clock, sleep } from "./runtime/clock.ts";
export { WallClock } from "./runtime/wall-clock.ts";
export { MissingDriverError, type OpenStorageOptions, openStorage } from "./server/open-storage.ts";
// For authors of storages: `checkedStorage` makes a `Storage` of a `StorageEngine`. A storage that implements `Storage`
// itself checks its arguments by the same rules.
export * as checkArguments from "./storage/check-arguments.ts";
export { checkedStorage } from "./storage/checked-storage.ts";
export { compareIds } from "./storage/compare-ids.ts";
export { historyMessageOf } from "./storage/message-of-entry.ts";
export * from "./storage/storage.ts";
export * from "./storage/storage-engine.ts";
export { StorageError } from "./storage/storage-error.ts";
export { type Moment, momentOf } from "./storage/tables/moment.ts";
export { readOperations, writeOperations } from "./storage/tables/operations/operations.ts";
export { runAtOnce, runAwaiting } from "./storage/tables/steps.ts";
export type * from "./storage/tables/tables.ts";
export { tablesEngine } from "./storage/tables/tables-engine.ts";
export { LocalTransactions, type Transactions } from "./storage/tables/transactions.ts";
