import { TaskState } from "../../../gen/lf/a2a/v1/a2a_pb.ts";

/** SUBMITTED and WORKING: a replica runs the task, and the task pins its conversation without a time limit. */
export function isRunning(state: TaskState): boolean {
  return state === TaskState.SUBMITTED || state === TaskState.WORKING;
}
