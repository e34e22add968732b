import { TaskState } from "../../../../gen/lf/a2a/v1/a2a_pb.ts";
import type { TaskKey } from "../../../domain/scope.ts";
import { isSettled } from "../../../domain/task-state.ts";
import { hashKey } from "../../key.ts";
import type { TaskAppend, TaskCommand } from "../../storage.ts";
import type { AppendOutcome } from "../../storage-engine.ts";
import { lifeTimes, type SqliteContext } from "../thread/context.ts";
import { findRival, messageKey, settleClaim } from "./claims.ts";
import { ensureConversation, removeConversation, scopeKey } from "./conversations.ts";
import { addMessages, removeMessages } from "./message-rows.ts";

/** `TaskAppend` with its entries as one encoded `EntryBatch`. */
export interface AppendArgs {
  readonly key: TaskKey;
  readonly append: Omit<TaskAppend, "batch"> & { readonly batch: EncodedBatch };
}

export interface EncodedBatch {
  readonly id: string;
  readonly count: number;
  /** The size of the entries, without what the batch puts between them. */
  readonly logBytes: number;
  readonly bytes: Uint8Array;
}

type Committed = Extract<AppendOutcome, { readonly outcome: "committed" }>;

/** A task's row as operations pass it on. */
export interface FoundTask {
  readonly id: number;
  readonly conversation: number;
  readonly contextId: string;
  readonly head: number;
  readonly batch: string;
  readonly state: TaskState;
  readonly statusTimeMs: number;
  readonly replica: string;
  readonly runner: string | null;
  readonly fence: bigint;
  readonly snapshotSequence: number;
  readonly messageCount: number;
  /** False if its conversation is past its time or removed: then there is no such task. */
  readonly live: boolean;
}

export function taskKey({ tenant, owner, taskId }: TaskKey): Uint8Array {
  return hashKey(tenant, owner, taskId);
}

/** The task under a key, if it can be found. */
export function findTask(context: SqliteContext, key: TaskKey, nowMs: number): FoundTask | undefined {
  const task = findTaskRow(context, key, nowMs);
  return task?.live === true ? task : undefined;
}

export function appendTask(context: SqliteContext, { key, append }: AppendArgs, nowMs: number): AppendOutcome {
  const task = findTaskRow(context, key, nowMs);
  if (append.create !== undefined) {
    return task?.live === true ? lostTo(task) : createTask(context, key, append, append.create, task, nowMs);
  }
  if (task?.live !== true) {
    return { outcome: "gone" };
  }
  return advanceTask(context, task, append) ? commit(context, key, task, append, nowMs) : lostTo(task);
}

/**
 * The condition and the header in one statement: whether the row was as the append wants it, which then is as the
 * append leaves it.
 */
function advanceTask(context: SqliteContext, task: FoundTask, { after, batch, header }: AppendArgs["append"]): boolean {
  const progress = {
    id: task.id,
    head: task.head + batch.count,
    batch: batch.id,
    logBytes: batch.logBytes,
    fence: header.fence,
    afterHead: after.head,
    afterBatch: after.batch,
    afterFence: after.fence,
  };
  const { state, statusTimeMs, replica } = header;
  const runner = runnerOf(header);
  const unchanged =
    state === task.state && statusTimeMs === task.statusTimeMs && replica === task.replica && runner === task.runner;
  const result = unchanged
    ? context.sql.advanceTask.run(progress)
    : context.sql.changeTask.run({ ...progress, state, statusTimeMs, replica, runner });
  return result.changes === 1;
}

function createTask(
  context: SqliteContext,
  key: TaskKey,
  append: AppendArgs["append"],
  { contextId, claim }: NonNullable<TaskAppend["create"]>,
  past: FoundTask | undefined,
  nowMs: number,
): AppendOutcome {
  const rival = claim === undefined ? undefined : findRival(context, key, claim, nowMs);
  if (rival?.duplicate !== undefined) {
    const { taskId, answer } = rival.duplicate;
    return { outcome: "duplicate", claim: { taskId, answer } };
  }
  if (rival?.otherContent && claim?.strict) {
    return { outcome: "reused" };
  }
  if (past !== undefined) {
    // A task of that id that can't be found any more but still has rows: it makes way, with all that went past its time
    // together with it.
    context.sql.removeTask.run({ id: past.id });
    removeConversation(context, past.conversation);
  }
  const conversation = ensureConversation(context, key, contextId, nowMs);
  const { batch, header } = append;
  const { state, statusTimeMs, replica, fence } = header;
  const made = context.sql.insertTask.run({
    key: taskKey(key),
    conversation: conversation.id,
    scope: scopeKey(key),
    taskId: key.taskId,
    state,
    statusTimeMs,
    replica,
    runner: runnerOf(header),
    fence,
    head: batch.count,
    batch: batch.id,
    logBytes: batch.logBytes,
  });
  if (claim !== undefined) {
    settleClaim(context, key, claim, { conversation: conversation.id }, nowMs);
  }
  const task = {
    id: made.lastInsertRowid as number,
    conversation: conversation.id,
    messageCount: conversation.messageCount,
    head: 0,
  };
  const committed = commit(context, key, task, append, nowMs);
  return rival?.otherContent ? { ...committed, otherContent: true } : committed;
}

