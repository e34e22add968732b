import { Role, TaskState } from "../../gen/lf/a2a/v1/a2a_pb.ts";

/** COMPLETED, FAILED, CANCELED, REJECTED: the task never changes again (R124). */
export function isTerminal(state: TaskState): boolean {
  return (
    state === TaskState.COMPLETED ||
    state === TaskState.FAILED ||
    state === TaskState.CANCELED ||
    state === TaskState.REJECTED
  );
}

/** INPUT_REQUIRED, AUTH_REQUIRED: the task waits for its client (R124). */
export function isInterrupted(state: TaskState): boolean {
  return state === TaskState.INPUT_REQUIRED || state === TaskState.AUTH_REQUIRED;
}

/** Whether a blocking send is answered in this state (R17). */
export function isSettled(state: TaskState): boolean {
  return isTerminal(state) || isInterrupted(state);
}

/**
 * The state machine of a task (R124). SUBMITTED is only the first state. A terminal state is the last one. Any other
 * state may follow any other, and itself (with a new status message).
 */
export function mayFollow(from: TaskState, to: TaskState): boolean {
  return !isTerminal(from) && to !== TaskState.SUBMITTED && to in stateNames;
}

/** The states of a task by number, with the names of the contract. UNSPECIFIED is not a state. */
export const stateNames: Readonly<Record<number, string>> = {
  [TaskState.SUBMITTED]: "TASK_STATE_SUBMITTED",
  [TaskState.WORKING]: "TASK_STATE_WORKING",
  [TaskState.COMPLETED]: "TASK_STATE_COMPLETED",
  [TaskState.FAILED]: "TASK_STATE_FAILED",
  [TaskState.CANCELED]: "TASK_STATE_CANCELED",
  [TaskState.INPUT_REQUIRED]: "TASK_STATE_INPUT_REQUIRED",
  [TaskState.REJECTED]: "TASK_STATE_REJECTED",
  [TaskState.AUTH_REQUIRED]: "TASK_STATE_AUTH_REQUIRED",
};

/** The roles of a message's sender by number, with the names of the contract. */
export const roleNames: Readonly<Record<number, string>> = {
  [Role.USER]: "ROLE_USER",
  [Role.AGENT]: "ROLE_AGENT",
};
