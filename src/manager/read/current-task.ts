import type { TaskFold } from "../../domain/fold.ts";
import type { TaskKey } from "../../domain/scope.ts";
import { TaskError, taskNotFound } from "../../domain/task-error.ts";
import { isInterrupted, isTerminal } from "../../domain/task-state.ts";
import { loadTask } from "../../log/load-task.ts";
import type { ManagerDeps } from "../manager-deps.ts";
import type { TaskRuns } from "../run/task-runs.ts";

/**
 * The committed fold of a task: from the run of it on this replica, else from the log. The caller must not change it,
 * and must read it before its next await, because the fold of a run moves on. Throws TaskError TASK_NOT_FOUND.
 *
 * Invariants:
 * - Nothing is shown that is not committed.
 * - Nothing older is shown than what this process has shown of the task before. An entry is in the log before the run
 *   gets the answer to its append, so a reader of the log may be ahead of the run. The log is read then.
 */
export async function currentFold(deps: ManagerDeps, runs: TaskRuns, key: TaskKey): Promise<TaskFold> {
  const run = runs.peek(key);
  if (run !== undefined && run.lost === undefined && run.writer.committed.sequence >= run.feed.readTo)
    return run.writer.committed;
  const loaded = await loadTask(deps.storage, key);
  if (loaded === undefined) throw taskNotFound(key.taskId);
  deps.hub.noteRead(key, loaded.head);
  return loaded.fold;
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
): Promise<TaskFold> {
  const feed = deps.hub.open(key);
  try {
    for (;;) {
      signal.throwIfAborted();
      const { wakeCount } = feed;
      const fold = await currentFold(deps, runs, key);
      if (wanted(fold)) return fold;
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
