import type { Binary } from "mongodb";
import type { TaskAppend } from "../../storage.ts";
import { belongingOf, expiryOf, type MongoContext } from "../context.ts";
import { allOf, isDuplicateKey } from "../errors.ts";
import { bigintOf, newId, pieceKey, sameKey, segmentKey } from "../keys.ts";
import { tailBytesMax } from "../limits.ts";
import type { LogItem } from "../records.ts";
import { encodeEntries, piecesOf, sizeOf } from "./entries.ts";
import { type FoundTask, findTask } from "./find-task.ts";

/** The task that a record is written for. */
export interface LogOwner {
  readonly log: Binary;
  readonly incarnation: Binary;
}

/** Whether a batch is small enough for the tail of a task's record. */
export function fitsRecord({ entries }: TaskAppend["batch"]): boolean {
  return sizeOf(entries) <= tailBytesMax;
}

/**
 * The batch as an item of the record. A batch that is too large is stored beside the record first, under a new id. It
 * isn't read until a record refers to it.
 */
export async function writeItem(
  context: MongoContext,
  owner: LogOwner,
  first: number,
  batch: TaskAppend["batch"],
): Promise<LogItem> {
  const place = { s: first, n: batch.entries.length, b: batch.id };
  if (fitsRecord(batch)) {
    return { ...place, d: encodeEntries(batch.entries) };
  }
  const id = newId();
  const expiry = expiryOf(context, { running: true });
  const pieces = piecesOf(batch.entries);
  await allOf(
    pieces.map((entries, index) =>
      context.collections.batchPieces.insertOne({
        _id: pieceKey(owner.log, id, index),
        d: encodeEntries(entries),
        ...belongingOf(owner.incarnation, expiry),
      }),
    ),
  );
  return { ...place, x: { id, pieces: pieces.map((entries) => ({ n: entries.length, z: sizeOf(entries) })) } };
}

/** Removes the pieces of a batch that was not committed, off the request path. */
export function removeItemLater(context: MongoContext, { log }: LogOwner, { x }: LogItem): void {
  if (x !== undefined) {
    const keys = x.pieces.map((_, index) => pieceKey(log, x.id, index));
    context.jobs.run(`remove ${x.id.toString("hex")}`, async () => {
      await context.collections.batchPieces.deleteMany({ _id: { $in: keys } });
    });
  }
}

/**
 * Makes room in the task's record: the tail is copied to a segment, and the next append's update relies on the segment.
 * False if the task isn't at the position that the append expects.
 *
 * Invariant: a segment contains only committed entries. It is made from a record that a majority has. A segment that
 * exists already, from an earlier try, is a prefix of the tail or longer; the longer one is kept.
 */
export async function moveTail(
  context: MongoContext,
  task: Binary,
  owner: LogOwner,
  after: TaskAppend["after"],
): Promise<boolean> {
  const isExpected = (found: FoundTask | undefined): found is FoundTask =>
    found !== undefined &&
    sameKey(found.log, owner.log) &&
    found.head === Number(after.head) &&
    found.batch === after.batch &&
    bigintOf(found.fence) === after.fence;
  let found = await findTask(context, task, { tailAfter: 0 });
  if (!isExpected(found)) {
    found = await findTask(context, task, { tailAfter: 0, latest: true });
  }
  if (!isExpected(found)) {
    return false;
  }
  const { tail, tailFirst, head, incarnation } = found;
  const { segments } = context.collections;
  const segment = { last: head, items: tail, ...belongingOf(incarnation, expiryOf(context, { running: true })) };
  const shorter = { _id: segmentKey(owner.log, tailFirst), last: { $lt: head } };
  try {
    await segments.updateOne(shorter, { $set: segment }, { upsert: true });
  } catch (error) {
    if (!isDuplicateKey(error)) {
      throw error;
    }
    // A segment exists. It may be shorter if it was written at the same time, and relying on it would leave a hole in
    // the log.
    await segments.updateOne(shorter, { $set: segment });
  }
  return true;
}
