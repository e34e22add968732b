import type { TaskState } from "../../../../gen/lf/a2a/v1/a2a_pb.ts";
import type { Scope, TaskKey } from "../../../domain/scope.ts";
import type { StoredTask, TaskClaim, TaskPage, TaskQuery } from "../../storage.ts";
import { StorageError } from "../../storage-error.ts";
import { handOver, type LifeTimes, lifeTimes, type Row, type SqliteContext } from "../thread/context.ts";
import { findConversation, scopeKey } from "./conversations.ts";
import { entryRanges } from "./entry-batch.ts";
import { readSnapshot } from "./snapshots.ts";
import { findTask, listRequests, taskKey } from "./tasks.ts";

export function taskExists(context: SqliteContext, { key }: { readonly key: TaskKey }, nowMs: number): boolean {
  return findTask(context, key, nowMs) !== undefined;
}

export function getTask(
  context: SqliteContext,
  { key, snapshot }: { readonly key: TaskKey; readonly snapshot: boolean },
  nowMs: number,
): StoredTask | undefined {
  const row = context.sql.getTask.get({ key: taskKey(key), ...lifeTimes(context, nowMs) });
  if (row === undefined) {
    return undefined;
  }
  const found = snapshot ? readSnapshot(context, row) : undefined;
  return { ...storedTask(context, key, row), ...(found !== undefined && { snapshot: found }) };
}

/**
 * Entries that follow each other: the batches they are of, with how many of each, and all of them encoded as one
 * `EntryBatch`.
 */
export interface EntryRun {
  readonly batches: readonly { readonly id: string; readonly count: number }[];
  readonly bytes: Uint8Array;
}

export function readTask(
  context: SqliteContext,
  { key, after, bytesMax }: { readonly key: TaskKey; readonly after: number; readonly bytesMax: number },
  nowMs: number,
): EntryRun {
  const batches: { id: string; count: number }[] = [];
  const parts: Uint8Array[] = [];
  const task = findTask(context, key, nowMs);
  if (task === undefined || after >= task.head) {
    return { batches, bytes: new Uint8Array() };
  }
  let next = after + 1;
  let bytesLeft = bytesMax;
  for (const row of context.sql.readSegments.iterate({ task: task.id, from: next })) {
    const taken = takeEntries(row, next, bytesLeft, parts.length === 0);
    if (taken.count === 0) {
      break;
    }
    batches.push({ id: row.batch as string, count: taken.count });
    parts.push(taken.bytes);
    next += taken.count;
    bytesLeft -= taken.entryBytes;
    if (!taken.whole) {
      break;
    }
  }
  if (parts.length === 0) {
    throw hole(key, next);
  }
  const bytes = parts.length === 1 ? (parts[0] as Uint8Array) : concat(parts);
  return { batches, bytes: handOver(context, bytes) };

  /** The entries of a segment from a sequence on that fit, as a part of its encoding. `whole`: up to its end. */
  function takeEntries(row: Row, from: number, budget: number, atLeastOne: boolean) {
    const bytes = row.bytes as Uint8Array;
    const ranges = entryRanges(bytes);
    const index = from - (row.first as number);
    if (index < 0 || index >= ranges.length || ranges.length !== row.count) {
      throw hole(key, from);
    }
    let count = 0;
    let entryBytes = 0;
    for (const { begin, end } of ranges.slice(index)) {
      if (entryBytes + end - begin > budget && (count > 0 || !atLeastOne)) {
        break;
      }
      entryBytes += end - begin;
      count += 1;
    }
    const whole = index + count === ranges.length;
    const start = ranges[index]?.start ?? 0;
    const end = ranges[index + count - 1]?.end ?? start;
    const all = index === 0 && whole;
    return { count, entryBytes, whole, bytes: all ? bytes : bytes.slice(start, end) };
  }
}

function hole({ taskId }: TaskKey, sequence: number): StorageError {
  return new StorageError("corrupt", `Entry ${sequence} of task "${taskId}" is missing`);
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.byteLength;
  }
  return bytes;
}

