import type { Binary, Filter, UpdateFilter } from "mongodb";
import { type EndedNotes, type EndedTask, type MongoContext, slackOf, ttlOf } from "../context.ts";
import { keyBytes, keysOf, nameOf } from "../keys.ts";
import { endedDelayMs, jobStepRecords } from "../limits.ts";
import type { Belonging, ConversationRecord } from "../records.ts";
import { belongings } from "./removal-steps.ts";

/**
 * The expiry of the records that belong to a conversation. MongoDB removes each record by its own `expireAt`, which is
 * written as far ahead as the conversation can live without another access, plus the slack. While the conversation is
 * used, its records are renewed.
 *
 * Invariant: `covered` of the conversation is a lower bound of the `expireAt` of all its records. It is raised only
 * after all of them were, so no conversation outlives one of its records.
 */

/** The time after which a write that was under way during a renewal is visible to it. */
const settleMs = 1_000;

/**
 * Renews the records of a conversation, off the request path, if less than half of their slack would be left, or if
 * some may have been written with too early an expiry.
 */
export function renewIfDue(context: MongoContext, conversation: ConversationRecord, someEarly: boolean): void {
  const neededMs = neededUntilMs(context, conversation);
  const isDue = neededMs !== undefined && (conversation.covered?.getTime() ?? 0) < neededMs + slackOf(context) / 2;
  if (isDue || someEarly) {
    context.jobs.run(`renew ${nameOf(conversation._id)}`, () => renew(context, conversation, someEarly));
  }
}

/** The longest time that the conversation can live without another touch. Running tasks touch it regularly. */
function neededUntilMs(context: MongoContext, { lastAccess, pins }: ConversationRecord): number | undefined {
  const ttlMs = ttlOf(context);
  if (ttlMs === undefined) {
    return undefined;
  }
  const untils = pins.filter(({ running }) => !running).map(({ until }) => until.getTime());
  return Math.max(lastAccess.getTime() + ttlMs, ...untils);
}

/** Raises the expiry of all records of a conversation, in steps, and then `covered`. */
export async function renew(context: MongoContext, conversation: ConversationRecord, someEarly = false): Promise<void> {
  const { _id, incarnation } = conversation;
  const ttlMs = ttlOf(context);
  const neededMs = neededUntilMs(context, conversation);
  if (ttlMs === undefined || neededMs === undefined) {
    return;
  }
  const usualMs = context.clock.nowMs + ttlMs;
  const expireAt = new Date(Math.max(usualMs, neededMs) + slackOf(context));
  await raise(context, incarnation, expireAt);
  if (context.jobs.closed) {
    // Interrupted: `covered` stays, because some records may not have been reached.
    return;
  }
  await context.collections.conversations.updateOne({ _id, incarnation }, { $max: { covered: expireAt } });
  if (neededMs > usualMs || someEarly) {
    // For records that were being written meanwhile, with the usual expiry or one that is too early.
    await context.jobs.sleep(settleMs);
    await raise(context, incarnation, expireAt);
  }
}

async function raise(context: MongoContext, incarnation: Binary, expireAt: Date): Promise<void> {
  // Not "less than": records from before the retention was set have no expiry.
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
 * Lowers the expiry of the records of ended tasks, which was written for a running task, to that of their
 * conversations. It does so some time later, for many tasks at once.
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

/** Raises the expiry of an ended task's record to `covered` of its conversation, off the request path. */
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
  const usualMs = context.clock.nowMs + ttlMs + slackOf(context);
  // Nearly all get the usual expiry. A conversation with a later `covered` or pin needs a later one.
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
