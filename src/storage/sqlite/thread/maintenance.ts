import { randomInt } from "node:crypto";
import type { Scope, TaskKey } from "../../../domain/scope.ts";
import type { Snapshot } from "../../storage.ts";
import { StorageError } from "../../storage-error.ts";
import { snapshotCallBytes, snapshotPieceBytes } from "../limits.ts";
import type { CleanupPlace } from "../rows/sweep.ts";
import type { SqliteChannel } from "./channel.ts";
import { snapshotPieces, transferable } from "./codec.ts";
import type { writeOperations } from "./operations.ts";

/**
 * The work that takes many calls of the writer, each a small transaction, so that others' calls are carried out in
 * between. Once closed, what may stop halfway stops at its next step.
 */
export class Maintenance {
  readonly #writer: SqliteChannel<typeof writeOperations>;
  readonly #running = new Set<Promise<unknown>>();
  #closed = false;

  constructor(writer: SqliteChannel<typeof writeOperations>) {
    this.#writer = writer;
  }

  /** Resolves when nothing is under way any more. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.allSettled(this.#running);
  }

  storeSnapshot(key: TaskKey, { sequence, bytes }: Snapshot): Promise<void> {
    return this.#run(async () => {
      const args = { key, snapshot: randomInt(2 ** 47), sequence: Number(sequence) };
      const pieces = snapshotPieces(bytes);
      const step = snapshotCallBytes / snapshotPieceBytes;
      for (let piece = 0; piece < pieces.length; piece += step) {
        const some = pieces.slice(piece, piece + step);
        const options = {
          bytes: some.reduce((sum, { byteLength }) => sum + byteLength, 0),
          transfer: transferable(some),
        };
        const last = piece + step >= pieces.length;
        if (!(await this.#writer.call("storeSnapshot", { ...args, piece, pieces: some, last }, options))) {
          return;
        }
      }
    });
  }

  /**
   * Removes conversations beyond an age and takes their rows away, and those that were left over from before; says how
   * many it removed.
   */
  cleanup(maxAgeMs: number, scope: Scope | undefined): Promise<number> {
    return this.#run(async () => {
      let total = 0;
      try {
        let from: CleanupPlace | undefined;
        do {
          const { removed, next } = await this.#writer.call("cleanupConversations", { maxAgeMs, scope, from });
          total += removed;
          from = next;
          await this.#sweep();
        } while (from !== undefined && !this.#closed);
        await this.#writer.call("forgetReplicas", {});
      } catch (error) {
        throw total === 0
          ? error
          : new StorageError("unavailable", "The cleanup got only so far", { outcome: "unknown", cause: error });
      }
      return total;
    });
  }

  /**
   * Takes away the rows of what was removed. Never fails: that it was removed is true already, and the next cleanup
   * takes away what is left.
   */
  async sweep(): Promise<void> {
    await this.#run(() => this.#sweep()).catch(() => undefined);
  }

  async #sweep(): Promise<void> {
    let more = true;
    while (more && !this.#closed) {
      more = await this.#writer.call("sweep", {});
    }
  }

  async #run<T>(steps: () => Promise<T>): Promise<T> {
    const running = steps();
    this.#running.add(running);
    try {
      return await running;
    } finally {
      this.#running.delete(running);
    }
  }
}
