import { TaskError } from "../domain/task-error.ts";
import { StorageError } from "../storage/storage-error.ts";

/** A StorageError as the TaskError that callers of the manager get; every other error as it is. */
export function asTaskError(error: unknown): unknown {
  if (!(error instanceof StorageError)) return error;
  switch (error.code) {
    case "unavailable":
    case "closed":
      return new TaskError("UNAVAILABLE", "The storage is not available", { cause: error });
    case "lost":
      return new TaskError("UNAVAILABLE", "The database was removed or replaced under the server", { cause: error });
    case "running":
      return new TaskError("STILL_RUNNING", "A task is running; cancel it first", { cause: error });
    case "missing":
      return new TaskError("TASK_NOT_FOUND", "No such task", { cause: error });
    case "invalid":
      // Clients may see what the storage's own checks say. An error of the database behind them may quote anything, so
      // it is for the log alone.
      return new TaskError(
        "INVALID_REQUEST",
        error.cause === undefined ? error.message : "The storage cannot hold the content of the request",
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

/** Runs a call into the manager. It throws TaskErrors and reasons of aborted signals only. */
export async function mapStorageErrors<T>(body: () => Promise<T>): Promise<T> {
  try {
    return await body();
  } catch (error) {
    throw asTaskError(error);
  }
}
