import { type SendMessageRequest, SendMessageRequestSchema } from "../../gen/lf/a2a/v1/a2a_pb.ts";
import { checkRequest } from "../domain/check-request.ts";
import type { Scope } from "../domain/scope.ts";
import { outOfRange } from "../log/load-task.ts";
import { currentFold } from "./current-task.ts";
import type { ManagerDeps } from "./manager-deps.ts";
import type { TaskRuns } from "./task-runs.ts";

/**
 * The task whose events a cursor counts that comes with a message: the one that the message is for, or that it made when it came before. Undefined for a message that is new:
 * no cursor can be about what it is going to make. Asked before the message is accepted, so that a cursor that can't be right leaves nothing behind.
 *
 * Throws TaskError INVALID_REQUEST; and, of a message to a task, TASK_NOT_FOUND, and OUT_OF_RANGE for a cursor above its head.
 */
export async function taskToResume(deps: ManagerDeps, runs: TaskRuns, request: SendMessageRequest, scope: Scope, after: bigint): Promise<string | undefined> {
  checkRequest(SendMessageRequestSchema, request);
  const { taskId = "", messageId = "" } = request.message ?? {};
  if (taskId === "") return (await deps.storage.getMessage(scope, messageId))?.taskId;
  const { sequence } = await currentFold(deps, runs, { tenant: scope.tenant, owner: scope.owner, taskId });
  if (after > sequence) throw outOfRange(taskId, after, sequence);
  return taskId;
}
