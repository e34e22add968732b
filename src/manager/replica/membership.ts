import { TaskError } from "../../domain/task-error.ts";
import { sleep } from "../../runtime/clock.ts";
import type { ManagerDeps } from "../manager-deps.ts";

/**
 * How often a server raises its counter, and how long one watches another's before it takes it for dead: several beats,
 * so that one late beat is none.
 */
const beatMs = 1_000;
const watchMs = 4_000;
/** Looks within that time. */
const looks = 8;

export interface Membership {
  /** Servers whose counters stand still: what they ran is nobody's. */
  readonly dead: readonly string[];
  /**
   * Ends the beats, and removes this server's record so that the next one needs to watch nobody; but not if tasks are
   * left under its name, since it is by that record that the next one finds them.
   */
  leave(): Promise<void>;
}

/**
 * One server per database, until several replicas are supported: joins as the only one. Each server has a record with a
 * counter that it raises; no clocks are compared, only whether a counter moves while this one watches. Throws TaskError
 * UNAVAILABLE if another server is alive.
 *
 * Two that start at the same time see each other move: one of them refuses, or both. A server that stands still for
 * longer than the watch and then goes on is fenced off by the takeover entries, task by task, and finds that its record
 * was removed: `replaced` is called, and it beats no more.
 *
 * `answered` is called whenever the storage has answered a beat.
 */
export async function joinDatabase(deps: ManagerDeps, answered: () => void, replaced: () => void): Promise<Membership> {
  const { storage, replica, clock, logger } = deps;
  let cancel = () => {};
  let left = false;
  let beating: Promise<void> = Promise.resolve();
  /** This server's counter when it last looked: only whoever removes the record makes it fall. */
  let seen = 0n;
  const beatAndLook = async (): Promise<void> => {
    await storage.heartbeat(replica);
    answered();
    const own = (await storage.listReplicas()).find((record) => record.replica === replica);
    if (own !== undefined && own.counter > seen) {
      seen = own.counter;
      return;
    }
    if (left) return;
    left = true;
    replaced();
  };
  const beat = (): void => {
    beating = beatAndLook()
      .catch((error: unknown) => logger.warn({ err: error }, "A beat failed"))
      .finally(() => {
        if (!left) cancel = clock.after(beatMs, beat);
      });
  };
  const leave = async () => {
    left = true;
    cancel();
    // One that lands later would make the record anew.
    await beating;
    try {
      const unfinished = await storage.claimTasks({ replicas: [replica], limit: 1 });
      if (unfinished.length === 0) await storage.deregister(replica);
    } catch (error) {
      logger.warn({ err: error }, "This server's record could not be removed");
    }
  };

  await beatAndLook();
  cancel = clock.after(beatMs, beat);
  try {
    const first = await others(deps);
    for (let look = 0; look < looks && first.size > 0; look++) {
      await sleep(clock, watchMs / looks);
      for (const [other, counter] of await others(deps)) {
        if (first.get(other) === counter) continue;
        throw new TaskError(
          "UNAVAILABLE",
          `Another server ("${other}") runs on this database; stop it first, or use another database`,
        );
      }
    }
    if (left)
      throw new TaskError("UNAVAILABLE", "Another server has taken this one for dead while it started; start it again");
    if (first.size > 0)
      logger.info({ replicas: first.size }, "The server that ran here before has ended without leaving");
    return { dead: [...first.keys()], leave };
  } catch (error) {
    await leave();
    throw error;
  }
}

async function others({ storage, replica }: ManagerDeps): Promise<ReadonlyMap<string, bigint>> {
  const records = await storage.listReplicas();
  return new Map(
    records.filter((record) => record.replica !== replica).map((record) => [record.replica, record.counter]),
  );
}
