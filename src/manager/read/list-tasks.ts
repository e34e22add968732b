import { create, fromBinary } from "@bufbuild/protobuf";
import {
  type ListTasksRequest,
  ListTasksRequestSchema,
  type ListTasksResponse,
  ListTasksResponseSchema,
  type Task,
  TaskState,
} from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { TaskSummarySchema } from "../../../gen/taskmanager/storage/v1/records_pb.ts";
import { checkRequest } from "../../domain/check-request.ts";
import { noteSequence, taskOf } from "../../domain/fold.ts";
import type { Scope } from "../../domain/scope.ts";
import { TaskError } from "../../domain/task-error.ts";
import { loadTask } from "../../log/load-task.ts";
import type { StoredTask } from "../../storage/storage.ts";
import type { ManagerDeps } from "../manager-deps.ts";
import { countFitting } from "./count-fitting.ts";
import { decodePageToken, encodePageToken } from "./page-token.ts";

/** When none is asked for (R44). */
export const pageSizeDefault = 50;

/** Tasks loaded at a time for a page that shows artifacts or history. */
const loadsAtOnce = 8;

/**
 * A page of the caller's tasks, newest status first (R42–R53). Without artifacts and history, which is the default
 * here, it is one query on headers: no log is read. A page ends early where its tasks would grow beyond what clients
 * take in one message; R44 allows fewer.
 */
export async function listTasks(
  deps: ManagerDeps,
  request: ListTasksRequest,
  scope: Scope,
): Promise<ListTasksResponse> {
  checkRequest(ListTasksRequestSchema, request);
  const { contextId, status, statusTimestampAfter, includeArtifacts = false, historyLength = 0 } = request;
  const pageSize = request.pageSize ?? pageSizeDefault;
  // Nothing is stored finer than milliseconds; a finer bound must not let the millisecond below it in.
  const statusTimeMsMin =
    statusTimestampAfter && Number(statusTimestampAfter.seconds) * 1000 + Math.ceil(statusTimestampAfter.nanos / 1e6);
  const list = ["tasks", scope.tenant, scope.owner, contextId, status, statusTimeMsMin ?? null];
  const place = decodePageToken(list, request.pageToken, ["number", "string"]);
  const page = await deps.storage.listTasks({
    scope: { tenant: scope.tenant, owner: scope.owner },
    ...(contextId !== "" && { contextId }),
    ...(status !== TaskState.UNSPECIFIED && { state: status }),
    ...(statusTimeMsMin !== undefined && { statusTimeMsMin }),
    ...(place && { after: { statusTimeMs: Number(place[0]), taskId: String(place[1]) } }),
    limit: pageSize,
  });
  const fromHeaders = !includeArtifacts && historyLength === 0;
  const fit = countFitting(
    page.tasks,
    ({ summary, logBytes }) => (fromHeaders ? summary.byteLength : logBytes),
    deps.options.maxEventBytes,
  );
  const stored = page.tasks.slice(0, fit);
  const tasks = fromHeaders
    ? stored.map(summaryOf)
    : await loadAll(deps, stored, { artifacts: includeArtifacts, historyLength });
  const last = stored.at(-1);
  const more = page.more || stored.length < page.tasks.length;
  return create(ListTasksResponseSchema, {
    tasks,
    nextPageToken: more && last !== undefined ? encodePageToken(list, [last.statusTimeMs, last.key.taskId]) : "",
    pageSize,
    totalSize: page.total,
  });
}

function summaryOf(stored: StoredTask): Task {
  const { task } = fromBinary(TaskSummarySchema, stored.summary);
  if (task === undefined) throw new TaskError("DATA_LOSS", `The header of task "${stored.key.taskId}" is damaged`);
  noteSequence(task, stored.head);
  return task;
}

async function loadAll(
  deps: ManagerDeps,
  stored: readonly StoredTask[],
  view: { readonly artifacts: boolean; readonly historyLength: number },
): Promise<Task[]> {
  const tasks: Task[] = [];
  for (let start = 0; start < stored.length; start += loadsAtOnce) {
    const loaded = await Promise.all(
      stored.slice(start, start + loadsAtOnce).map(({ key }) => loadTask(deps.storage, key)),
    );
    // One that expired since the query is no task of the caller's any more.
    for (const task of loaded) if (task !== undefined) tasks.push(taskOf(task.fold, view));
  }
  return tasks;
}
