import type { TaskFold } from "../../domain/fold.ts";
import type { TaskKey } from "../../domain/scope.ts";
import { TaskError, taskNotFound } from "../../domain/task-error.ts";
import { isInterrupted, isTerminal } from "../../domain/task-state.ts";
import { loadTask } from "../../log/load-task.ts";
import type { ManagerDeps } from "../manager-deps.ts";
import type { TaskRuns } from "../run/task-runs.ts";

/**
 * The committed fold of a task: from the run that this replica has of it, else from the log. Not to be changed, and to
 * be read before the next await: a run's fold moves on. Throws TaskError TASK_NOT_FOUND.
 *
 * Invariant: nothing is shown that isn't committed.
 */
export async function currentFold(deps: ManagerDeps, runs: TaskRuns, key: TaskKey): Promise<TaskFold> {
  const run = runs.peek(key);
  if (run !== undefined && run.lost === undefined) return run.writer.committed;
  const loaded = await loadTask(deps.storage, key);
  if (loaded === undefined) throw taskNotFound(key.taskId);
  return loaded.fold;
}

/**
 * Whether the sender of the message at `sequence` has its answer (R17): the task ended, or was interrupted in or after
 * the turn of that message, or a later turn has begun. 0 stands for a message that an earlier turn has answered.
 */
export function isAnswered(fold: TaskFold, sequence: bigint): boolean {
  const { turn, status } = fold;
  if (isTerminal(status.state)) return true;
  if (turn === undefined) return false;
  return turn.message.sequence > sequence || (isInterrupted(status.state) && turn.message.sequence >= sequence);
}

/**
 * Waits until a task's committed fold is as wanted, and gives it. Waits as long as the signal lets it: the bounds are
 * the caller's deadline and the turn's time limits. Throws the signal's reason, TASK_NOT_FOUND, and UNAVAILABLE where
 * nobody is left to bring the task there.
 */
export async function waitForFold(
  deps: ManagerDeps,
  runs: TaskRuns,
  key: TaskKey,
  wanted: (fold: TaskFold) => boolean,
  signal: AbortSignal,
): Promise<TaskFold> {
  const feed = deps.hub.open(key);
  try {
    for (;;) {
      signal.throwIfAborted();
      const { wakes } = feed;
      const fold = await currentFold(deps, runs, key);
      if (wanted(fold)) return fold;
      const run = runs.peek(key);
      if (!deps.storage.traits.shared && (run === undefined || run.lost !== undefined) && feed.wakes === wakes) {
        throw new TaskError("UNAVAILABLE", `Task "${key.taskId}" doesn't run any more`, {
          cause: run?.lost,
          metadata: { taskId: key.taskId },
        });
      }
      await feed.waitFor(wakes, signal);
    }
  } finally {
    deps.hub.release(feed);
  }
}
