import { randomBytes } from "node:crypto";
import { Binary, Long } from "mongodb";
import type { TaskKey } from "../../../domain/scope.ts";
import type { ReplicaRecord, TaskClaim } from "../../storage.ts";
import type { MongoContext } from "../context.ts";
import { joinParent } from "../conversations/conversations.ts";
import { isDuplicateKey } from "../errors.ts";
import { bigintOf } from "../keys.ts";
import { attemptsMax } from "../limits.ts";

export async function register(context: MongoContext, replica: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await context.collections.replicas.updateOne(
        { _id: replica },
        { $setOnInsert: { counter: Long.ONE }, $currentDate: { heartbeatAt: true } },
        { upsert: true },
      );
      return;
    } catch (error) {
      if (!isDuplicateKey(error) || attempt === attemptsMax) {
        throw error;
      }
    }
  }
}

/** Adding twice, after an unknown outcome, does no harm: the counter only has to change. */
export async function heartbeat(context: MongoContext, replica: string): Promise<boolean> {
  const { matchedCount } = await context.collections.replicas.updateOne(
    { _id: replica },
    { $inc: { counter: Long.ONE }, $currentDate: { heartbeatAt: true } },
  );
  return matchedCount === 1;
}

export async function deregister(
  context: MongoContext,
  replica: string,
  counter: bigint | undefined,
): Promise<boolean> {
  const { replicas } = context.collections;
  const unchanged = counter !== undefined && { counter: Long.fromBigInt(counter) };
  const { deletedCount } = await replicas.deleteOne({ _id: replica, ...unchanged });
  return (
    deletedCount === 1 ||
    (await replicas.findOne({ _id: replica }, { ...context.latest, projection: { _id: 1 } })) === null
  );
}

export async function listReplicas(context: MongoContext): Promise<readonly ReplicaRecord[]> {
  const found = await context.collections.replicas.find().sort({ _id: 1 }).toArray();
  return found.map(({ _id, counter }) => ({ replica: _id, counter: bigintOf(counter) }));
}

/** The replicas with running tasks. They are few, so that one command may return all of them. */
export async function listRunners(
  context: MongoContext,
  after: string | undefined,
  limit: number,
): Promise<readonly string[]> {
  const runners = await context.collections.tasks.distinct("runner", { runner: { $gt: after ?? "" } });
  return runners.filter((runner) => runner !== undefined).slice(0, limit);
}

/**
 * Running tasks of the given replicas. They are read in the order of their keys, which are hashes, from a random key
 * on, so two callers start with different tasks.
 */
export async function claimTasks(context: MongoContext, { replicas, limit }: TaskClaim): Promise<readonly TaskKey[]> {
  const keys: TaskKey[] = [];
  const start = new Binary(randomBytes(32));
  for (const replica of shuffled([...new Set(replicas)])) {
    for (const range of [{ $gte: start }, { $lt: start }]) {
      if (keys.length < limit) {
        const stages = [
          { $match: { runner: replica, _id: range } },
          { $sort: { _id: 1 } },
          { $project: { tenant: 1, owner: 1, taskId: 1, conversation: 1, incarnation: 1 } },
          ...joinParent(context),
          { $limit: limit - keys.length },
          { $project: { _id: 0, tenant: 1, owner: 1, taskId: 1 } },
        ];
        keys.push(...(await context.collections.tasks.aggregate<TaskKey>(stages).toArray()));
      }
    }
  }
  return keys;
}

function shuffled<T>(items: readonly T[]): readonly T[] {
  return items
    .map((item) => ({ item, at: Math.random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item);
}