export function listTasks(context: SqliteContext, { query }: { readonly query: TaskQuery }, nowMs: number): TaskPage {
  const { scope, contextId, state, statusTimeMsMin = Number.MIN_SAFE_INTEGER, after, limit } = query;
  const times = lifeTimes(context, nowMs);
  const place = {
    statusTimeMsMin,
    afterTimeMs: after?.statusTimeMs ?? Number.MAX_SAFE_INTEGER,
    afterTaskId: after?.taskId ?? "",
    // One more than asked for tells whether there are more.
    limit: limit + 1,
    ...times,
  };
  let rows: readonly Row[];
  let total: number;
  if (contextId !== undefined) {
    const conversation = findConversation(context, scope, contextId, nowMs)?.id;
    if (conversation === undefined) {
      return { tasks: [], total: 0, more: false };
    }
    const filter = { conversation, state: state ?? null };
    rows = context.sql.pageByConversation.all({ ...filter, ...place });
    total = count(context.sql.countByConversation.get({ ...filter, statusTimeMsMin }));
  } else {
    const key = scopeKey(scope);
    rows =
      state === undefined
        ? context.sql.pageByScope.all({ scope: key, ...place })
        : context.sql.pageByState.all({ scope: key, state, ...place });
    total = countTasks(context, key, state, statusTimeMsMin, times);
  }
  const tasks = rows
    .slice(0, limit)
    .map((row) => storedTask(context, { ...scope, taskId: row.task_id as string }, row));
  return { tasks, total, more: rows.length > limit };
}

function countTasks(
  context: SqliteContext,
  scope: Uint8Array,
  state: TaskState | undefined,
  statusTimeMsMin: number,
  times: LifeTimes,
): number {
  const { sql } = context;
  const all =
    state === undefined
      ? sql.countByScope.get({ scope, statusTimeMsMin })
      : sql.countByState.get({ scope, state, statusTimeMsMin });
  const filter = { scope, state: state ?? null, statusTimeMsMin };
  return count(all) - count(sql.countPast.get({ ...filter, ...times })) - count(sql.countRemoved.get(filter));
}

function count(row: Row | undefined): number {
  return row?.count as number;
}

/** Tasks of dead replicas: from a random place on, so that two callers at once begin with different ones. */
export function claimTasks(context: SqliteContext, { replicas, limit }: TaskClaim): readonly TaskKey[] {
  const keys: TaskKey[] = [];
  for (const replica of shuffle([...new Set(replicas)])) {
    const last = context.sql.lastRunningTask.get({ replica })?.id as number | null;
    if (last === null) {
      continue;
    }
    const start = 1 + Math.floor(Math.random() * last);
    for (const [from, to] of [
      [start, last + 1],
      [1, start],
    ] as const) {
      for (const row of context.sql.runningTasks.all({ replica, from, to, limit: limit - keys.length })) {
        keys.push({ tenant: row.tenant as string, owner: row.owner as string, taskId: row.task_id as string });
      }
    }
    if (keys.length >= limit) {
      break;
    }
  }
  return shuffle(keys);
}

function shuffle<T>(items: T[]): T[] {
  for (let i = items.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [items[i], items[j]] = [items[j] as T, items[i] as T];
  }
  return items;
}

function storedTask(context: SqliteContext, key: Scope & { readonly taskId: string }, row: Row): StoredTask {
  return {
    key: { tenant: key.tenant, owner: key.owner, taskId: key.taskId },
    contextId: row.context_id as string,
    head: BigInt(row.head as number),
    batch: row.batch as string,
    state: row.state as TaskState,
    statusTimeMs: row.status_time_ms as number,
    replica: row.replica as string,
    fence: BigInt(row.fence as string),
    summary: handOver(context, row.summary as Uint8Array),
    logBytes: row.log_bytes as number,
    commands: listRequests(context, row.id as number),
  };
}
