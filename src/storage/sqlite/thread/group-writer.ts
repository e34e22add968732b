import { StorageError } from "../../storage-error.ts";
import { createWalLimiter, cutFile } from "./connection.ts";
import type { SqliteContext } from "./context.ts";
import { failAll, runWrites } from "./group.ts";
import { writerOperations } from "./operations.ts";
import type { Call, Reply } from "./protocol.ts";

/**
 * Carries out calls as `runWrites` does, while the files are those that were opened. `checkFiles` throws "lost" if they
 * are not.
 */
export function createGroupWriter(
  context: SqliteContext,
  file: string,
  checkFiles: () => void,
): (calls: readonly Call[]) => readonly Reply[] {
  const limitWal = createWalLimiter(context.db, file);
  return (calls) => {
    const refused = failingOn(checkFiles, calls);
    if (refused !== undefined) {
      return refused;
    }
    limitWal();
    const replies = runWrites(context, writerOperations, calls);
    if (context.tables.shrunk) {
      context.tables.shrunk = false;
      cutFile(context.db);
    }
    // Again: nothing is acknowledged that was committed to a file which was removed meanwhile.
    return failingOn(checkFiles, calls, "unknown") ?? replies;
  };
}

/** The failure of all calls if the check fails. */
export function failingOn(
  check: () => void,
  calls: readonly Call[],
  outcome: StorageError["outcome"] = "none",
): readonly Reply[] | undefined {
  try {
    check();
    return undefined;
  } catch (error) {
    const { code, message } = error as StorageError;
    return failAll(calls, new StorageError(code, message, { outcome }));
  }
}
