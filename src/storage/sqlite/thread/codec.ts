import { type DescMessage, fromBinary, type MessageShape } from "@bufbuild/protobuf";
import { type Message, MessageSchema } from "../../../../gen/lf/a2a/v1/a2a_pb.ts";
import type { Scope, TaskKey } from "../../../domain/scope.ts";
import { historyMessageOf } from "../../message-of-entry.ts";
import type { AppendResult, ClaimResult, StoredEntry, TaskAppend } from "../../storage.ts";
import { StorageError } from "../../storage-error.ts";
import { snapshotPieceBytes, transferBytesMin } from "../limits.ts";
import type { ClaimOutcome } from "../rows/claims.ts";
import { encodeEntryBatch, entryRanges } from "../rows/entry-batch.ts";
import type { KeptMessage } from "../rows/messages.ts";
import type { EntryRun } from "../rows/task-reads.ts";
import type { AppendArgs, AppendOutcome } from "../rows/tasks.ts";
import type { CallOptions } from "./channel.ts";

/** What crosses the threads, from and to what the port speaks of. */

/** A scope alone: callers hand in objects that are scopes among other things, not all of which can be cloned. */
export function scopeOf({ tenant, owner }: Scope): Scope {
  return { tenant, owner };
}

export function taskKeyOf({ tenant, owner, taskId }: TaskKey): TaskKey {
  return { tenant, owner, taskId };
}

/** Bytes in a buffer of their own size: cloning a view clones the whole buffer that it is a window on. */
export function ownBytes(bytes: Uint8Array): Uint8Array {
  return bytes.byteLength === bytes.buffer.byteLength ? bytes : new Uint8Array(bytes);
}

export function appendArgs(key: TaskKey, append: TaskAppend): AppendArgs {
  const { after, batch, header, messages, handled: answered, create } = append;
  const { summary, ...rest } = header;
  return {
    key: taskKeyOf(key),
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

export function appendResult(result: AppendOutcome): AppendResult {
  return result.outcome === "duplicate"
    ? { outcome: "duplicate", claim: { taskId: result.claim.taskId, ...answerOf(result.claim.answer) } }
    : result;
}

export function claimResult(result: ClaimOutcome): ClaimResult {
  return result.outcome === "duplicate"
    ? { outcome: "duplicate", taskId: result.taskId, ...answerOf(result.answer) }
    : result;
}

function answerOf(bytes: Uint8Array | undefined): { readonly answer?: Message } {
  return bytes === undefined ? {} : { answer: decode(MessageSchema, bytes) };
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

export function messagesOf(kept: readonly KeptMessage[]): readonly Message[] {
  return kept
    .map((message) =>
      message.isEntry ? historyMessageOf(message.bytes, message) : decode(MessageSchema, message.bytes),
    )
    .filter((message) => message !== undefined);
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

/** Decodes what this engine once encoded. Throws "corrupt" if it can't be. */
export function decode<T extends DescMessage>(schema: T, bytes: Uint8Array): MessageShape<T> {
  try {
    return fromBinary(schema, bytes);
  } catch (error) {
    throw new StorageError("corrupt", `The SQLite database holds something other than a ${schema.name}`, {
      cause: error,
    });
  }
}
