import { closeSync, openSync, readSync } from "node:fs";
import type { TaskKey } from "../../../src/domain/scope.ts";
import type { TaskAppend } from "../../../src/storage/storage.ts";

export const scope = { tenant: "tenant", owner: "owner" };

export function taskKey(taskId: string): TaskKey {
  return { ...scope, taskId };
}

/** The first append of a task, of one entry. */
export function creation(contextId: string, entry: Uint8Array = new Uint8Array([0x78, 1])): TaskAppend {
  return {
    after: { head: 0n, batch: "", fence: 0n },
    batch: { id: "batch-1", entries: [entry] },
    header: { state: 2, statusTimeMs: 1000, replica: "replica", fence: 1n, summary: new Uint8Array([1]) },
    messages: [],
    handled: [],
    create: { contextId },
  };
}

/** The append of one entry that makes the head `head`; every append before it was one of these. */
export function progress(head: number, entry: Uint8Array = new Uint8Array([0x78, 1])): TaskAppend {
  return {
    after: { head: BigInt(head - 1), batch: `batch-${head - 1}`, fence: 1n },
    batch: { id: `batch-${head}`, entries: [entry] },
    header: { state: 2, statusTimeMs: 1000, replica: "replica", fence: 1n },
    messages: [],
    handled: [],
  };
}

/**
 * What is in a write-ahead log (https://www.sqlite.org/fileformat2.html#the_write_ahead_log), which must not have begun
 * anew.
 */
export function readWal(file: string): { readonly frames: number; readonly commits: number } {
  const wal = openSync(`${file}-wal`, "r");
  try {
    const header = Buffer.alloc(32);
    readSync(wal, header, 0, 32, 0);
    const frameBytes = 24 + header.readUInt32BE(8);
    const frame = Buffer.alloc(24);
    let frames = 0;
    let commits = 0;
    while (
      readSync(wal, frame, 0, 24, 32 + frames * frameBytes) === 24 &&
      frame.subarray(8, 16).equals(header.subarray(16, 24))
    ) {
      frames += 1;
      // The frame that ends a transaction holds the size of the database, every other one 0.
      commits += frame.readUInt32BE(4) === 0 ? 0 : 1;
    }
    return { frames, commits };
  } finally {
    closeSync(wal);
  }
}