/** What an append brings besides the task's row. */
function commit(
  context: SqliteContext,
  key: TaskKey,
  task: Pick<FoundTask, "id" | "conversation" | "messageCount" | "head">,
  { batch, header, messages, handled: answered }: AppendArgs["append"],
  nowMs: number,
): Committed {
  const { count, bytes } = batch;
  context.sql.insertSegment.run({ task: task.id, first: task.head + 1, count, batch: batch.id, bytes });
  if (header.summary !== undefined) {
    context.sql.putSummary.run({ task: task.id, bytes: header.summary });
  }
  for (const requestId of answered) {
    context.sql.deleteRequest.run({ task: task.id, requestId });
  }
  if (messages.length > 0) {
    const rows = messages.map(({ index, messageId, timeMs }) => ({
      key: messageKey(key, messageId),
      messageId,
      timeMs,
      source: { task: task.id, taskId: key.taskId, sequence: task.head + index + 1 },
    }));
    addMessages(context, { id: task.conversation, messageCount: task.messageCount }, rows, nowMs);
  } else if (task.head === 0 || isSettled(header.state)) {
    context.sql.setLastAccess.run({ id: task.conversation, lastAccessMs: nowMs });
  }
  // Readers of this storage are in this process and hear of an append without a wake-up, so there is nobody to name.
  return {
    outcome: "committed",
    head: BigInt(task.head + count),
    watchers: [],
    commands: listRequests(context, task.id),
  };
}

/** The replica, if it has something to do on the task. */
function runnerOf({ state, pending, replica }: AppendArgs["append"]["header"]): string | null {
  return pending || state === TaskState.SUBMITTED || state === TaskState.WORKING ? replica : null;
}

function lostTo({ head, batch, replica, fence }: FoundTask): AppendOutcome {
  return { outcome: "lost", head: BigInt(head), batch, replica, fence };
}

export function deleteTask(context: SqliteContext, { key }: { readonly key: TaskKey }, nowMs: number): boolean {
  const task = findTask(context, key, nowMs);
  if (task === undefined) {
    return false;
  }
  const messages = context.sql.messagesOfTask.all({ task: task.id }).map((row) => row.id as number);
  removeMessages(context, task.conversation, messages);
  context.sql.deleteClaimsOfTask.run({ conversation: task.conversation, taskId: key.taskId });
  context.sql.removeTask.run({ id: task.id });
  return true;
}

export function sendCommand(
  context: SqliteContext,
  { key, request }: { readonly key: TaskKey; readonly request: TaskCommand },
  nowMs: number,
): boolean {
  const task = findTask(context, key, nowMs);
  if (task === undefined) {
    return false;
  }
  context.sql.insertRequest.run({ task: task.id, requestId: request.id, bytes: request.bytes });
  return true;
}

/** A task's open requests, oldest first. */
export function listRequests(context: SqliteContext, task: number): readonly TaskCommand[] {
  return context.sql.listRequests
    .all({ task })
    .map((row) => ({ id: row.request_id as string, bytes: row.bytes as Uint8Array }));
}

function findTaskRow(context: SqliteContext, key: TaskKey, nowMs: number): FoundTask | undefined {
  const row = context.sql.findTask.get({ key: taskKey(key), ...lifeTimes(context, nowMs) });
  if (row === undefined) {
    return undefined;
  }
  return {
    id: row.id as number,
    conversation: row.conversation as number,
    contextId: row.context_id as string,
    head: row.head as number,
    batch: row.batch as string,
    state: row.state as TaskState,
    statusTimeMs: row.status_time_ms as number,
    replica: row.replica as string,
    runner: row.runner as string | null,
    // A fence may be any 64-bit number; read as text, since a number holds 53 bits.
    fence: BigInt(row.fence as string),
    snapshotSequence: row.snapshot_sequence as number,
    messageCount: row.message_count as number,
    live: row.live === 1,
  };
}
