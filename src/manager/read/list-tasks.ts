import { fromBinary } from "@bufbuild/protobuf";
import { type ListTasksRequest, ListTasksRequestSchema, TaskState } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { TaskSummarySchema } from "../../../gen/taskmanager/storage/v1/records_pb.ts";
import { type TaskAt, taskAt } from "../../domain/fold.ts";
import type { Scope } from "../../domain/scope.ts";
import { TaskError } from "../../domain/task-error.ts";
import { checkRequest } from "../../domain/validation/check-request.ts";
import { loadTask } from "../../log/load-task.ts";
import type { StoredTask } from "../../storage/storage.ts";
import type { ManagerDeps } from "../manager-deps.ts";
import type { TaskRuns } from "../run/task-runs.ts";
import { type AnswerRoom, heldBytes, roomyBytes } from "./answer-room.ts";
import { countFitting } from "./count-fitting.ts";
import { loadInto } from "./current-task.ts";
import { decodePageToken, encodePageToken } from "./page-token.ts";
import { shownTask } from "./shown-task.ts";

/** The size of a page where the request names none (R44). */
export const pageSizeDefault = 50;

/** Tasks loaded at a time for a page that shows artifacts or history. */
const loadsAtOnce = 8;

/** What ListTasks answers with, each task with its sequence. */
export interface ListedTasks {
  readonly tasks: readonly TaskAt[];
  /** Empty on the last page. */
  readonly nextPageToken: string;
  /** As requested, or the default. */
  readonly pageSize: number;
  /** Tasks on all pages. */
  readonly totalSize: number;
}

/**
 * A page of the caller's tasks, newest status first (R42–R53). Without artifacts and history, which is the default, it
 * is one query on headers, and no log is read. A page ends early where its tasks would exceed the largest message that
 * clients take; R44 allows fewer tasks than asked for.
 */
export async function listTasks(
  deps: ManagerDeps,
  runs: TaskRuns,
  request: ListTasksRequest,
  scope: Scope,
  room?: AnswerRoom,
): Promise<ListedTasks> {
  checkRequest(ListTasksRequestSchema, request);
  const { contextId, status, statusTimestampAfter, includeArtifacts = false, historyLength = 0 } = request;
  const pageSize = request.pageSize ?? pageSizeDefault;
  // Stored times are whole milliseconds. A finer bound is rounded up, so that no earlier task passes it.
  const statusTimeMsMin =
    statusTimestampAfter && Number(statusTimestampAfter.seconds) * 1000 + Math.ceil(statusTimestampAfter.nanos / 1e6);
  const list = ["tasks", scope.tenant, scope.owner, contextId, status, statusTimeMsMin ?? null];
  const place = decodePageToken(list, request.pageToken, ["time", "id"]);
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
    : await loadAll(deps, runs, stored, { artifacts: includeArtifacts, historyLength }, room);
  for (const { key, head } of stored) deps.hub.noteRead(key, head);
  const last = stored.at(-1);
  const more = page.more || stored.length < page.tasks.length;
  return {
    tasks,
    nextPageToken: more && last !== undefined ? encodePageToken(list, [last.statusTimeMs, last.key.taskId]) : "",
    pageSize,
    totalSize: page.total,
  };
}

function summaryOf(stored: StoredTask): TaskAt {
  const { task } = fromBinary(TaskSummarySchema, stored.summary);
  if (task === undefined) throw new TaskError("DATA_LOSS", `The header of task "${stored.key.taskId}" is damaged`);
  return { task, sequence: stored.head };
}

async function loadAll(
  deps: ManagerDeps,
  runs: TaskRuns,
  stored: readonly StoredTask[],
  view: { readonly artifacts: boolean; readonly historyLength: number },
  room: AnswerRoom | undefined,
): Promise<TaskAt[]> {
  const [first] = stored;
  if (room !== undefined && first !== undefined && stored.length === 1) {
    const loaded = await loadInto(room, deps, first.key);
    if (loaded === undefined) return [];
    const current = { fold: loaded.fold, logBytes: loaded.stored.logBytes };
    return [await shownTask(deps, runs, first.key, current, view, room)];
  }
  const bytes = stored.reduce((sum, { logBytes, head }) => sum + heldBytes(logBytes, head), 0);
  // Taken at once: two pages that each held a part of the room could wait for each other.
  if (bytes > roomyBytes) await room?.share(deps.newId(), bytes);
  const tasks: TaskAt[] = [];
  for (let start = 0; start < stored.length; start += loadsAtOnce) {
    const loaded = await Promise.all(
      stored.slice(start, start + loadsAtOnce).map(({ key }) => loadTask(deps.storage, key)),
    );
    // A task may have expired since the query.
    for (const task of loaded) if (task !== undefined) tasks.push(taskAt(task.fold, view));
  }
  return tasks;
}
