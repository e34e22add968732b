import type { Binary, Collection, Document, Filter } from "mongodb";
import type { MongoContext } from "../context.ts";
import { allOf } from "../errors.ts";
import { keyBytes, keysOf, nameOf } from "../keys.ts";
import { jobStepRecords, removalStaleMs } from "../limits.ts";
import type { Belonging, ClaimPointer, RemovalRecord, TaskRecord } from "../records.ts";

/**
 * Removing in steps. One update of one record, the conversation's or the task's, first makes everything invisible. The
 * other records are removed in small steps. A note in `removals`, written before and deleted afterwards, lets another
 * replica finish the work.
 */

/** Writes notes before the first step of removals. Without a note, a crash would leave records for ever. */
export async function noteRemovals(
  context: MongoContext,
  removals: readonly Omit<RemovalRecord, "at">[],
): Promise<void> {
  const writes = removals.map(({ _id, ...rest }) => ({
    updateOne: {
      filter: { _id },
      update: [{ $replaceWith: { $mergeObjects: [{ _id: "$_id", at: "$$NOW" }, { $literal: rest }] } }],
      upsert: true,
    },
  }));
  await context.collections.removals.bulkWrite(writes, { ordered: false });
}

export async function forgetRemovals(context: MongoContext, ids: readonly Binary[]): Promise<void> {
  if (ids.length > 0) {
    await context.collections.removals.deleteMany({ _id: { $in: [...ids] } });
  }
}

/**
 * Removes all records that belong to removed incarnations, the claims that their tasks were created with, and then the
 * notes. The notes stay if closing interrupts the work.
 */
export async function removeBelongings(context: MongoContext, incarnations: readonly Binary[]): Promise<void> {
  if (incarnations.length > 0) {
    await allOf(
      belongings(context).map((collection) =>
        deleteAll(context, collection, { incarnation: { $in: [...incarnations] } }),
      ),
    );
    await forgetRemovals(context, context.jobs.closed ? [] : incarnations);
  }
}

/** Removes the claim that a removed task was created with, all its records, and then the note. */
export async function removeLog(context: MongoContext, log: Binary, claim?: ClaimPointer): Promise<void> {
  await dropClaims(context, claim === undefined ? [] : [claim]);
  const { segments, snapshots, messages, pushNotifications } = context.collections;
  const within = (...lengths: readonly number[]) => ({ $or: lengths.map((length) => ({ _id: keysOf(log, length) })) });
  await allOf([
    deleteAll(context, segments as unknown as Collection<Belonging>, within(keyBytes.segment, keyBytes.piece)),
    deleteAll(context, snapshots as unknown as Collection<Belonging>, within(keyBytes.piece, keyBytes.blob)),
    deleteAll(context, messages as unknown as Collection<Belonging>, within(keyBytes.pointer)),
    deleteAll(context, pushNotifications as unknown as Collection<Belonging>, within(keyBytes.config)),
  ]);
  await forgetRemovals(context, context.jobs.closed ? [] : [log]);
}

/** Removes the records of an incarnation that was replaced, off the request path. */
export function removeBelongingsLater(context: MongoContext, incarnation: Binary, conversation: Binary): void {
  context.jobs.run(`remove ${nameOf(incarnation)}`, async () => {
    await noteRemovals(context, [{ _id: incarnation, of: conversation, kind: "incarnation" }]);
    await removeBelongings(context, [incarnation]);
  });
}

export function removeLogLater(context: MongoContext, log: Binary, task: Binary): void {
  context.jobs.run(`remove ${nameOf(log)}`, async () => {
    await noteRemovals(context, [{ _id: log, of: task, kind: "log" }]);
    await removeLog(context, log);
  });
}

/** Finishes removals that a crash interrupted. */
export async function resumeRemovals(context: MongoContext): Promise<void> {
  const { removals, conversations, tasks } = context.collections;
  const stale = await removals
    .find({ $expr: { $lt: ["$at", { $subtract: ["$$NOW", removalStaleMs] }] } })
    .limit(jobStepRecords)
    .toArray();
  for (const { _id, of, kind, claim } of stale) {
    const present =
      kind === "incarnation"
        ? await conversations.findOne({ _id: of, incarnation: _id }, { projection: { _id: 1 } })
        : await tasks.findOne({ _id: of, log: _id }, { projection: { _id: 1 } });
    // If it still exists, the removal was noted and never begun.
    await (present !== null
      ? forgetRemovals(context, [_id])
      : kind === "incarnation"
        ? removeBelongings(context, [_id])
        : removeLog(context, _id, claim));
  }
}

/**
 * The collections of records that belong to conversations, in the order of renewal. Tasks are last, because the other
 * records mean nothing without them.
 */
export function belongings(context: MongoContext): readonly Collection<Belonging>[] {
  const { messages, segments, snapshots, pushNotifications, tasks } = context.collections;
  return [messages, segments, snapshots, pushNotifications, tasks] as unknown as readonly Collection<Belonging>[];
}

/** Gives up the claims of removed tasks, by token, so that newer claims of the same contents stay. */
async function dropClaims(context: MongoContext, claims: readonly ClaimPointer[]): Promise<void> {
  if (claims.length > 0) {
    const pulls = claims.map(({ key, token }) => ({
      updateOne: { filter: { _id: key }, update: { $pull: { entries: { token } } } },
    }));
    await context.collections.claims.bulkWrite(pulls, { ordered: false });
  }
}

/** Deletes in steps. Stops when the storage is closed. */
async function deleteAll(context: MongoContext, collection: Collection<Belonging>, filter: Document): Promise<void> {
  while (!context.jobs.closed) {
    const some = await collection
      .find(filter as Filter<Belonging>, { projection: { _id: 1, claim: 1 } })
      .limit(jobStepRecords)
      .toArray();
    if (some.length > 0) {
      // Only tasks have a claim. It is dropped first, because the record of the removed task keeps it from being held.
      await dropClaims(
        context,
        some.flatMap((record) => (record as Pick<TaskRecord, "claim">).claim ?? []),
      );
      // With the filter, because a task's id may be in use by a new task.
      await collection.deleteMany({
        $and: [filter as Filter<Belonging>, { _id: { $in: some.map(({ _id }) => _id) } }],
      });
    }
    if (some.length < jobStepRecords) {
      return;
    }
  }
}
