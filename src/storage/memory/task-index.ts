import type { TaskState } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { compareIds } from "../compare-ids.ts";
import type { TaskPlace } from "../storage.ts";
import { SortedList } from "./sorted-list.ts";

/** What of a task decides its place. */
interface IndexedTask {
  readonly key: { readonly taskId: string };
  readonly state: TaskState;
  readonly statusTimeMs: number;
}

/**
 * Tasks by state, those of a state in the order (status time, task id). There are few states, so a change moves a task
 * in few lists, and a reader of all states merges them.
 */
export class TaskIndex<T extends IndexedTask> {
  readonly #byState = new Map<TaskState, SortedList<T>>();

  insert(task: T): void {
    const list = this.#byState.get(task.state) ?? new SortedList<T>(compareTasks);
    this.#byState.set(task.state, list);
    list.insert(task);
  }

  /** Must be called before the state or the status time changes. */
  delete(task: T): void {
    // A list that is empty now stays: tasks come back to their states, and there are few.
    this.#byState.get(task.state)?.delete(task);
  }

  /** The number of tasks of a state, or of all states, with a status time from `statusTimeMsMin` on. */
  count(state: TaskState | undefined, statusTimeMsMin: number): number {
    let count = 0;
    for (const list of this.#lists(state)) {
      count += list.length - list.firstIndex((task) => task.statusTimeMs >= statusTimeMsMin);
    }
    return count;
  }

  /** The tasks of a state, or of all states, in descending order; those after a place in it. Looks at no others. */
  *descending(state: TaskState | undefined, after?: TaskPlace): Iterable<T> {
    const heads: { readonly list: SortedList<T>; index: number; task: T | undefined }[] = [];
    for (const list of this.#lists(state)) {
      const end = after === undefined ? list.length : list.firstIndex((task) => compareToPlace(task, after) >= 0);
      heads.push({ list, index: end - 1, task: list.at(end - 1) });
    }
    for (let head = largest(heads); head?.task !== undefined; head = largest(heads)) {
      yield head.task;
      head.index -= 1;
      head.task = head.list.at(head.index);
    }
  }

  #lists(state: TaskState | undefined): Iterable<SortedList<T>> {
    if (state === undefined) {
      return this.#byState.values();
    }
    const list = this.#byState.get(state);
    return list === undefined ? [] : [list];
  }
}

/** The one with the last task. Those without a task come before all others. */
function largest<T extends { readonly task: IndexedTask | undefined }>(heads: readonly T[]): T | undefined {
  let found = heads[0];
  for (const head of heads) {
    if (head.task !== undefined && (found?.task === undefined || compareTasks(head.task, found.task) > 0)) {
      found = head;
    }
  }
  return found;
}

function compareTasks(a: IndexedTask, b: IndexedTask): number {
  return a.statusTimeMs - b.statusTimeMs || compareIds(a.key.taskId, b.key.taskId);
}

function compareToPlace(task: IndexedTask, place: TaskPlace): number {
  return task.statusTimeMs - place.statusTimeMs || compareIds(task.key.taskId, place.taskId);
}
