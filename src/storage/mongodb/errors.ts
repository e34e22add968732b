import { MongoError, MongoErrorLabel, MongoServerError, MongoWriteConcernError } from "mongodb";
import { StorageError } from "../storage-error.ts";

const duplicateKey = 11000;
/**
 * Errors of invalid commands: bad values, documents too large. Nothing was done, and another try fails as well. The
 * second list is of refused permissions.
 */
const invalidCodes: ReadonlySet<unknown> = new Set([2, 9, 14, 10334, 17419, 17420, 17280, 54]);
const refusedCodes: ReadonlySet<unknown> = new Set([13, 18, 26, 73, 8000]);

/**
 * Turns an error of the driver into a `StorageError`. The outcome of a write is "unknown" unless the server refused it
 * before doing anything:
 * - A write concern error does not tell whether the write took place or its condition failed (driver 7.9).
 * - "No server found" proves nothing: the driver tries a write twice, and may throw this error after it sent the first
 *   try.
 */
export function storageError(error: unknown, kind: "read" | "write", closed: boolean): unknown {
  if (!(error instanceof MongoError)) {
    return error;
  }
  const code = error instanceof MongoServerError && !(error instanceof MongoWriteConcernError) ? error.code : undefined;
  if (invalidCodes.has(code)) {
    return new StorageError("invalid", `MongoDB refused the call: ${error.message}`, { cause: error });
  }
  const nothingDone =
    kind === "read" || refusedCodes.has(code) || error.hasErrorLabel(MongoErrorLabel.NoWritesPerformed);
  const outcome = nothingDone ? "none" : "unknown";
  return closed
    ? new StorageError("closed", "The storage was closed during the call", { outcome, cause: error })
    : new StorageError("unavailable", `MongoDB can't be reached or refused the call: ${error.message}`, {
        outcome,
        cause: error,
      });
}

/**
 * Whether a record of that `_id` exists and a majority has it. With a write concern error the driver throws another
 * class.
 */
export function isDuplicateKey(error: unknown): boolean {
  return error instanceof MongoServerError && !(error instanceof MongoWriteConcernError) && error.code === duplicateKey;
}

/**
 * Waits until all promises are settled, then throws the first error in their order. No call is still under way
 * afterwards.
 */
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
