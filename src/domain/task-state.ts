import type * as contract from "../../gen/lf/a2a/v1/a2a_pb.ts";

/**
 * The numbers of the contract's states. A copy, because the generated module loads protobuf, which each thread of the
 * SQLite storage would do, too. It doesn't compile if it differs from the contract.
 */
export const taskStates: typeof contract.TaskState = {
  UNSPECIFIED: 0,
  SUBMITTED: 1,
  WORKING: 2,
  COMPLETED: 3,
  FAILED: 4,
  CANCELED: 5,
  INPUT_REQUIRED: 6,
  REJECTED: 7,
  AUTH_REQUIRED: 8,
};

type TaskState = contract.TaskState;

/** COMPLETED, FAILED, CANCELED, REJECTED: the task never changes again (R124). */
export function isTerminal(state: TaskState): boolean {
  return (
    state === taskStates.COMPLETED ||
    state === taskStates.FAILED ||
    state === taskStates.CANCELED ||
    state === taskStates.REJECTED
  );
}

/** INPUT_REQUIRED, AUTH_REQUIRED: the task waits for its client (R124). */
export function isInterrupted(state: TaskState): boolean {
  return state === taskStates.INPUT_REQUIRED || state === taskStates.AUTH_REQUIRED;
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
  return !isTerminal(from) && to !== taskStates.SUBMITTED && to in stateNames;
}

/** The states of a task by number, with the names of the contract. UNSPECIFIED is not a state. */
export const stateNames: Readonly<Record<number, string>> = {
  [taskStates.SUBMITTED]: "TASK_STATE_SUBMITTED",
  [taskStates.WORKING]: "TASK_STATE_WORKING",
  [taskStates.COMPLETED]: "TASK_STATE_COMPLETED",
  [taskStates.FAILED]: "TASK_STATE_FAILED",
  [taskStates.CANCELED]: "TASK_STATE_CANCELED",
  [taskStates.INPUT_REQUIRED]: "TASK_STATE_INPUT_REQUIRED",
  [taskStates.REJECTED]: "TASK_STATE_REJECTED",
  [taskStates.AUTH_REQUIRED]: "TASK_STATE_AUTH_REQUIRED",
};

/** The roles of a message's sender by number, with the names of the contract. */
export const roleNames: Readonly<Record<number, string>> = {
  1: "ROLE_USER",
  2: "ROLE_AGENT",
} satisfies Record<Exclude<(typeof contract.Role)[keyof typeof contract.Role], 0>, string>;
