import type { TaskFold } from "../../domain/fold.ts";
import type { TaskKey } from "../../domain/scope.ts";
import { TaskError, taskNotFound } from "../../domain/task-error.ts";
import { isInterrupted, isTerminal } from "../../domain/task-state.ts";
import { type LoadedTask, loadTask, loadTaskAt } from "../../log/load-task.ts";
import type { StoredTask } from "../../storage/storage.ts";
import type { ManagerDeps } from "../manager-deps.ts";
import type { TaskRun } from "../run/task-run.ts";
import type { TaskRuns } from "../run/task-runs.ts";
import { type AnswerRoom, heldBytes, type RoomWait, roomyBytes, type SharedAnswer, sourceOf } from "./answer-room.ts";

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
  wait?: RoomWait,
): Promise<CurrentFold> {
  const run = runAt(runs, key);
  if (run !== undefined) return { fold: run.writer.committed, logBytes: run.writer.logBytes };
  const loaded = await (room === undefined ? loadTask(deps.storage, key) : loadInto(room, deps, key, wait));
  if (loaded === undefined) throw taskNotFound(key.taskId);
  deps.hub.noteRead(key, loaded.head);
  return { fold: loaded.fold, logBytes: loaded.stored.logBytes };
}

/**
 * The newest committed sequence of a task, as `currentFold` has it. Its log is not read. Throws TaskError
 * TASK_NOT_FOUND.
 */
export async function currentHead(deps: ManagerDeps, runs: TaskRuns, key: TaskKey): Promise<bigint> {
  const run = runAt(runs, key);
  if (run !== undefined) return run.writer.committed.sequence;
  const stored = await deps.storage.getTask(key);
  if (stored === undefined) throw taskNotFound(key.taskId);
  deps.hub.noteRead(key, stored.head);
  return stored.head;
}

/** The run of a task here, if its committed fold may be shown; with a sequence, if the fold is there. */
export function runAt(runs: TaskRuns, key: TaskKey, sequence?: bigint): TaskRun | undefined {
  const run = runs.peek(key);
  if (run === undefined || run.lost !== undefined) return undefined;
  const at = run.writer.committed.sequence;
  return (sequence === undefined ? at >= run.feed.readTo : at === sequence) ? run : undefined;
}

/**
 * Loads a task once there is room. Invariant: a caller never gets a task older than one that was shown before it
 * called. It looks at the header itself, and gets the task at the head that it found there.
 */
export async function loadInto(
  room: AnswerRoom,
  { storage }: Pick<ManagerDeps, "storage">,
  key: TaskKey,
  wait?: RoomWait,
): Promise<LoadedTask | undefined> {
  const found = headerOf();
  const loaded = await loadTask(storage, key, roomyBytes, found.note);
  const { header } = found;
  return header === undefined ? loaded : loadAtHeader(room, storage, key, header.head, header, wait);
}

/** The task as it was at a sequence, see `loadTaskAt`. A large one is loaded once there is room. */
export async function loadAtInto(
  room: AnswerRoom | undefined,
  { storage }: Pick<ManagerDeps, "storage">,
  key: TaskKey,
  sequence: bigint,
  wait?: RoomWait,
): Promise<LoadedTask | undefined> {
  if (room === undefined) return loadTaskAt(storage, key, sequence);
  const found = headerOf();
  const loaded = await loadTaskAt(storage, key, sequence, roomyBytes, found.note);
  const { header } = found;
  return header === undefined ? loaded : loadAtHeader(room, storage, key, sequence, header, wait);
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

async function loadAtHeader(
  room: AnswerRoom,
  storage: ManagerDeps["storage"],
  key: TaskKey,
  sequence: bigint,
  { logBytes, head }: StoredTask,
  wait: RoomWait | undefined,
): Promise<LoadedTask | undefined> {
  const shared = await room.share(sourceOf(key, sequence), heldBytes(logBytes, head), wait);
  wait?.signal?.throwIfAborted();
  const loaded = await loadShared(shared, { storage }, key, sequence);
  // The load may have begun before this caller looked at the header.
  return loaded && { ...loaded, head };
}

/**
 * The task at a sequence, loaded once for all answers that share the room. Never a newer one, although the log may grow
 * meanwhile: a newer one would need room of its own, and wait for the room that its answer holds already.
 */
export async function loadShared(
  shared: SharedAnswer,
  { storage }: Pick<ManagerDeps, "storage">,
  key: TaskKey,
  sequence: bigint,
): Promise<LoadedTask | undefined> {
  shared.load ??= loadTaskAt(storage, key, sequence).then(
    // The bytes of the snapshot are folded by now.
    (loaded) => loaded && { ...loaded, stored: { ...loaded.stored, snapshot: undefined } },
  );
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
 *
 * A large task is loaded once there is room, for which the call waits as one that is accepted. It holds no room while
 * it waits for the task.
 */
export async function waitForFold(
  deps: ManagerDeps,
  runs: TaskRuns,
  key: TaskKey,
  wanted: (fold: TaskFold) => boolean,
  signal: AbortSignal,
  onWait?: () => void,
  room?: AnswerRoom,
): Promise<CurrentFold> {
  const wait: RoomWait = { signal, accepted: true };
  const feed = deps.hub.open(key);
  try {
    for (;;) {
      signal.throwIfAborted();
      const { wakeCount } = feed;
      const current = await currentFold(deps, runs, key, room, wait);
      if (wanted(current.fold)) return current;
      room?.release();
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
