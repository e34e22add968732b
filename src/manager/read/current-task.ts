import type { TaskFold } from "../../domain/fold.ts";
import type { TaskKey } from "../../domain/scope.ts";
import { TaskError, taskNotFound } from "../../domain/task-error.ts";
import { isInterrupted, isTerminal } from "../../domain/task-state.ts";
import { type LoadedTask, loadTask, loadTaskAt } from "../../log/load-task.ts";
import type { StoredTask } from "../../storage/storage.ts";
import type { ManagerDeps } from "../manager-deps.ts";
import type { TaskRuns } from "../run/task-runs.ts";
import { type AnswerRoom, heldBytes, roomyBytes, sourceOf } from "./answer-room.ts";

/** The committed fold of a task, and the bytes of its log. */
export interface CurrentFold {
  readonly fold: TaskFold;
  readonly logBytes: number;
}

/**
 * The committed fold of a task: from the run of it on this replica, else from the log. The caller must not change it,
 * and must read it before its next await, because the fold of a run moves on. Throws TaskError TASK_NOT_FOUND. A large
 * task is loaded only once there is room for it, and once for all callers that found it at the same sequence. Without
 * a room it is loaded at once.
 *
 * Invariants:
 * - Nothing is shown that is not committed.
 * - Nothing older is shown than what this process has shown of the task before. An entry is in the log before the run
 *   gets the answer to its append, so a reader of the log may be ahead of the run. The log is read then.
 */
export async function currentFold(
  deps: ManagerDeps,
  runs: TaskRuns,
  key: TaskKey,
  room?: AnswerRoom,
): Promise<CurrentFold> {
  const run = runs.peek(key);
  if (run !== undefined && run.lost === undefined && run.writer.committed.sequence >= run.feed.readTo)
    return { fold: run.writer.committed, logBytes: run.writer.logBytes };
  const loaded = await (room === undefined ? loadTask(deps.storage, key) : loadInto(room, deps, key));
  if (loaded === undefined) throw taskNotFound(key.taskId);
  deps.hub.noteRead(key, loaded.head);
  return { fold: loaded.fold, logBytes: loaded.stored.logBytes };
}

/**
 * Loads a task once there is room. Invariant: a caller never gets a task older than one that was shown before it
 * called. It looks at the header itself, and joins a load only at the head that it found there.
 */
export async function loadInto(
  room: AnswerRoom,
  { storage }: Pick<ManagerDeps, "storage">,
  key: TaskKey,
): Promise<LoadedTask | undefined> {
  const found = headerOf();
  const loaded = await loadTask(storage, key, roomyBytes, found.note);
  const { header } = found;
  if (header === undefined) return loaded;
  return sharedLoad(room, sourceOf(key, header.head), header, () => loadTask(storage, key));
}

/** The task as it was at a sequence, see `loadTaskAt`. A large one is loaded once there is room. */
export async function loadAtInto(
  room: AnswerRoom | undefined,
  { storage }: Pick<ManagerDeps, "storage">,
  key: TaskKey,
  sequence: bigint,
): Promise<LoadedTask | undefined> {
  if (room === undefined) return loadTaskAt(storage, key, sequence);
  const found = headerOf();
  const loaded = await loadTaskAt(storage, key, sequence, roomyBytes, found.note);
  const { header } = found;
  if (header === undefined) return loaded;
  return sharedLoad(room, sourceOf(key, sequence), header, () => loadTaskAt(storage, key, sequence));
}

/** Keeps the header of a task that is too large to be loaded without room. */
function headerOf() {
  const found = {
    header: undefined as StoredTask | undefined,
    note: (stored: StoredTask) => {
      found.header = stored;
    },
  };
  return found;
}

async function sharedLoad(
  room: AnswerRoom,
  source: string,
  { logBytes, head }: StoredTask,
  load: () => Promise<LoadedTask | undefined>,
): Promise<LoadedTask | undefined> {
  const shared = await room.share(source, heldBytes(logBytes, head));
  // The bytes of the snapshot are folded by now.
  shared.load ??= load().then((loaded) => loaded && { ...loaded, stored: { ...loaded.stored, snapshot: undefined } });
  const joined = shared.load as Promise<LoadedTask | undefined>;
  try {
    return await joined;
  } catch (error) {
    // The next caller tries again.
    if (shared.load === joined) shared.load = undefined;
    throw error;
  }
}

/**
 * Whether a blocking send of the message at `sequence` is answered (R17): the task has ended, or it is interrupted in
 * the message's turn or a later one, or a later turn has begun. Sequence 0 is a message that an earlier turn answered.
 */
export function isAnswered(fold: TaskFold, sequence: bigint): boolean {
  const { turn, status } = fold;
  if (isTerminal(status.state)) return true;
  if (turn === undefined) return false;
  return turn.message.sequence > sequence || (isInterrupted(status.state) && turn.message.sequence >= sequence);
}

/**
 * Waits until the committed fold of a task is as wanted, and gives it. The wait is bounded by the signal (the caller's
 * deadline) and by the time limits of turns. `onWait` is called before each wait. Throws the signal's reason, TaskError
 * TASK_NOT_FOUND, and TaskError UNAVAILABLE if no server runs the task.
 */
export async function waitForFold(
  deps: ManagerDeps,
  runs: TaskRuns,
  key: TaskKey,
  wanted: (fold: TaskFold) => boolean,
  signal: AbortSignal,
  onWait?: () => void,
): Promise<CurrentFold> {
  const feed = deps.hub.open(key);
  try {
    for (;;) {
      signal.throwIfAborted();
      const { wakeCount } = feed;
      const current = await currentFold(deps, runs, key);
      if (wanted(current.fold)) return current;
      const run = runs.peek(key);
      if (
        !deps.storage.traits.shared &&
        (run === undefined || run.lost !== undefined) &&
        feed.wakeCount === wakeCount
      ) {
        throw new TaskError("UNAVAILABLE", `Task "${key.taskId}" no longer runs`, {
          cause: run?.lost,
          metadata: { taskId: key.taskId },
        });
      }
      onWait?.();
      await feed.waitFor(wakeCount, signal);
    }
  } finally {
    deps.hub.release(feed);
  }
}
