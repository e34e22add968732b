import { TaskError } from "../domain/task-error.ts";
import { StorageError } from "../storage/storage-error.ts";

/** A storage's fault as callers of the manager are told it; every other error as it is. */
export function asTaskError(error: unknown): unknown {
  if (!(error instanceof StorageError)) return error;
  switch (error.code) {
    case "unavailable":
    case "closed":
      return new TaskError("UNAVAILABLE", "The storage is not available", { cause: error });
    case "missing":
      return new TaskError("TASK_NOT_FOUND", "No such task", { cause: error });
    case "invalid":
      // What the storage's own checks say is ours to tell; what a database says behind them may quote anything, and is
      // for the log.
      return new TaskError(
        "INVALID_REQUEST",
        error.cause === undefined ? error.message : "The storage can't hold what the request asks it to",
        {
          cause: error,
        },
      );
    case "corrupt":
      return new TaskError("DATA_LOSS", "The storage is damaged", { cause: error });
    default:
      return error.code satisfies never;
  }
}

/** A call into the manager: nothing but TaskErrors, and reasons of signals, leave it. */
export async function mapStorageErrors<T>(body: () => Promise<T>): Promise<T> {
  try {
    return await body();
  } catch (error) {
    throw asTaskError(error);
  }
}
