import { TaskError } from "../../domain/task-error.ts";
import { sleep } from "../../runtime/clock.ts";
import type { ReplicaRecord, Storage } from "../../storage/storage.ts";
import { StorageError } from "../../storage/storage-error.ts";
import type { ManagerDeps } from "../manager-deps.ts";

/** How often a server raises its counter, at least: `storageSilenceMs` is ten times as long. */
export const heartbeatMsMax = 1_000;
/** Heartbeats within the lease time, at least: a late one does no harm. */
const heartbeatsPerLease = 4;
/** How often a server looks at the counter of another within the lease time. */
const looks = 8;

/** The storages of `exclusive` engines that a task manager of this process uses. */
const joined = new WeakSet<Storage>();

export interface Membership {
  /**
   * Ends the heartbeats and removes this server's record, so that the next server starts without a watch. Tasks that
   * are left under its name are found by it, since no living replica has this name.
   */
  leave(): Promise<void>;
}

export interface MembershipEvents {
  /** The storage has answered a heartbeat. */
  readonly answered: () => void;
  /**
   * This server's record was removed: another server took it for dead. Called once, in the step in which the heartbeat
   * is answered, so that no call comes between.
   */
  readonly replaced: () => void;
  /** The storage says that its database was removed or replaced. Called at each such answer. */
  readonly lost: () => void;
}

/**
 * Joins a database as its only server; several replicas are not supported yet. Each server has a record with a counter
 * that it raises. No clocks are compared: a server counts as alive if its counter grows during the watch. Throws
 * TaskError UNAVAILABLE if another server is alive.
 *
 * A server that is dead loses its record, on condition that its counter still stands. So of a heartbeat and the removal
 * exactly one takes effect, and a heartbeat never makes a record: a server that was paused for longer than the watch
 * learns at its next heartbeat that it was replaced. Until then the takeover entries fence it off, task by task.
 *
 * Of two servers that start at the same time, each sees the other's counter grow: one of them refuses, or both.
 *
 * A storage that only this process can have opened needs no watch: every other record is that of a process that has
 * ended. Only a second task manager of this process is refused then.
 */
export async function joinDatabase(deps: ManagerDeps, events: MembershipEvents): Promise<Membership> {
  const { storage, replica, clock, logger } = deps;
  const { leaseMs } = deps.options;
  const heartbeatMs = Math.min(heartbeatMsMax, leaseMs / heartbeatsPerLease);
  let cancel = () => {};
  let left = false;
  let replaced = false;
  let beating: Promise<void> = Promise.resolve();
  const beat = (): void => {
    beating = storage
      .heartbeat(replica)
      .then((alive) => {
        events.answered();
        if (alive || left) return;
        left = true;
        replaced = true;
        events.replaced();
      })
      .catch((error: unknown) => {
        if (error instanceof StorageError && error.code === "lost") events.lost();
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
    await beating;
    if (replaced) return;
    try {
      await storage.deregister(replica);
    } catch (error) {
      logger.warn({ err: error }, "This server's record could not be removed");
    }
  };

  const { exclusive = false } = storage.traits;
  if (exclusive && joined.has(storage))
    throw new TaskError("UNAVAILABLE", "Another task manager of this process uses this storage; dispose it first");
  if (exclusive) joined.add(storage);
  await storage.register(replica).catch((error: unknown) => {
    joined.delete(storage);
    throw error;
  });
  events.answered();
  cancel = clock.after(heartbeatMs, beat);
  try {
    let first = await others(deps);
    for (let look = 0; !exclusive && look < looks && first.length > 0; look++) {
      await sleep(clock, leaseMs / looks);
      const now = new Map((await others(deps)).map((record) => [record.replica, record.counter]));
      // One that leaves meanwhile has nothing on its way any more.
      first = first.filter(({ replica: other }) => now.has(other));
      for (const { replica: other, counter } of first) if (now.get(other) !== counter) throw anotherRuns(other);
    }
    if (replaced) throw replacedAtStart();
    for (const { replica: other, counter } of first)
      if (!(await storage.deregister(other, counter))) throw anotherRuns(other);
    if (replaced) throw replacedAtStart();
    if (first.length > 0) logger.info({ replicas: first.length }, "The previous server ended without deregistering");
    return { leave };
  } catch (error) {
    await leave();
    throw error;
  }
}

async function others({ storage, replica }: ManagerDeps): Promise<readonly ReplicaRecord[]> {
  return (await storage.listReplicas()).filter((record) => record.replica !== replica);
}

function replacedAtStart(): TaskError {
  return new TaskError(
    "UNAVAILABLE",
    "Another server removed the record of this server while it started; start it again",
  );
}

function anotherRuns(replica: string): TaskError {
  return new TaskError(
    "UNAVAILABLE",
    `Another server ("${replica}") runs on this database; stop it first, or use another database`,
  );
}
