import { TaskState } from "../../../gen/lf/a2a/v1/a2a_pb.ts";

/** SUBMITTED, WORKING: a replica has the task, and it holds its conversation however long that takes. */
export function isRunning(state: TaskState): boolean {
  return state === TaskState.SUBMITTED || state === TaskState.WORKING;
}
