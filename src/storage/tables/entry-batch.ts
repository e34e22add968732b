import type { StoredEntry } from "../storage.ts";
import { StorageError } from "../storage-error.ts";
import type { EncodedBatch } from "./tables.ts";

/**
 * The encoding of `taskmanager.storage.v1.EntryBatch`. It is written by hand, which copies each entry once, into a
 * buffer that another thread can be given. Readers need the places of the entries and not the entries. The encodings of
 * batches one after another are the encoding of all their entries.
 */

/** Tag of field 1, length-delimited. */
const entryTag = 0x0a;

/** Gives bytes to write into, of exactly that size. What they hold doesn't matter. */
export type Allocate = (size: number) => Uint8Array<ArrayBuffer>;

/** A buffer of its own, so that another thread can be given the whole buffer. */
const own: Allocate = (size) => new Uint8Array(size);

export function encodeEntryBatch(entries: readonly Uint8Array[], allocate: Allocate = own): Uint8Array<ArrayBuffer> {
  let size = 0;
  for (const entry of entries) {
    size += 1 + varintBytes(entry.byteLength) + entry.byteLength;
  }
  const bytes = allocate(size);
  let at = 0;
  for (const entry of entries) {
    bytes[at++] = entryTag;
    let rest = entry.byteLength;
    while (rest > 0x7f) {
      bytes[at++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    bytes[at++] = rest;
    bytes.set(entry, at);
    at += entry.byteLength;
  }
  return bytes;
}

/** Where an entry is within an encoded batch: its field begins at `start`, its bytes at `begin`, both end at `end`. */
export interface EntryRange {
  readonly start: number;
  readonly begin: number;
  readonly end: number;
}

/**
 * The places of the entries, in order. Throws "corrupt" if the bytes are no batch. It reads by itself, so that the
 * threads of SQLite don't load protobuf. Fields that a later release may add are left out.
 */
export function entryRanges(bytes: Uint8Array): readonly EntryRange[] {
  const ranges: EntryRange[] = [];
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = bytes[at++];
      if (byte === undefined) {
        break;
      }
      value |= shift < 32 ? (byte & 0x7f) << shift : 0;
      if (byte < 0x80) {
        return value >>> 0;
      }
    }
    throw corrupt();
  };
  while (at < bytes.length) {
    const start = at;
    const tag = varint();
    const wireType = tag & 7;
    if (wireType === 2) {
      const length = varint();
      const begin = at;
      at += length;
      if (tag === entryTag) {
        ranges.push({ start, begin, end: at });
      }
    } else if (wireType === 0) {
      varint();
    } else if (wireType === 1 || wireType === 5) {
      at += wireType === 1 ? 8 : 4;
    } else {
      throw corrupt();
    }
  }
  if (at !== bytes.length) {
    throw corrupt();
  }
  return ranges;
}

/**
 * Entries that follow each other: the batches they are of, with how many of each, and all of them encoded as one
 * `EntryBatch`.
 */
export interface EntryRun {
  readonly batches: readonly { readonly id: string; readonly count: number }[];
  readonly bytes: Uint8Array;
}

/** The entries of a run that begins after a sequence, as views on its bytes. */
export function entriesOf({ batches, bytes }: EntryRun, after: bigint): readonly StoredEntry[] {
  const ranges = entryRanges(bytes);
  const entries: StoredEntry[] = [];
  for (const { id, count } of batches) {
    for (const { begin, end } of ranges.slice(entries.length, entries.length + count)) {
      entries.push({ sequence: after + BigInt(entries.length) + 1n, batch: id, bytes: bytes.subarray(begin, end) });
    }
  }
  return entries;
}

/** Two bytes hold 14 bits, three 21, and so on; an entry is far below 2^32. */
function varintBytes(value: number): number {
  return value < 1 << 7 ? 1 : value < 1 << 14 ? 2 : value < 1 << 21 ? 3 : value < 1 << 28 ? 4 : 5;
}

function corrupt(): StorageError {
  return new StorageError("corrupt", "A segment of a log holds something other than entries");
}

export function encodedBatch(
  { id, entries }: { readonly id: string; readonly entries: readonly Uint8Array[] },
  allocate?: Allocate,
): EncodedBatch {
  let logBytes = 0;
  for (const { byteLength } of entries) {
    logBytes += byteLength;
  }
  return { id, count: entries.length, logBytes, bytes: encodeEntryBatch(entries, allocate) };
}

/** All bytes one after another, in a buffer of their own. */
export function concat(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.byteLength;
  }
  return bytes;
}
