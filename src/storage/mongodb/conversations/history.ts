import type { Binary, Document } from "mongodb";
import type { StoredMessage } from "../../storage-engine.ts";
import type { MongoContext } from "../context.ts";
import { bytesOf, keyBytes, keysOf, nameOf, pieceKey, segmentKey } from "../keys.ts";
import { decodeEntries } from "../log/entries.ts";
import type { LogItem, SegmentRecord } from "../records.ts";

/** A message's place in a history. The pointer is a record of its own, or part of its task's record. */
export interface Pointer {
  /** The pointer's record, or that of its task. */
  readonly _id: Binary;
  /** The field of the task's record that is the pointer. Undefined for a pointer in a record of its own. */
  readonly field?: "first" | "last" | undefined;
  readonly messageId: string;
  readonly contextId: string;
  readonly time: number;
  readonly taskId: string;
  readonly sequence: number;
  readonly task?: Binary | undefined;
  readonly log?: Binary | undefined;
  /** The batch that must be at the place. Undefined for a pointer in its task's record. */
  readonly batch?: string | undefined;
  readonly bytes?: Binary | undefined;
  readonly verified?: boolean | undefined;
}

/** A log's record with only the batches that are wanted. */
type CutLog = {
  readonly _id: Binary;
  readonly log: Binary;
  readonly head: number;
  readonly tailFirst: number;
  readonly tail: readonly LogItem[];
};

/** "open": the batch isn't in the log yet, but may still be appended. "lost": it will never be in the log. */
export type Found =
  | { readonly at: "log"; readonly item: LogItem }
  | { readonly at: "own" }
  | { readonly at: "open" }
  | { readonly at: "lost" };

/**
 * Looks up the places of pointers, in the order given. A pointer whose batch isn't in the log at its place isn't part
 * of the history.
 */
export async function locate(context: MongoContext, pointers: readonly Pointer[]): Promise<readonly Found[]> {
  const inLogs = pointers.filter(({ log }) => log !== undefined);
  const byTask = Map.groupBy(inLogs, ({ task }) => nameOf(task as Binary));
  const logs = new Map<string, CutLog>();
  if (byTask.size > 0) {
    for (const found of await context.collections.tasks.aggregate<CutLog>(cutStages(byTask)).toArray()) {
      logs.set(nameOf(found._id), found);
    }
  }
  const items = new Map<Pointer, LogItem | undefined>();
  await Promise.all(
    [...byTask].map(async ([name, of]) => {
      const log = logs.get(name);
      for (const [pointer, item] of log === undefined ? [] : await itemsOf(context, log, of)) {
        items.set(pointer, item);
      }
    }),
  );
  return pointers.map((pointer): Found => {
    if (pointer.log === undefined) {
      return { at: "own" };
    }
    const item = items.get(pointer);
    if (item !== undefined && (pointer.batch === undefined || item.b === pointer.batch)) {
      return { at: "log", item };
    }
    const log = logs.get(nameOf(pointer.task as Binary));
    const isOpen = log !== undefined && nameOf(log.log) === nameOf(pointer.log) && log.head < pointer.sequence;
    return { at: isOpen || log === undefined ? "open" : "lost" };
  });
}

/** The messages of pointers. Undefined for pointers that are in no history. */
export async function readMessages(
  context: MongoContext,
  pointers: readonly Pointer[],
): Promise<readonly (StoredMessage | undefined)[]> {
  const found = await locate(context, pointers);
  return Promise.all(
    found.map(async (where, index): Promise<StoredMessage | undefined> => {
      const pointer = pointers[index] as Pointer;
      const { contextId, taskId } = pointer;
      if (where.at === "own") {
        return { contextId, taskId, isEntry: false, bytes: bytesOf(pointer.bytes as Binary) };
      }
      const bytes = where.at === "log" ? await entryOf(context, pointer, where.item) : undefined;
      return bytes && { contextId, taskId, isEntry: true, bytes };
    }),
  );
}

/**
 * Selects, of each task's tail, the batches that contain one of the wanted sequences. Tails are large, and a history
 * spans many tasks.
 */
function cutStages(byTask: ReadonlyMap<string, readonly Pointer[]>): Document[] {
  const wanted = [...byTask.values()].map((pointers) => ({
    task: pointers[0]?.task,
    sequences: pointers.map(({ sequence }) => sequence),
  }));
  const isIn = { $and: [{ $gte: ["$$at", "$$item.s"] }, { $lt: ["$$at", { $add: ["$$item.s", "$$item.n"] }] }] };
  const holdsOne = { $anyElementTrue: { $map: { input: "$wanted.sequences", as: "at", in: isIn } } };
  return [
    { $match: { _id: { $in: wanted.map(({ task }) => task) } } },
    {
      $set: {
        wanted: { $first: { $filter: { input: { $literal: wanted }, cond: { $eq: ["$$this.task", "$_id"] } } } },
      },
    },
    { $project: { log: 1, head: 1, tailFirst: 1, tail: { $filter: { input: "$tail", as: "item", cond: holdsOne } } } },
  ];
}

/** The batch at each pointer's place. Neighbours are often in one segment, so each segment is read once. */
async function itemsOf(
  context: MongoContext,
  { log, tail, tailFirst }: CutLog,
  pointers: readonly Pointer[],
): Promise<Map<Pointer, LogItem | undefined>> {
  const items = new Map<Pointer, LogItem | undefined>();
  let segment: SegmentRecord | undefined;
  for (const pointer of pointers.toSorted((a, b) => b.sequence - a.sequence)) {
    const { sequence } = pointer;
    if (nameOf(pointer.log as Binary) !== nameOf(log)) {
      continue;
    }
    if (sequence >= tailFirst) {
      items.set(pointer, itemAt(tail, sequence));
      continue;
    }
    if (itemAt(segment?.items ?? [], sequence) === undefined) {
      const range = { $gte: keysOf(log, keyBytes.segment).$gte, $lte: segmentKey(log, sequence) };
      [segment] = await context.collections.segments.find({ _id: range }).sort({ _id: -1 }).limit(1).toArray();
    }
    items.set(pointer, itemAt(segment?.items ?? [], sequence));
  }
  return items;
}

function itemAt(items: readonly LogItem[], sequence: number): LogItem | undefined {
  return items.find(({ s, n }) => s <= sequence && sequence < s + n);
}

/** The entry at a pointer's place. Undefined if its piece is gone, because its task was removed meanwhile. */
async function entryOf(context: MongoContext, pointer: Pointer, { s, d, x }: LogItem): Promise<Uint8Array | undefined> {
  const { sequence } = pointer;
  let first = s;
  let entries = d === undefined ? [] : decodeEntries(d);
  for (const [index, { n }] of (x?.pieces ?? []).entries()) {
    if (sequence < first + n) {
      const piece = await context.collections.batchPieces.findOne({
        _id: pieceKey(pointer.log as Binary, (x as { id: Binary }).id, index),
      });
      entries = piece === null ? [] : decodeEntries(piece.d);
      break;
    }
    first += n;
  }
  return entries[sequence - first];
}
