import { type SendMessageRequest, SendMessageRequestSchema } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { checkRequest } from "../../domain/check-request.ts";
import type { Scope } from "../../domain/scope.ts";
import { outOfRange } from "../../log/load-task.ts";
import type { ManagerDeps } from "../manager-deps.ts";
import { currentFold } from "../read/current-task.ts";
import type { TaskRuns } from "../run/task-runs.ts";

/**
 * Looks at a cursor before the message that it comes with is accepted, so that one that can't be right leaves nothing
 * behind. Only of a message to a task is it known by then whose events the cursor counts.
 *
 * Throws TaskError INVALID_REQUEST; and, of a message to a task, TASK_NOT_FOUND, and OUT_OF_RANGE for a cursor above
 * its head.
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
  const { sequence } = await currentFold(deps, runs, { tenant: scope.tenant, owner: scope.owner, taskId });
  if (after > sequence) throw outOfRange(taskId, after, sequence);
}
