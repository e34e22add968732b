import { TaskError } from "../../../src/domain/task-error.ts";

/** The TaskError that something throws; undefined if it throws none. Other errors pass. */
export function taskErrorOf(body: () => unknown): TaskError | undefined {
  try {
    body();
    return undefined;
  } catch (error) {
    if (error instanceof TaskError) return error;
    throw error;
  }
}
