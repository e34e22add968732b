import { setTimeout } from "node:timers/promises";
import type { Binary, Filter, UpdateFilter } from "mongodb";
import { databaseNowMs, type EndedNotes, type EndedTask, type MongoContext, slackOf, ttlOf } from "../context.ts";
import { keyBytes, keysOf, nameOf } from "../keys.ts";
import { endedDelayMs, jobStepRecords } from "../limits.ts";
import type { Belonging, ConversationRecord } from "../records.ts";
import { belongings } from "./removal-steps.ts";

/**
 * How what belongs to a conversation lives as long as it. Each record has a time of its own, set ahead when it is
 * written; `covered` of the conversation is the least of them. Invariant: it is moved up only when all of them have
 * been, so that no conversation outlives a part.
 */

/** How long a write that is under way may take to be seen by the renewal that it didn't know of. */
const settleMs = 1_000;

/** Renews what belongs to a conversation, off the request path, if that wouldn't outlive it by half the slack. */
export function renewIfDue(context: MongoContext, conversation: ConversationRecord): void {
  const neededMs = neededUntilMs(context, conversation);
  if (neededMs !== undefined && (conversation.covered?.getTime() ?? 0) < neededMs + slackOf(context) / 2) {
    context.jobs.run(`renew ${nameOf(conversation._id)}`, () => renew(context, conversation));
  }
}

/** Until when the conversation may live if nobody touches it again. What runs touches it again and again. */
function neededUntilMs(context: MongoContext, { lastAccess, pins }: ConversationRecord): number | undefined {
  const ttlMs = ttlOf(context);
  if (ttlMs === undefined) {
    return undefined;
  }
  const untils = pins.filter(({ running }) => !running).map(({ until }) => until.getTime());
  return Math.max(lastAccess.getTime() + ttlMs, ...untils);
}

/** Renews what belongs to a conversation, in steps. */
export async function renew(context: MongoContext, conversation: ConversationRecord): Promise<void> {
  const { _id, incarnation } = conversation;
  const ttlMs = ttlOf(context);
  const neededMs = neededUntilMs(context, conversation);
  if (ttlMs === undefined || neededMs === undefined) {
    return;
  }
  const usualMs = databaseNowMs(context) + ttlMs;
  const expireAt = new Date(Math.max(usualMs, neededMs) + slackOf(context));
  await raise(context, incarnation, expireAt);
  if (context.jobs.closed) {
    // Cut short, so it must not be noted as done: the conversation would outlive what wasn't reached.
    return;
  }
  await context.collections.conversations.updateOne({ _id, incarnation }, { $max: { covered: expireAt } });
  if (neededMs > usualMs) {
    // A record that was being written meanwhile, by one who didn't know yet that it has to stay for longer than usual.
    await setTimeout(settleMs, undefined, { ref: false });
    await raise(context, incarnation, expireAt);
  }
}

async function raise(context: MongoContext, incarnation: Binary, expireAt: Date): Promise<void> {
  // Not "less than": those from before the retention was set have no time at all.
  const due = { incarnation, expireAt: { $not: { $gte: expireAt } } } as Filter<Belonging>;
  for (const collection of belongings(context)) {
    for (let more = true; more && !context.jobs.closed; ) {
      const some = await collection
        .find(due, { projection: { _id: 1 } })
        .limit(jobStepRecords)
        .toArray();
      const ids = { incarnation, _id: { $in: some.map(({ _id }) => _id) } };
      if (some.length > 0) {
        await collection.updateMany(ids, { $max: { expireAt } } as UpdateFilter<Belonging>);
      }
      more = some.length === jobStepRecords;
    }
  }
}

/**
 * Brings the times of what ended tasks left far ahead back to those of their conversations, some time later, for many
 * tasks at once.
 */
export class EndedTasks implements EndedNotes {
  #tasks: EndedTask[] = [];
  #timer: NodeJS.Timeout | undefined;

  add(context: MongoContext, task: EndedTask): void {
    if (ttlOf(context) === undefined || context.jobs.closed) {
      return;
    }
    this.#tasks.push(task);
    this.#timer ??= globalThis
      .setTimeout(() => {
        const tasks = this.#tasks;
        this.#tasks = [];
        this.#timer = undefined;
        for (let at = 0; at < tasks.length; at += jobStepRecords) {
          const some = tasks.slice(at, at + jobStepRecords);
          context.jobs.run(`ended ${nameOf((some[0] as EndedTask).log)}`, () => bringBack(context, some));
        }
      }, endedDelayMs)
      .unref();
  }

  close(): void {
    clearTimeout(this.#timer);
  }
}

/**
 * Moves a task's record up to what its conversation relies on, off the request path, if that is later than where its
 * end put it.
 */
export function coverTaskLater(context: MongoContext, task: Binary, log: Binary, covered: Date): void {
  context.jobs.run(`cover ${nameOf(task)}`, async () => {
    await context.collections.tasks.updateOne(
      { _id: task, log, expireAt: { $lt: covered } },
      { $set: { expireAt: covered } },
    );
  });
}

async function bringBack(context: MongoContext, tasks: readonly EndedTask[]): Promise<void> {
  const ttlMs = ttlOf(context);
  if (ttlMs === undefined) {
    return;
  }
  const { conversations, segments, snapshots, messages, pushNotifications } = context.collections;
  const ids = tasks.map(({ conversation }) => conversation);
  const found = await conversations.find({ _id: { $in: ids } }, { projection: { covered: 1 } }).toArray();
  const coveredMs = new Map(found.map(({ _id, covered }) => [nameOf(_id), covered?.getTime() ?? 0]));
  const usualMs = databaseNowMs(context) + ttlMs + slackOf(context);
  // Nearly all have the usual time; the others' conversations rely on a later one.
  const byTime = Map.groupBy(tasks, ({ conversation, until }) =>
    Math.max(usualMs, coveredMs.get(nameOf(conversation)) ?? 0, (until?.getTime() ?? 0) + slackOf(context)),
  );
  for (const [timeMs, some] of byTime) {
    const expireAt = new Date(timeMs);
    const lengths = [
      [segments, [keyBytes.segment, keyBytes.piece]],
      [snapshots, [keyBytes.piece, keyBytes.blob]],
      [messages, [keyBytes.pointer]],
      [pushNotifications, [keyBytes.config]],
    ] as const;
    for (const [collection, of] of lengths) {
      const ranges = some.flatMap(({ log }) => of.map((length) => ({ _id: keysOf(log, length) })));
      await (collection as unknown as typeof segments).updateMany(
        { $or: ranges, expireAt: { $gt: expireAt } },
        { $set: { expireAt } },
      );
    }
  }
}
