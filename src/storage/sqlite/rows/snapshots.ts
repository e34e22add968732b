import type { TaskKey } from "../../../domain/scope.ts";
import type { Snapshot } from "../../storage.ts";
import { handOver, type Row, type SqliteContext } from "../thread/context.ts";
import { findTask } from "./tasks.ts";

/** Some pieces of a snapshot. Those of the last call complete it. */
export interface SnapshotArgs {
  readonly key: TaskKey;
  /** A random number that tells this snapshot from every other of the task. */
  readonly snapshot: number;
  readonly sequence: number;
  /** The number of the first of these pieces, from 0. */
  readonly piece: number;
  readonly pieces: readonly Uint8Array[];
  readonly last: boolean;
}

/**
 * Keeps pieces of a snapshot, and with the last of them makes it the task's. Says whether there is any use in going on:
 * not if the task is gone or has a newer one.
 */
export function storeSnapshot(context: SqliteContext, args: SnapshotArgs, nowMs: number): boolean {
  const { key, snapshot, sequence, piece, pieces, last } = args;
  const task = findTask(context, key, nowMs);
  if (task === undefined || sequence <= task.snapshotSequence || sequence > task.head) {
    return false;
  }
  for (const [index, bytes] of pieces.entries()) {
    context.sql.insertSnapshotPiece.run({ task: task.id, snapshot, piece: piece + index, bytes });
  }
  if (!last) {
    return true;
  }
  // Another one that was completed meanwhile took the pieces of this one for left over.
  const complete = context.sql.countSnapshotPieces.get({ task: task.id, snapshot })?.count === piece + pieces.length;
  if (complete) {
    context.sql.nameSnapshot.run({ id: task.id, snapshot, sequence });
    context.sql.deleteOtherSnapshots.run({ task: task.id, snapshot });
  }
  return complete;
}

/** The snapshot that a row of a task names. */
export function readSnapshot(context: SqliteContext, row: Row): Snapshot | undefined {
  if (row.snapshot === null) {
    return undefined;
  }
  const snapshot = row.snapshot as number;
  const pieces = context.sql.snapshotPieces
    .all({ task: row.id as number, snapshot })
    .map((piece) => piece.bytes as Uint8Array);
  const bytes = new Uint8Array(pieces.reduce((sum, { byteLength }) => sum + byteLength, 0));
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.byteLength;
  }
  return { sequence: BigInt(row.snapshot_sequence as number), bytes: handOver(context, bytes) };
}
