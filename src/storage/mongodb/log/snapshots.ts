import { Binary } from "mongodb";
import type { TaskKey } from "../../../domain/scope.ts";
import type { Snapshot } from "../../storage.ts";
import { expiryOf, type MongoContext } from "../context.ts";
import { allOf } from "../errors.ts";
import { bytesOf, nameOf, newId, pieceKey, taskKey } from "../keys.ts";
import { snapshotPieceBytes } from "../limits.ts";
import type { SnapshotRecord } from "../records.ts";
import { isRunning } from "../states.ts";
import { findTask } from "./find-task.ts";

/**
 * Stores a snapshot. Its pieces are stored first, under a new id. Then the task's record refers to them, if that raises
 * the sequence. The pieces of the snapshot before are removed afterwards, or these if they weren't needed.
 */
export async function storeSnapshot(context: MongoContext, key: TaskKey, { sequence, bytes }: Snapshot): Promise<void> {
  const task = await findTask(context, taskKey(key));
  const at = Number(sequence);
  if (task === undefined || at > task.head || at <= (task.snapshot?.sequence ?? 0)) {
    return;
  }
  const { log, incarnation, parent } = task;
  const expiry = expiryOf(context, { running: isRunning(task.state), covered: parent.covered });
  const id = newId();
  const pieces = Math.max(1, Math.ceil(bytes.byteLength / snapshotPieceBytes));
  for (let index = 0; index < pieces; index++) {
    const d = new Binary(bytes.subarray(index * snapshotPieceBytes, (index + 1) * snapshotPieceBytes));
    await context.collections.snapshots.insertOne({ _id: pieceKey(log, id, index), incarnation, d, ...expiry });
  }
  const before = await context.collections.tasks.findOneAndUpdate(
    {
      _id: task._id,
      log,
      head: { $gte: at },
      $or: [{ snapshot: { $exists: false } }, { "snapshot.sequence": { $lt: at } }],
    },
    { $set: { snapshot: { id, sequence: at, pieces }, longLived: true } },
    { returnDocument: "before", projection: { snapshot: 1 } },
  );
  const unwanted = before === null ? { id, sequence: at, pieces } : before.snapshot;
  if (unwanted !== undefined) {
    context.jobs.run(`remove ${nameOf(unwanted.id)}`, async () => {
      await context.collections.snapshots.deleteMany({ _id: { $in: pieceKeys(log, unwanted) } });
    });
  }
}

/** A snapshot's bytes. Undefined if its pieces are gone. */
export async function readSnapshot(
  context: MongoContext,
  log: Binary,
  { id, sequence, pieces }: SnapshotRecord,
): Promise<Snapshot | undefined> {
  // One command for each: together they may be too large for one reply of the database.
  const found = await allOf(
    pieceKeys(log, { id, pieces }).map((_id) => context.collections.snapshots.findOne({ _id })),
  );
  const bytes: Uint8Array[] = [];
  for (const piece of found) {
    if (piece === null) {
      return undefined;
    }
    bytes.push(bytesOf(piece.d));
  }
  return { sequence: BigInt(sequence), bytes: bytes.length === 1 ? (bytes[0] as Uint8Array) : Buffer.concat(bytes) };
}

function pieceKeys(log: Binary, { id, pieces }: Pick<SnapshotRecord, "id" | "pieces">): Binary[] {
  return Array.from({ length: pieces }, (_, index) => pieceKey(log, id, index));
}
