import type { Binary } from "mongodb";
import type { TaskAppend } from "../../storage.ts";
import { belongingOf, expiryOf, type MongoContext } from "../context.ts";
import { allOf, isDuplicateKey } from "../errors.ts";
import { bigintOf, newId, pieceKey, sameKey, segmentKey } from "../keys.ts";
import { tailBytesMax } from "../limits.ts";
import type { LogItem } from "../records.ts";
import { encodeEntries, piecesOf, sizeOf } from "./entries.ts";
import { findTask } from "./find-task.ts";

/** The task that something is written for. */
export interface LogOwner {
  readonly log: Binary;
  readonly incarnation: Binary;
}

/** A batch small enough for the tail of a task's record. */
export function fitsRecord({ entries }: TaskAppend["batch"]): boolean {
  return sizeOf(entries) <= tailBytesMax;
}

/**
 * The batch as the record names it. One that is too large for the record is written beside it first, under an id of its
 * own: until a record names it, nobody reads it.
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

/** Removes the pieces of a batch that didn't get into the log, off the request path. */
export function removeItemLater(context: MongoContext, { log }: LogOwner, { x }: LogItem): void {
  if (x !== undefined) {
    const keys = x.pieces.map((_, index) => pieceKey(log, x.id, index));
    context.jobs.run(`remove ${x.id.toString("hex")}`, async () => {
      await context.collections.batchPieces.deleteMany({ _id: { $in: keys } });
    });
  }
}

/**
 * Makes room: what the tail holds becomes a segment, which the next append's update then relies on. False if the task
 * isn't where the append wants it, so that there is nothing to make room for.
 *
 * Invariant: a segment holds committed entries alone. It is made of a record that a majority holds; one that is there
 * already, because somebody got this far before, is a prefix of it, or longer, and the longer one stays.
 */
export async function moveTail(
  context: MongoContext,
  task: Binary,
  owner: LogOwner,
  after: TaskAppend["after"],
): Promise<boolean> {
  const found = await findTask(context, task, { tailAfter: 0 });
  const expected =
    found !== undefined &&
    sameKey(found.log, owner.log) &&
    found.head === Number(after.head) &&
    found.batch === after.batch &&
    bigintOf(found.fence) === after.fence;
  if (!expected) {
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
    // There is one. If it came in the same moment, it may be shorter all the same; relying on it would leave a hole in
    // the log.
    await segments.updateOne(shorter, { $set: segment });
  }
  return true;
}
