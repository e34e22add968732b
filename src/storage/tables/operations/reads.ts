import type { TaskKey } from "../../../domain/scope.ts";
import type { StoredTask, TaskPage } from "../../storage.ts";
import type { OperationArgs } from "../../storage-engine.ts";
import { StorageError } from "../../storage-error.ts";
import { concat, type EntryRun, entryRanges } from "../entry-batch.ts";
import type { Moment } from "../moment.ts";
import { type Steps, step } from "../steps.ts";
import type { SegmentRow, Tables } from "../tables.ts";
import { findConversation } from "./conversations.ts";
import { readSnapshot } from "./snapshots.ts";
import { findTask, type TaskArgs } from "./tasks.ts";

export function* getTask(
  tables: Tables,
  { key, snapshotLogBytesMax }: OperationArgs<"getTask">,
  at: Moment,
): Steps<StoredTask | undefined> {
  const row = yield* step(tables.header(key, at));
  const wanted = row !== undefined && row.task.logBytes <= snapshotLogBytesMax;
  const found = wanted ? yield* readSnapshot(tables, row) : undefined;
  return found === undefined ? row?.task : { ...(row?.task as StoredTask), snapshot: found };
}

export function* listTasks(tables: Tables, { query }: OperationArgs<"listTasks">, at: Moment): Steps<TaskPage> {
  const { scope, contextId, state, statusTimeMsMin = Number.MIN_SAFE_INTEGER, after, limit } = query;
  let conversation: number | undefined;
  if (contextId !== undefined) {
    conversation = (yield* findConversation(tables, scope, contextId, at))?.id;
    if (conversation === undefined) {
      return { tasks: [], total: 0, more: false };
    }
  }
  const filter = { scope, conversation, state, statusTimeMsMin };
  // One more than asked for says whether there are more.
  const rows = yield* step(tables.pageTasks(filter, after, limit + 1, at));
  const total = yield* step(tables.countTasks(filter, at));
  return { tasks: rows.slice(0, limit).map(({ task }) => task), total, more: rows.length > limit };
}

export function* readTask(
  tables: Tables,
  { key, after, bytesMax }: TaskArgs & { readonly after: number; readonly bytesMax: number },
  at: Moment,
): Steps<EntryRun> {
  const task = yield* findTask(tables, key, at);
  if (task === undefined || after >= task.head) {
    return { batches: [], bytes: new Uint8Array() };
  }
  return takeEntries(yield* step(tables.segments(task.id, after + 1, bytesMax)), key, after + 1, bytesMax);
}

/** Entries from a sequence on: one at least, and no more than fit `bytesMax` besides. */
function takeEntries(segments: Iterable<SegmentRow>, key: TaskKey, from: number, bytesMax: number): EntryRun {
  const batches: { id: string; count: number }[] = [];
  const parts: Uint8Array[] = [];
  let next = from;
  let bytesLeft = bytesMax;
  for (const segment of segments) {
    const part = partOf(segment, key, next, bytesLeft, parts.length === 0);
    if (part.count === 0) {
      break;
    }
    batches.push({ id: segment.batch, count: part.count });
    parts.push(part.bytes);
    next += part.count;
    bytesLeft -= part.entryBytes;
    if (next < segment.first + segment.count) {
      break;
    }
  }
  if (parts.length === 0) {
    throw hole(key, next);
  }
  return { batches, bytes: parts.length === 1 ? (parts[0] as Uint8Array) : concat(parts) };
}

/** The entries of one segment from a sequence on that fit, as a part of its encoding. */
function partOf(
  { first, count, bytes }: SegmentRow,
  key: TaskKey,
  from: number,
  bytesLeft: number,
  atLeastOne: boolean,
): { readonly count: number; readonly entryBytes: number; readonly bytes: Uint8Array } {
  const ranges = entryRanges(bytes);
  const index = from - first;
  if (index < 0 || index >= ranges.length || ranges.length !== count) {
    throw hole(key, from);
  }
  let end = index;
  let entryBytes = 0;
  for (const range of ranges.slice(index)) {
    const size = range.end - range.begin;
    if (entryBytes + size > bytesLeft && (end > index || !atLeastOne)) {
      break;
    }
    entryBytes += size;
    end += 1;
  }
  const isWhole = index === 0 && end === ranges.length;
  const part = isWhole ? bytes : bytes.slice(ranges[index]?.start, ranges[end - 1]?.end);
  return { count: end - index, entryBytes, bytes: part };
}

function hole({ taskId }: TaskKey, sequence: number): StorageError {
  return new StorageError("corrupt", `Entry ${sequence} of task "${taskId}" is missing`);
}
