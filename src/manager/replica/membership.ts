import { TaskError } from "../../domain/task-error.ts";
import { sleep } from "../../runtime/clock.ts";
import type { Storage } from "../../storage/storage.ts";
import { StorageError } from "../../storage/storage-error.ts";
import type { ManagerDeps } from "../manager-deps.ts";

/** How often a server raises its counter, at least: `storageSilenceMs` is ten times as long. */
const heartbeatMsMax = 1_000;
/** Heartbeats within the lease time, at least: a late one does no harm. */
const heartbeatsPerLease = 4;
/** How often a server looks at the counter of another within the lease time. */
const looks = 8;

/** The storages of `exclusive` engines that a task manager of this process uses. */
const joined = new WeakSet<Storage>();

export interface Membership {
  /** Servers whose counters stand still. No server runs their tasks. */
  readonly dead: readonly string[];
  /** Resolves when this server finds its own record removed: another server took it for dead. Never rejects. */
  readonly replaced: Promise<void>;
  /**
   * Ends the heartbeats and removes this server's record, so that the next server starts without a watch. The record
   * stays if tasks are left under its name: the next server finds them by it.
   */
  leave(): Promise<void>;
}

/**
 * Joins a database as its only server; several replicas are not supported yet. Each server has a record with a counter
 * that it raises. No clocks are compared: a server counts as alive if its counter grows during the watch. Throws
 * TaskError UNAVAILABLE if another server is alive.
 *
 * Of two servers that start at the same time, each sees the other's counter grow: one of them refuses, or both. A
 * server that is paused for longer than the watch is fenced off by the takeover entries, task by task. When it resumes
 * it finds its record removed, and sends no more heartbeats.
 *
 * A storage that only this process can have opened needs no watch: every other record is that of a process that has
 * ended. Only a second task manager of this process is refused then.
 *
 * `answered` is called whenever the storage has answered a heartbeat, `lost` whenever it says that its database was
 * removed or replaced.
 */
export async function joinDatabase(deps: ManagerDeps, answered: () => void, lost: () => void): Promise<Membership> {
  const { promise: replaced, resolve: replace } = Promise.withResolvers<void>();
  const { storage, replica, clock, logger } = deps;
  const { leaseMs } = deps.options;
  const heartbeatMs = Math.min(heartbeatMsMax, leaseMs / heartbeatsPerLease);
  let cancel = () => {};
  let left = false;
  let beating: Promise<void> = Promise.resolve();
  /** This server's counter at its last look. The counter falls only if the record was removed. */
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
    replace();
  };
  const beat = (): void => {
    beating = beatAndLook()
      .catch((error: unknown) => {
        if (error instanceof StorageError && error.code === "lost") lost();
        logger.warn({ err: error }, "A heartbeat failed");
      })
      .finally(() => {
        if (!left) cancel = clock.after(heartbeatMs, beat);
      });
  };
  const leave = async () => {
    left = true;
    cancel();
    joined.delete(storage);
    // A heartbeat that arrives later would create the record again.
    await beating;
    try {
      const unfinished = await storage.claimTasks({ replicas: [replica], limit: 1 });
      if (unfinished.length === 0) await storage.deregister(replica);
    } catch (error) {
      logger.warn({ err: error }, "This server's record could not be removed");
    }
  };

  const { exclusive = false } = storage.traits;
  if (exclusive && joined.has(storage))
    throw new TaskError("UNAVAILABLE", "Another task manager of this process uses this storage; dispose it first");
  if (exclusive) joined.add(storage);
  await beatAndLook().catch((error: unknown) => {
    joined.delete(storage);
    throw error;
  });
  cancel = clock.after(heartbeatMs, beat);
  try {
    const first = await others(deps);
    for (let look = 0; !exclusive && look < looks && first.size > 0; look++) {
      await sleep(clock, leaseMs / looks);
      for (const [other, counter] of await others(deps)) {
        if (first.get(other) === counter) continue;
        throw new TaskError(
          "UNAVAILABLE",
          `Another server ("${other}") runs on this database; stop it first, or use another database`,
        );
      }
    }
    if (left)
      throw new TaskError(
        "UNAVAILABLE",
        "Another server removed the record of this server while it started; start it again",
      );
    if (first.size > 0) logger.info({ replicas: first.size }, "The previous server ended without deregistering");
    return { dead: [...first.keys()], replaced, leave };
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
