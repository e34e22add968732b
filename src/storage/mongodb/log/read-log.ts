import type { Binary } from "mongodb";
import type { TaskKey } from "../../../domain/scope.ts";
import type { StoredEntry } from "../../storage.ts";
import type { MongoContext } from "../context.ts";
import { allOf } from "../errors.ts";
import { keyBytes, keysOf, pieceKey, segmentKey, taskKey } from "../keys.ts";
import { tailBytesMax } from "../limits.ts";
import type { LogItem, SegmentRecord } from "../records.ts";
import { decodeEntries } from "./entries.ts";
import { findTask } from "./find-task.ts";

/** The most segments that one command reads. */
const segmentsMax = 64;

/**
 * Reads the entries after a sequence: the task's record first, then the segments below its tail. Entries below the tail
 * are committed and don't change, so none is missing and all are committed. Reading ends at a hole: the task was
 * removed, or the log is damaged.
 */
export async function readTask(
  context: MongoContext,
  key: TaskKey,
  after: bigint,
  bytesMax: number,
): Promise<readonly StoredEntry[]> {
  if (after >= BigInt(Number.MAX_SAFE_INTEGER)) {
    return [];
  }
  const task = await findTask(context, taskKey(key), { tailAfter: Number(after) });
  if (task === undefined) {
    return [];
  }
  const page = new EntryPage(context, task.log, Number(after), bytesMax);
  while (page.next < task.tailFirst && !page.full) {
    const segments = await findSegments(context, task.log, page.next, task.tailFirst, page.bytesLeft);
    if (segments.length === 0) {
      return page.entries;
    }
    for (const { items } of segments) {
      if (!(await page.add(items))) {
        return page.entries;
      }
    }
  }
  await page.add(task.tail);
  return page.entries;
}

/** The segment that contains a sequence and some of those after it, up to the number of bytes wanted. */
async function findSegments(
  context: MongoContext,
  log: Binary,
  from: number,
  below: number,
  bytes: number,
): Promise<readonly SegmentRecord[]> {
  const { segments } = context.collections;
  const limit = Math.min(Math.max(Math.ceil(bytes / tailBytesMax), 1), segmentsMax);
  const [first, more] = await allOf([
    segments
      .find({ _id: { $gte: keysOf(log, keyBytes.segment).$gte, $lte: segmentKey(log, from) } })
      .sort({ _id: -1 })
      .limit(1)
      .toArray(),
    segments
      .find({ _id: { $gt: segmentKey(log, from), $lt: segmentKey(log, below) } })
      .sort({ _id: 1 })
      .limit(limit)
      .toArray(),
  ]);
  // The segment ends before the sequence. There is a hole, or the next segment begins exactly at the sequence.
  return [...first.filter(({ last }) => last >= from), ...more];
}

/** Collects entries in order and without holes, up to a number of bytes. The first entry is taken whatever its size. */
class EntryPage {
  readonly entries: StoredEntry[] = [];
  /** The next sequence. */
  next: number;
  bytesLeft: number;
  full = false;
  readonly #context: MongoContext;
  readonly #log: Binary;

  constructor(context: MongoContext, log: Binary, after: number, bytesMax: number) {
    this.#context = context;
    this.#log = log;
    this.next = after + 1;
    this.bytesLeft = bytesMax;
  }

  /** False if no more can be added: the page is full, or there is a hole. */
  async add(items: readonly LogItem[]): Promise<boolean> {
    for (const item of items) {
      if (item.s + item.n <= this.next) {
        continue;
      }
      if (item.s > this.next) {
        return false;
      }
      if (!(await this.#addItem(item))) {
        return false;
      }
    }
    return !this.full;
  }

  async #addItem(item: LogItem): Promise<boolean> {
    if (item.d !== undefined) {
      return this.#addEntries(item, item.s, decodeEntries(item.d));
    }
    let first = item.s;
    for (const [index, { n, z }] of (item.x?.pieces ?? []).entries()) {
      if (first + n > this.next) {
        // A piece of one entry that doesn't fit is not read: its size is known.
        if (n === 1 && z > this.bytesLeft && this.entries.length > 0) {
          this.full = true;
          return false;
        }
        const piece = await this.#context.collections.batchPieces.findOne({
          _id: pieceKey(this.#log, (item.x as { id: Binary }).id, index),
        });
        if (piece === null || !this.#addEntries(item, first, decodeEntries(piece.d))) {
          return false;
        }
      }
      first += n;
    }
    return true;
  }

  #addEntries({ b }: LogItem, first: number, entries: readonly Uint8Array[]): boolean {
    for (const bytes of entries.slice(this.next - first)) {
      if (bytes.byteLength > this.bytesLeft && this.entries.length > 0) {
        this.full = true;
        return false;
      }
      this.bytesLeft -= bytes.byteLength;
      this.entries.push({ sequence: BigInt(this.next), batch: b, bytes });
      this.next += 1;
    }
    this.full ||= this.bytesLeft <= 0;
    return true;
  }
}
