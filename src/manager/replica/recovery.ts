import type { TaskKey } from "../../domain/scope.ts";
import { taskKeyString } from "../../domain/scope.ts";
import { TaskError } from "../../domain/task-error.ts";
import type { ManagerDeps } from "../manager-deps.ts";
import type { TaskRuns } from "../run/task-runs.ts";
import { heartbeatMsMax } from "./membership.ts";

/** The time between two looks: a few heartbeats. A look that finds nothing is two queries on small indexes. */
const lookMs = 5 * heartbeatMsMax;

/** Tasks that are taken over at once. Each costs a read of its log and an append. */
const tasksAtOnce = 20;

/** Names of replicas that are read at once: far more than there are replicas. */
const runnersAtOnce = 1_000;

/**
 * How often a look tries a takeover. The last append of a dead server may arrive after its task was loaded here; the
 * takeover is refused then.
 */
const triesMax = 3;

/**
 * Takes over the tasks that no living replica has, at once and then every few heartbeats. A write of a dead server may
 * arrive at any time: a server that was paused accepts what waits in its sockets before it learns that it was replaced.
 * One look runs at a time. The returned function ends the looks, and waits for the one under way.
 */
export function startRecovery(deps: ManagerDeps, runs: TaskRuns): () => Promise<void> {
  const { clock, logger } = deps;
  let stopped = false;
  let cancel = () => {};
  let looking: Promise<void> = Promise.resolve();
  const look = (): void => {
    looking = recoverTasks(deps, runs, () => stopped)
      .then((taken) => {
        if (taken > 0) logger.info({ taken }, "Took over the tasks of a dead server");
      })
      .catch((error: unknown) => logger.warn({ err: error }, "Failed to look for the tasks of dead servers"))
      .then(() => {
        if (!stopped) cancel = clock.after(lookMs, look);
      });
  };
  look();
  return async () => {
    stopped = true;
    cancel();
    await looking;
  };
}

/**
 * Takes over the SUBMITTED and WORKING tasks of dead replicas until none is left. Gives the number of tasks. Tasks in
 * INPUT_REQUIRED and AUTH_REQUIRED wait for their clients and stay as they are, unless a message waits for a turn or a
 * cancel was requested. A task that cannot be taken over is logged, and tried again at the next look.
 *
 * Ends early when the looks are stopped: runs take nothing over then, so every page would hold the same tasks.
 */
async function recoverTasks(deps: ManagerDeps, runs: TaskRuns, stopped: () => boolean): Promise<number> {
  const { storage, logger } = deps;
  const dead = await deadRunners(deps);
  const failed = new Set<string>();
  /** Failed tries, by task. */
  const refused = new Map<string, number>();
  let taken = 0;
  while (dead.length > 0 && !stopped()) {
    // Failed tasks are found again every time. A page must be larger than their number to find others.
    const keys = await storage.claimTasks({ replicas: dead, limit: tasksAtOnce + failed.size });
    if (stopped()) break;
    const left = keys.filter((key) => !failed.has(taskKeyString(key)));
    if (left.length === 0) break;
    await Promise.all(left.map((key) => takeOver(key)));
  }
  return taken;

  async function takeOver(key: TaskKey): Promise<void> {
    const id = taskKeyString(key);
    try {
      await runs.use(key, (run) => run.recover());
      if (!stopped()) taken++;
    } catch (error) {
      // The next server takes the task over.
      if (stopped()) return;
      const attempt = (refused.get(id) ?? 0) + 1;
      refused.set(id, attempt);
      // `claimTasks` finds the task again if it is still the dead server's.
      if (attempt < triesMax && error instanceof TaskError && error.reason === "UNAVAILABLE") return;
      failed.add(id);
      logger.error({ taskId: key.taskId, err: error }, "Failed to take over a task of a dead server");
    }
  }
}

/**
 * The replicas with unfinished tasks and without a record. The tasks are read first: a replica has its record before
 * its first task, so one that is missing afterwards has lost it.
 */
async function deadRunners({ storage, replica }: ManagerDeps): Promise<readonly string[]> {
  const runners: string[] = [];
  for (let page = runnersAtOnce; page === runnersAtOnce; ) {
    const last = runners.at(-1);
    const found = await storage.listRunners({ limit: runnersAtOnce, ...(last !== undefined && { after: last }) });
    runners.push(...found);
    page = found.length;
  }
  if (runners.every((runner) => runner === replica)) return [];
  const living = new Set((await storage.listReplicas()).map((record) => record.replica));
  return runners.filter((runner) => runner !== replica && !living.has(runner));
}
