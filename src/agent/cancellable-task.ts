import type { Task } from "../../gen/lf/a2a/v1/a2a_pb.ts";

/** A task as it is now, and the means to cancel it. */
export interface CancellableTask {
  readonly task: Task;
  /** The sequence of the log that `task` shows. A reader that continues after it misses nothing. */
  readonly sequence: bigint;
  /** Cancels the task, persisted, wherever it runs. Throws TaskError TASK_NOT_CANCELABLE if it ended otherwise. */
  cancel(): Promise<Task>;
}
