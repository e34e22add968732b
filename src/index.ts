// `a2a-task-manager`: the task manager, what agents are written against, and what storages are written against. Engines
// and servers have subpaths of their own (`exports` in package.json), so that each is loaded only when it is used.

export type { JsonObject } from "@bufbuild/protobuf";
export type { CancellableTask } from "./agent/cancellable-task.ts";
export type {
  AbortReason,
  Json,
  MessageContext,
  MessageProcessor,
  ProcessOptions,
  TaskContext,
} from "./agent/message-processor.ts";
export {
  artifact,
  artifactFrom,
  authRequired,
  completed,
  failed,
  inputRequired,
  rejected,
  status,
  textOf,
  working,
} from "./agent/processor-events.ts";
export type { TaskSubscriber } from "./agent/task-subscriber.ts";
export type { TaskAt } from "./domain/fold.ts";
export type { ProcessorEvent } from "./domain/processor-event.ts";
export type { Caller, ConversationKey, Scope, TaskKey } from "./domain/scope.ts";
export {
  type A2AReason,
  type FieldViolation,
  type GeneralReason,
  type Reason,
  TaskError,
} from "./domain/task-error.ts";
export { isSettled } from "./domain/task-state.ts";
export type { Conversations } from "./manager/conversations/conversations.ts";
export type { ManagerOptions } from "./manager/options.ts";
export type { ListedTasks } from "./manager/read/list-tasks.ts";
export type { Readiness, ReadinessState } from "./manager/replica/readiness.ts";
export { createTaskManager, type ManagerParts, type SentMessage, type TaskManager } from "./manager/task-manager.ts";
export type { Clock } from "./runtime/clock.ts";
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
