import { create } from "@bufbuild/protobuf";
import { type Task, TaskSchema } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { type TaskAt, type TaskFold, type TaskView, taskAt } from "../../domain/fold.ts";
import type { TaskKey } from "../../domain/scope.ts";
import { taskNotFound } from "../../domain/task-error.ts";
import type { ManagerDeps } from "../manager-deps.ts";
import type { TaskRuns } from "../run/task-runs.ts";
import { type AnswerRoom, heldBytes, type RoomWait, roomyBytes, type SharedAnswer, sourceOf } from "./answer-room.ts";
import { type CurrentFold, loadShared, runAt } from "./current-task.ts";

/**
 * The task of a fold in an answer. A large one is shared with the other answers at its sequence. All that is read of
 * the fold is read before the first await, since the fold of a run moves on.
 *
 * Nothing of the task is kept while its answer waits for room. If its run has moved on meanwhile, the task is loaded as
 * it was at the sequence, once for all that waited. Throws TaskError TASK_NOT_FOUND if it was removed meanwhile.
 */
export function shownTask(
  deps: ManagerDeps,
  runs: TaskRuns,
  key: TaskKey,
  { fold, logBytes }: CurrentFold,
  view: TaskView = {},
  room?: AnswerRoom,
  wait?: RoomWait,
): TaskAt | Promise<TaskAt> {
  if (room === undefined || logBytes <= roomyBytes) return taskAt(fold, view);
  const { sequence } = fold;
  const { historyLength = fold.history.length, artifacts = true } = view;
  const name = `${Math.min(historyLength, fold.history.length)}/${artifacts}`;
  const shared = room.share(sourceOf(key, sequence), heldBytes(logBytes, sequence), wait);
  if (!(shared instanceof Promise)) return { task: viewIn(shared, name, fold, view), sequence };
  return afterWait(deps, runs, key, shared, { sequence, name, view }, wait);
}

/** Apart from the above, so that nothing here refers to the fold while it waits. */
async function afterWait(
  deps: ManagerDeps,
  runs: TaskRuns,
  key: TaskKey,
  shared: Promise<SharedAnswer>,
  { sequence, name, view }: { readonly sequence: bigint; readonly name: string; readonly view: TaskView },
  wait: RoomWait | undefined,
): Promise<TaskAt> {
  const held = await shared;
  wait?.signal?.throwIfAborted();
  const task = held.views.get(name);
  if (task !== undefined) return { task: ownCopy(task), sequence };
  const committed = runAt(runs, key, sequence)?.writer.committed;
  const fold = committed ?? (await loadShared(held, deps, key, sequence))?.fold;
  if (fold === undefined) throw taskNotFound(key.taskId);
  return { task: viewIn(held, name, fold, view), sequence };
}

function viewIn({ views }: SharedAnswer, name: string, fold: TaskFold, view: TaskView): Task {
  const task = views.get(name) ?? taskAt(fold, view).task;
  views.set(name, task);
  return ownCopy(task);
}

/** The caller owns the task, and nothing in it. */
function ownCopy(task: Task): Task {
  return Object.assign(create(TaskSchema), task);
}
