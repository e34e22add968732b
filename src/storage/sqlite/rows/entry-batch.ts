import { StorageError } from "../../storage-error.ts";

/**
 * The encoding of `taskmanager.storage.v1.EntryBatch`, by hand: the writer needs one copy into a buffer of its own, the
 * readers the places of the entries and not the entries, and the encodings of batches one after another are that of all
 * their entries.
 */

/** Tag of field 1, length-delimited. */
const entryTag = 0x0a;

export function encodeEntryBatch(entries: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  let size = 0;
  for (const entry of entries) {
    size += 1 + varintBytes(entry.byteLength) + entry.byteLength;
  }
  // Not from Buffer's pool: the buffer as a whole is handed to another thread.
  const bytes = new Uint8Array(size);
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

/** The places of the entries, in order. Throws "corrupt" if the bytes are no batch. */
export function entryRanges(bytes: Uint8Array): readonly EntryRange[] {
  const ranges: EntryRange[] = [];
  let at = 0;
  while (at < bytes.byteLength) {
    const start = at;
    const tag = readVarint(bytes, at);
    at = tag.end;
    switch (tag.value & 7) {
      case 0:
        at = readVarint(bytes, at).end;
        break;
      case 1:
        at += 8;
        break;
      case 2: {
        const length = readVarint(bytes, at);
        at = length.end + length.value;
        if (tag.value === entryTag) {
          ranges.push({ start, begin: length.end, end: at });
        }
        break;
      }
      case 5:
        at += 4;
        break;
      default:
        throw corrupt();
    }
  }
  if (at !== bytes.byteLength) {
    throw corrupt();
  }
  return ranges;
}

/** Two bytes hold 14 bits, three 21, and so on; an entry is far below 2^32. */
function varintBytes(value: number): number {
  return value < 1 << 7 ? 1 : value < 1 << 14 ? 2 : value < 1 << 21 ? 3 : value < 1 << 28 ? 4 : 5;
}

function readVarint(bytes: Uint8Array, from: number): { readonly value: number; readonly end: number } {
  let value = 0;
  let factor = 1;
  for (let at = from; at < bytes.byteLength && at < from + 10; at++) {
    const byte = bytes[at] as number;
    // Multiplied rather than shifted: a field that this release doesn't know may hold more than 32 bits.
    value += (byte & 0x7f) * factor;
    factor *= 128;
    if (byte < 0x80) {
      return { value, end: at + 1 };
    }
  }
  throw corrupt();
}

function corrupt(): StorageError {
  return new StorageError("corrupt", "A segment of a log holds something other than entries");
}
