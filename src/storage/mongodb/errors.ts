import { MongoError, MongoErrorLabel, MongoServerError, MongoWriteConcernError } from "mongodb";
import { StorageError } from "../storage-error.ts";

const duplicateKey = 11000;
/**
 * Refusals that come before anything is done, and that trying again doesn't change: bad values, documents too large, no
 * permission.
 */
const invalidCodes: ReadonlySet<unknown> = new Set([2, 9, 14, 10334, 17419, 17420, 17280, 54]);
const refusedCodes: ReadonlySet<unknown> = new Set([13, 18, 26, 73, 8000]);

/**
 * What leaves the storage in place of an error of the driver. The outcome of a write is "unknown" but for refusals
 * before anything is done:
 * - A write concern error hides whether the write itself took place, a lost race included (driver 7.9).
 * - Even "no server found" is no proof: the driver tries a write twice, and may throw this after the first try was
 *   sent.
 */
export function storageError(error: unknown, kind: "read" | "write", closed: boolean): unknown {
  if (!(error instanceof MongoError)) {
    return error;
  }
  const code = error instanceof MongoServerError && !(error instanceof MongoWriteConcernError) ? error.code : undefined;
  if (invalidCodes.has(code)) {
    return new StorageError("invalid", `MongoDB refuses the call: ${error.message}`, { cause: error });
  }
  const nothingDone =
    kind === "read" || refusedCodes.has(code) || error.hasErrorLabel(MongoErrorLabel.NoWritesPerformed);
  const outcome = nothingDone ? "none" : "unknown";
  return closed
    ? new StorageError("closed", "The storage was closed meanwhile", { outcome, cause: error })
    : new StorageError("unavailable", `MongoDB can't be reached or refuses: ${error.message}`, {
        outcome,
        cause: error,
      });
}

/**
 * A record of that `_id` is there, and a majority holds that: with a write concern error the driver throws another
 * class.
 */
export function isDuplicateKey(error: unknown): boolean {
  return error instanceof MongoServerError && !(error instanceof MongoWriteConcernError) && error.code === duplicateKey;
}

/** Waits for all of them, so that none is still under way afterwards, and throws the first error in their order. */
export async function allOf<T extends readonly unknown[]>(
  promises: readonly [...{ [index in keyof T]: Promise<T[index]> }],
): Promise<T> {
  const results = await Promise.allSettled(promises);
  for (const result of results) {
    if (result.status === "rejected") {
      throw result.reason;
    }
  }
  return results.map((result) => (result as PromiseFulfilledResult<unknown>).value) as unknown as T;
}
