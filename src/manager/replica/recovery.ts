import type { TaskKey } from "../../domain/scope.ts";
import { taskKeyString } from "../../domain/scope.ts";
import type { ManagerDeps } from "../manager-deps.ts";
import type { TaskRuns } from "../run/task-runs.ts";

/** Taken over at a time: each is a read of its log and an append. */
const tasksAtOnce = 20;

/**
 * Takes over what dead replicas left SUBMITTED or WORKING, until nothing is left of it, and then forgets those
 * replicas. INPUT_REQUIRED and AUTH_REQUIRED tasks wait for their clients and stay as they are, but for those with
 * messages that wait for a turn, or a wish to cancel. A task that can't be taken is logged and passed over. Ends early
 * when all runs are stopped.
 */
export async function recoverTasks(deps: ManagerDeps, runs: TaskRuns, dead: readonly string[]): Promise<number> {
  const { storage, logger } = deps;
  const failed = new Set<string>();
  let taken = 0;
  while (!runs.stopped) {
    // Those that failed are found again every time; the page must be larger than their number to find others.
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
    try {
      await runs.use(key, (run) => run.recover());
      taken++;
    } catch (error) {
      // The next server goes on with it.
      if (runs.stopped) return;
      failed.add(taskKeyString(key));
      logger.error({ taskId: key.taskId, err: error }, "A task of a stopped server could not be taken over");
    }
  }
}
