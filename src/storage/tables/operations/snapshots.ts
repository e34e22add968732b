import type { TaskKey } from "../../../domain/scope.ts";
import type { Snapshot } from "../../storage.ts";
import { concat } from "../entry-batch.ts";
import type { Moment } from "../moment.ts";
import { type Steps, step } from "../steps.ts";
import type { HeaderRow, Tables } from "../tables.ts";
import { findTask } from "./tasks.ts";

/** Some pieces of a snapshot. Those of the last call complete it. */
export interface SnapshotArgs {
  readonly key: TaskKey;
  /** A random number that tells this snapshot from every other of the task. */
  readonly snapshot: number;
  readonly sequence: number;
  /** The number of the first of these pieces, from 0. */
  readonly first: number;
  readonly pieces: readonly Uint8Array[];
  readonly last: boolean;
}

/**
 * Stores pieces of a snapshot; the last of them make it the task's. False if the rest is of no use: the task is gone or
 * has a newer snapshot.
 */
export function* storeSnapshot(
  tables: Tables,
  { key, snapshot, sequence, first, pieces, last }: SnapshotArgs,
  at: Moment,
): Steps<boolean> {
  const task = yield* findTask(tables, key, at);
  if (task === undefined || sequence <= task.snapshotSequence || sequence > task.head) {
    return false;
  }
  yield* step(tables.addSnapshotPieces(task.id, snapshot, first, pieces));
  if (!last) {
    return true;
  }
  // A snapshot that was completed in the meantime removed the pieces of all others.
  const complete = (yield* step(tables.countSnapshotPieces(task.id, snapshot))) === first + pieces.length;
  if (complete) {
    yield* step(tables.nameSnapshot(task.id, snapshot, sequence));
  }
  return complete;
}

export function* readSnapshot(tables: Tables, { id, snapshot }: HeaderRow): Steps<Snapshot | undefined> {
  if (snapshot === undefined) {
    return undefined;
  }
  const pieces = yield* step(tables.snapshotPieces(id, snapshot.number));
  return { sequence: BigInt(snapshot.sequence), bytes: concat(pieces) };
}
