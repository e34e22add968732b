import { randomInt } from "node:crypto";
import { setImmediate } from "node:timers/promises";
import type { ConversationKey, Scope, TaskKey } from "../../domain/scope.ts";
import type { Logger } from "../../runtime/logger.ts";
import type { Snapshot } from "../storage.ts";
import { StorageError } from "../storage-error.ts";
import { giveBacksMax, snapshotCallBytes, snapshotPieceBytes } from "./limits.ts";
import type { CleanupPlace } from "./operations/sweep.ts";
import type { Transactions } from "./transactions.ts";

/**
 * The work that takes many transactions, each a small one, so that other calls run in between. Once closed, a job that
 * can stop halfway stops after its present transaction.
 */
export class Jobs {
  readonly #transactions: Transactions;
  readonly #logger: Logger;
  readonly #running = new Set<Promise<unknown>>();
  #closed = false;

  constructor(transactions: Transactions, logger: Logger) {
    this.#transactions = transactions;
    this.#logger = logger;
  }

  /** Resolves when no job runs any more. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.allSettled(this.#running);
  }

  storeSnapshot(key: TaskKey, { sequence, bytes }: Snapshot): Promise<void> {
    return this.#run(async () => {
      const args = { key, snapshot: randomInt(1, 2 ** 47), sequence: Number(sequence) };
      const pieces = piecesOf(bytes);
      const step = snapshotCallBytes / snapshotPieceBytes;
      for (let first = 0; first < pieces.length; first += step) {
        const some = pieces.slice(first, first + step);
        const last = first + step >= pieces.length;
        if (!(await this.#transactions.write("storeSnapshot", { ...args, first, pieces: some, last }))) {
          return;
        }
      }
    });
  }

  /**
   * Removes the conversations beyond an age that no task holds, and all rows that were left over from before. Returns
   * how many conversations it removed.
   */
  cleanup(maxAgeMs: number, scope: Scope | undefined): Promise<number> {
    return this.#run(async () => {
      let total = 0;
      try {
        let from: CleanupPlace | undefined;
        do {
          const { removed, next } = await this.#transactions.write("cleanupConversations", { maxAgeMs, scope, from });
          total += removed;
          from = next;
          await this.#sweep();
          if (from !== undefined) {
            // An engine that doesn't wait for anything would keep the event loop from turning.
            await setImmediate();
          }
        } while (from !== undefined && !this.#closed);
        await this.#giveBack();
        await this.#transactions.write("forgetReplicas", {});
      } catch (error) {
        throw total === 0
          ? error
          : new StorageError("unavailable", "The cleanup removed some conversations and then failed", {
              outcome: "unknown",
              cause: error,
            });
      }
      return total;
    });
  }

  /** Conversations beyond an age that no task holds, oldest access first. */
  getExpired(maxAgeMs: number, limit: number, scope: Scope | undefined): Promise<readonly ConversationKey[]> {
    return this.#run(async () => {
      const found: ConversationKey[] = [];
      let from: CleanupPlace | undefined;
      do {
        const { expired, next } = await this.#transactions.read("findExpired", { maxAgeMs, scope, from });
        found.push(...expired);
        from = next;
        if (from !== undefined) {
          // As above.
          await setImmediate();
        }
      } while (from !== undefined && found.length < limit);
      return found.slice(0, limit);
    });
  }

  /** Removes the rows of what is hidden. Never fails: the next cleanup removes what is left. */
  async sweep(): Promise<void> {
    await this.#run(() => this.#sweep()).catch((error: unknown) => {
      this.#logger.warn({ err: error }, "Removed rows could not be swept; the next cleanup sweeps them");
    });
  }

  async #sweep(): Promise<void> {
    let more = true;
    while (more && !this.#closed) {
      more = await this.#transactions.write("sweep", {});
    }
  }

  async #giveBack(): Promise<void> {
    let more = true;
    for (let step = 0; more && step < giveBacksMax && !this.#closed; step++) {
      more = await this.#transactions.write("giveBack", {});
    }
  }

  async #run<T>(job: () => Promise<T>): Promise<T> {
    const running = job();
    this.#running.add(running);
    try {
      return await running;
    } finally {
      this.#running.delete(running);
    }
  }
}

/** Copies of a snapshot's bytes, in pieces. An empty snapshot has one piece, so that every snapshot has some. */
function piecesOf(bytes: Uint8Array): readonly Uint8Array[] {
  const pieces: Uint8Array[] = [];
  let at = 0;
  do {
    pieces.push(new Uint8Array(bytes.subarray(at, at + snapshotPieceBytes)));
    at += snapshotPieceBytes;
  } while (at < bytes.byteLength);
  return pieces;
}
