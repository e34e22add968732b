import type { Entry } from "../../gen/taskmanager/storage/v1/records_pb.ts";
import type { PlacedEntry } from "../domain/entry.ts";
import { emptyFold, evolve, FoldError, type TaskFold } from "../domain/fold.ts";
import type { TaskKey } from "../domain/scope.ts";
import { TaskError } from "../domain/task-error.ts";
import type { Storage, StoredTask } from "../storage/storage.ts";
import { decodeEntry } from "./entry-codec.ts";
import { readBytesMax } from "./limits.ts";
import { decodeSnapshot } from "./snapshot.ts";

export interface LoadedTask {
  readonly stored: StoredTask;
  /** The fold up to `head`. */
  readonly fold: TaskFold;
  /** The last sequence folded: the stored head, even if the log grew meanwhile. */
  readonly head: bigint;
  /** The id of the batch that ends at `head`. */
  readonly batch: string;
}

/**
 * A task from its log; undefined if there is none. Throws TaskError DATA_LOSS for a damaged log. A task with a log of
 * more than `logBytesMax` is not loaded: `tooLarge` gets its header, and the result is undefined.
 */
export async function loadTask(
  storage: Storage,
  key: TaskKey,
  logBytesMax = Number.MAX_SAFE_INTEGER,
  tooLarge?: (header: StoredTask) => void,
): Promise<LoadedTask | undefined> {
  const stored = await storage.getTask(key, { snapshot: true, logBytesMax });
  if (stored === undefined) return undefined;
  if (stored.logBytes > logBytesMax) {
    tooLarge?.(stored);
    return undefined;
  }
  const fold = startOf(stored, stored.head);
  const complete = await foldUpTo(storage, key, fold, stored);
  return complete ? { stored, fold, head: stored.head, batch: stored.batch } : undefined;
}

/**
 * The task as it was at a sequence; undefined if there is none. The sequence must be from 1 to the head. `logBytesMax`
 * and `tooLarge` are as in `loadTask`.
 */
export async function loadTaskAt(
  storage: Storage,
  key: TaskKey,
  sequence: bigint,
  logBytesMax = Number.MAX_SAFE_INTEGER,
  tooLarge?: (header: StoredTask) => void,
): Promise<LoadedTask | undefined> {
  const stored = await storage.getTask(key, { snapshot: true, logBytesMax });
  if (stored === undefined) return undefined;
  if (sequence < 1n || sequence > stored.head) throw outOfRange(key.taskId, sequence, stored.head);
  if (stored.logBytes > logBytesMax) {
    tooLarge?.(stored);
    return undefined;
  }
  const fold = startOf(stored, sequence);
  const complete = await foldUpTo(storage, key, fold, { ...stored, head: sequence });
  return complete ? { stored, fold, head: stored.head, batch: stored.batch } : undefined;
}

/**
 * The fold to start from: the newest snapshot, unless it is above the sequence. A snapshot is a cache: one that cannot
 * be read costs time, not the task.
 */
function startOf({ key, snapshot }: StoredTask, sequence: bigint): TaskFold {
  if (snapshot === undefined || snapshot.sequence > sequence) return emptyFold(key.taskId);
  try {
    const fold = decodeSnapshot(key.taskId, snapshot.bytes);
    if (fold.sequence === snapshot.sequence) return fold;
  } catch {
    // The bytes may be anything, so the decoder may throw anything.
  }
  return emptyFold(key.taskId);
}

/** The error for a cursor above the head. Its metadata has the head, for the client. */
export function outOfRange(taskId: string, sequence: bigint, head: bigint): TaskError {
  return new TaskError(
    "OUT_OF_RANGE",
    `Sequence ${sequence} of task "${taskId}" is out of range: its head is ${head}`,
    {
      metadata: { taskId, head: String(head) },
    },
  );
}

/** Evolves the fold to exactly `stored.head`. False if the task went away meanwhile. */
async function foldUpTo(storage: Storage, key: TaskKey, fold: TaskFold, stored: StoredTask): Promise<boolean> {
  while (fold.sequence < stored.head) {
    const entries = await readEntries(storage, key, stored.contextId, fold.sequence);
    if (entries.length === 0) {
      // The task was removed or expired between two reads, or its log is damaged. The header says which.
      if (!(await storage.taskExists(key))) return false;
      throw dataLoss(key.taskId, fold.sequence + 1n, stored.head);
    }
    for (const { sequence, entry } of entries) {
      if (sequence > stored.head) break;
      try {
        evolve(fold, sequence, entry);
      } catch (error) {
        if (error instanceof FoldError) throw dataLoss(key.taskId, sequence, stored.head, error);
        throw error;
      }
    }
  }
  return true;
}

/** A page of decoded entries after a cursor; empty at the head. Throws TaskError DATA_LOSS for a damaged log. */
export async function readEntries(
  storage: Storage,
  key: TaskKey,
  contextId: string,
  after: bigint,
): Promise<readonly PlacedEntry[]> {
  const stored = await storage.readTask(key, after, readBytesMax);
  let expected = after + 1n;
  return stored.map(({ sequence, bytes }) => {
    if (sequence !== expected) throw dataLoss(key.taskId, expected, sequence);
    expected++;
    return { sequence, entry: decoded(bytes, sequence, key.taskId, contextId), bytes: bytes.byteLength };
  });
}

function decoded(bytes: Uint8Array, sequence: bigint, taskId: string, contextId: string): Entry {
  try {
    return decodeEntry(bytes, { taskId, contextId });
  } catch (error) {
    throw dataLoss(taskId, sequence, sequence, error);
  }
}

function dataLoss(taskId: string, missing: bigint, head: bigint, cause?: unknown): TaskError {
  return new TaskError("DATA_LOSS", `The log of task "${taskId}" is damaged at entry ${missing} of ${head}`, { cause });
}
