import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { Binary } from "mongodb";
import { EntryBatchSchema } from "../../../../gen/taskmanager/storage/v1/records_pb.ts";
import { StorageError } from "../../storage-error.ts";
import { bytesOf } from "../keys.ts";
import { itemOverheadBytes, pieceBytesMax } from "../limits.ts";
import type { LogItem } from "../records.ts";

export function sizeOf(entries: readonly Uint8Array[]): number {
  return entries.reduce((sum, { byteLength }) => sum + byteLength, 0);
}

export function encodeEntries(entries: readonly Uint8Array[]): Binary {
  return new Binary(
    toBinary(EntryBatchSchema, { $typeName: EntryBatchSchema.typeName, entries: entries as Uint8Array[] }),
  );
}

/** Throws `StorageError` "corrupt" if the bytes are not a batch. */
export function decodeEntries(binary: Binary): readonly Uint8Array[] {
  try {
    return fromBinary(EntryBatchSchema, bytesOf(binary)).entries;
  } catch (error) {
    throw new StorageError("corrupt", "A log contains something other than entries", { cause: error });
  }
}

/** The size of an item in `tailBytes`: at least what it takes in the record. */
export function itemBytes(item: LogItem): number {
  const bytes = item.d === undefined ? 48 * (item.x?.pieces.length ?? 0) : item.d.length();
  return bytes + item.b.length + itemOverheadBytes;
}

/** Splits entries into pieces of at most `pieceBytesMax`, with at least one entry each. */
export function piecesOf(entries: readonly Uint8Array[]): readonly (readonly Uint8Array[])[] {
  const pieces: Uint8Array[][] = [];
  let bytes = Number.POSITIVE_INFINITY;
  for (const entry of entries) {
    if (bytes + entry.byteLength > pieceBytesMax) {
      pieces.push([]);
      bytes = 0;
    }
    pieces.at(-1)?.push(entry);
    bytes += entry.byteLength;
  }
  return pieces;
}
