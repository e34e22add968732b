import { type SendMessageRequest, SendMessageRequestSchema } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import type { Scope } from "../../domain/scope.ts";
import { checkRequest } from "../../domain/validation/check-request.ts";
import { outOfRange } from "../../log/load-task.ts";
import type { ManagerDeps } from "../manager-deps.ts";
import { currentHead } from "../read/current-task.ts";
import type { TaskRuns } from "../run/task-runs.ts";

/**
 * Checks a cursor before its message is accepted, so that a wrong cursor leaves nothing behind. Only a message to an
 * existing task says which log its cursor refers to; the cursor of any other message is not checked here.
 *
 * Throws TaskError INVALID_REQUEST; for a message to a task also TASK_NOT_FOUND, and OUT_OF_RANGE for a cursor above
 * the head.
 */
export async function checkCursor(
  deps: ManagerDeps,
  runs: TaskRuns,
  request: SendMessageRequest,
  scope: Scope,
  after: bigint,
): Promise<void> {
  checkRequest(SendMessageRequestSchema, request);
  const { taskId = "" } = request.message ?? {};
  if (taskId === "") return;
  const head = await currentHead(deps, runs, { tenant: scope.tenant, owner: scope.owner, taskId });
  if (after > head) throw outOfRange(taskId, after, head);
}
