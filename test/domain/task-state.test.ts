import { expect, test } from "vitest";
import { Role, TaskState } from "../../gen/lf/a2a/v1/a2a_pb.ts";
import { roleNames, stateNames, taskStates } from "../../src/domain/task-state.ts";

test("states and roles have the numbers of the contract", () => {
  expect(taskStates).toEqual(TaskState);
  const { UNSPECIFIED: _state, ...states } = TaskState;
  expect(stateNames).toEqual(
    Object.fromEntries(Object.entries(states).map(([name, of]) => [of, `TASK_STATE_${name}`])),
  );
  const { UNSPECIFIED: _role, ...roles } = Role;
  expect(roleNames).toEqual(Object.fromEntries(Object.entries(roles).map(([name, of]) => [of, `ROLE_${name}`])));
});
