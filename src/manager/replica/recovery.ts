import type { TaskKey } from "../../domain/scope.ts";
import { taskKeyString } from "../../domain/scope.ts";
import { TaskError } from "../../domain/task-error.ts";
import type { ManagerDeps } from "../manager-deps.ts";
import type { TaskRuns } from "../run/task-runs.ts";

/** Tasks that are taken over at once. Each costs a read of its log and an append. */
const tasksAtOnce = 20;

/**
 * How often a takeover is tried. The last append of a dead server may arrive after its task was loaded here; the
 * takeover is refused then.
 */
const triesMax = 3;

/**
 * Takes over the SUBMITTED and WORKING tasks of dead replicas until none is left, and then removes the records of those
 * replicas. Gives the number of tasks. Tasks in INPUT_REQUIRED and AUTH_REQUIRED wait for their clients and stay as
 * they are, unless a message waits for a turn or a cancel was requested. A task that cannot be taken over is logged and
 * skipped. Ends early when all runs are stopped.
 */
export async function recoverTasks(deps: ManagerDeps, runs: TaskRuns, dead: readonly string[]): Promise<number> {
  const { storage, logger } = deps;
  const failed = new Set<string>();
  /** Failed tries, by task. */
  const refused = new Map<string, number>();
  let taken = 0;
  while (!runs.stopped) {
    // Failed tasks are found again every time. A page must be larger than their number to find others.
    const keys = await storage.claimTasks({ replicas: dead, limit: tasksAtOnce + failed.size });
    const left = keys.filter((key) => !failed.has(taskKeyString(key)));
    if (left.length > 0) {
      await Promise.all(left.map((key) => takeOver(key)));
      continue;
    }
    if (failed.size === 0) for (const replica of dead) await storage.deregister(replica);
    break;
  }
  return taken;

  async function takeOver(key: TaskKey): Promise<void> {
    const id = taskKeyString(key);
    try {
      await runs.use(key, (run) => run.recover());
      taken++;
    } catch (error) {
      // The next server takes the task over.
      if (runs.stopped) return;
      const attempt = (refused.get(id) ?? 0) + 1;
      refused.set(id, attempt);
      // The next look finds the task again if it is still the dead server's.
      if (attempt < triesMax && error instanceof TaskError && error.reason === "UNAVAILABLE") return;
      failed.add(id);
      logger.error({ taskId: key.taskId, err: error }, "Failed to take over a task of a dead server");
    }
  }
}
