import type { MongoContext } from "../context.ts";
import { bigintOf } from "../keys.ts";
import { jobStepRecords, replicaKeptMs } from "../limits.ts";

/**
 * Forgets replicas that have been silent for very long and have no task to take over. The time of a heartbeat alone
 * doesn't prove that: if the database's clock is set forward by a day, every living replica looks silent until its next
 * heartbeat. So a replica is forgotten by the second look that finds its counter where the first one did.
 */
export class SilentReplicas {
  /** The counters of the replicas that looked silent the last time. */
  #seen = new Map<string, bigint>();

  async forget({ collections: { replicas, tasks } }: MongoContext): Promise<void> {
    const before = { $subtract: ["$$NOW", replicaKeptMs] };
    const old = await replicas
      .find({ $expr: { $lt: ["$heartbeatAt", before] } })
      .limit(jobStepRecords)
      .toArray();
    const seen = this.#seen;
    this.#seen = new Map(old.map(({ _id, counter }) => [_id, bigintOf(counter)]));
    for (const { _id, counter } of old) {
      const isSilent = seen.get(_id) === bigintOf(counter);
      if (isSilent && (await tasks.findOne({ runner: _id }, { projection: { _id: 1 } })) === null) {
        await replicas.deleteOne({ _id, counter });
      }
    }
  }
}
