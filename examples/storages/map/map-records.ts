import { fromBinary } from "@bufbuild/protobuf";
import { type Message, MessageSchema, TaskState } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import {
  type AppendResult,
  compareIds,
  historyMessageOf,
  type MessageClaim,
  type MessagePlace,
  type Retention,
  type Scope,
  type Snapshot,
  type StoredTask,
  type TaskKey,
  type TaskQuery,
} from "../../../src/index.ts";

/** What the map storage keeps, and what can be said of it without changing it. */

/**
 * One incarnation of a conversation: an id used again is another object, so nothing of the old one can belong to it.
 */
export interface Conversation {
  readonly scope: Scope;
  readonly contextId: string;
  lastAccessMs: number;
}

export interface Task {
  readonly key: TaskKey;
  readonly conversation: Conversation;
  /** Entry n is at n - 1. */
  readonly log: { readonly batch: string; readonly bytes: Uint8Array }[];
  state: TaskState;
  statusTimeMs: number;
  replica: string;
  /** Something is left to be done although it isn't running. */
  pending: boolean;
  fence: bigint;
  summary: Uint8Array;
  snapshot: Snapshot | undefined;
  readonly requests: Map<string, Uint8Array>;
  /** Push notification configs, encoded. */
  readonly configs: Map<string, Uint8Array>;
}

/** A message's place in a history. */
export interface Said {
  readonly conversation: Conversation;
  readonly messageId: string;
  readonly timeMs: number;
  /** Undefined for a message that belongs to no task. */
  readonly task: Task | undefined;
  readonly sequence: bigint;
  /** The entry that holds the message, or the message itself. */
  readonly bytes: Uint8Array;
}

export interface Claim {
  readonly scope: Scope;
  readonly claim: MessageClaim;
  readonly endsMs: number;
  /** Where what came of it is; it is held no longer than that. */
  conversation: Conversation | undefined;
  answer: Uint8Array | undefined;
}

/** A string that is equal for the same scope and id, and for nothing else. */
export function keyOf({ tenant, owner }: Scope, id: string): string {
  return JSON.stringify([tenant, owner, id]);
}

export function isSame(a: Scope, b: Scope): boolean {
  return a.tenant === b.tenant && a.owner === b.owner;
}

export function isRunning({ state }: Task): boolean {
  return state === TaskState.SUBMITTED || state === TaskState.WORKING;
}

/** Whether a task keeps its conversation from expiring. */
export function holds(task: Task, { interruptedTtlMs }: Retention, nowMs: number): boolean {
  const waits = task.state === TaskState.INPUT_REQUIRED || task.state === TaskState.AUTH_REQUIRED;
  return isRunning(task) || (waits && task.statusTimeMs + interruptedTtlMs > nowMs);
}

export function headOf({ log }: Task): bigint {
  return BigInt(log.length);
}

export function lastBatchOf({ log }: Task): string {
  return log.at(-1)?.batch ?? "";
}

export function lostTo(task: Task): AppendResult {
  return { outcome: "lost", head: headOf(task), batch: lastBatchOf(task), replica: task.replica, fence: task.fence };
}

/** What a caller is given belongs to him, so every array is a copy. */
export function storedTask(task: Task, withSnapshot: boolean): StoredTask {
  const { key, conversation, log, state, statusTimeMs, replica, fence, summary, snapshot } = task;
  return {
    key: { ...key },
    contextId: conversation.contextId,
    head: headOf(task),
    batch: lastBatchOf(task),
    state,
    statusTimeMs,
    replica,
    fence,
    summary: new Uint8Array(summary),
    logBytes: log.reduce((sum, { bytes }) => sum + bytes.byteLength, 0),
    commands: requestsOf(task),
    ...(withSnapshot &&
      snapshot !== undefined && { snapshot: { sequence: snapshot.sequence, bytes: new Uint8Array(snapshot.bytes) } }),
  };
}

export function requestsOf({ requests }: Task): StoredTask["commands"] {
  return Array.from(requests, ([id, bytes]) => ({ id, bytes: new Uint8Array(bytes) }));
}

export function passes({ key, conversation, state, statusTimeMs }: Task, query: TaskQuery): boolean {
  return (
    isSame(key, query.scope) &&
    (query.contextId ?? conversation.contextId) === conversation.contextId &&
    (query.state ?? state) === state &&
    (query.statusTimeMsMin ?? statusTimeMs) <= statusTimeMs
  );
}

/** The order of lists of tasks: newest status first, then by id, descending. */
export function compareTasks(
  a: { readonly statusTimeMs: number; readonly taskId: string },
  b: { readonly statusTimeMs: number; readonly taskId: string },
): number {
  return b.statusTimeMs - a.statusTimeMs || compareIds(b.taskId, a.taskId);
}

/** The order of histories: time, then task, then sequence. */
export function comparePlaces(a: MessagePlace, b: MessagePlace): number {
  return a.timeMs - b.timeMs || compareIds(a.taskId, b.taskId) || Number(a.sequence - b.sequence);
}

export function placeOf({ timeMs, task, sequence }: Said): MessagePlace {
  return { timeMs, taskId: task?.key.taskId ?? "", sequence };
}

/** The messages at these places; an entry of a kind from a later release holds none. */
export function messagesOf(said: readonly Said[]): readonly Message[] {
  return said
    .map(({ task, conversation: { contextId }, bytes }) =>
      task === undefined
        ? fromBinary(MessageSchema, bytes)
        : historyMessageOf(bytes, { taskId: task.key.taskId, contextId }),
    )
    .filter((message) => message !== undefined);
}
