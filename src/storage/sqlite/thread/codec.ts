import type { TaskKey } from "../../../domain/scope.ts";
import type { StoredEntry, TaskAppend } from "../../storage.ts";
import { snapshotPieceBytes, transferBytesMin } from "../limits.ts";
import { encodeEntryBatch, entryRanges } from "../rows/entry-batch.ts";
import type { EntryRun } from "../rows/task-reads.ts";
import type { AppendArgs } from "../rows/tasks.ts";
import type { CallOptions } from "./channel.ts";

/** What crosses the threads, from and to what the port speaks of. */

/** Bytes in a buffer of their own size: cloning a view clones the whole buffer that it is a window on. */
export function ownBytes(bytes: Uint8Array): Uint8Array {
  return bytes.byteLength === bytes.buffer.byteLength ? bytes : new Uint8Array(bytes);
}

export function appendArgs(key: TaskKey, append: TaskAppend): AppendArgs {
  const { after, batch, header, messages, handled: answered, create } = append;
  const { summary, ...rest } = header;
  return {
    key,
    append: {
      after,
      batch: {
        id: batch.id,
        count: batch.entries.length,
        logBytes: batch.entries.reduce((sum, { byteLength }) => sum + byteLength, 0),
        bytes: encodeEntryBatch(batch.entries),
      },
      header: summary === undefined ? rest : { ...rest, summary: ownBytes(summary) },
      messages,
      handled: answered,
      ...(create !== undefined && { create }),
    },
  };
}

/** The batch is this engine's own copy, so it changes threads without another one. */
export function appendOptions({ append: { batch, header } }: AppendArgs): CallOptions {
  return { bytes: batch.bytes.byteLength + (header.summary?.byteLength ?? 0), transfer: transferable([batch.bytes]) };
}

/**
 * The buffers of arrays that are large enough for a transfer to pay. Each array must be the whole of its buffer, and
 * the engine's own.
 */
export function transferable(arrays: readonly Uint8Array[]): readonly ArrayBuffer[] {
  return arrays.filter(({ byteLength }) => byteLength >= transferBytesMin).map(({ buffer }) => buffer as ArrayBuffer);
}

/** The entries of a run that begins after a sequence. */
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

/** A snapshot's bytes in pieces, copied. An empty one has one piece, so that a snapshot always has some. */
export function snapshotPieces(bytes: Uint8Array): readonly Uint8Array[] {
  const pieces: Uint8Array[] = [];
  let at = 0;
  do {
    pieces.push(new Uint8Array(bytes.subarray(at, at + snapshotPieceBytes)));
    at += snapshotPieceBytes;
  } while (at < bytes.byteLength);
  return pieces;
}
