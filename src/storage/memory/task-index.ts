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

interface TasksOfState<T> {
  state: TaskState;
  readonly tasks: SortedList<T>;
}

/**
 * Tasks by state, those of a state in the order (status time, task id). There are few states, so a change moves a task
 * in few lists, and a reader of all states merges them.
 */
export class TaskIndex<T extends IndexedTask> {
  /** Not a map: most indexes are of one conversation, with tasks of one state. */
  #lists: readonly TasksOfState<T>[] = [];

  insert(task: T): void {
    let list = this.#lists.find(({ state }) => state === task.state);
    if (list === undefined) {
      // An empty list takes the new state. So there are as many lists as there were states at once.
      list = this.#lists.find(({ tasks }) => tasks.length === 0);
      if (list === undefined) {
        list = { state: task.state, tasks: new SortedList<T>(compareTasks) };
        this.#lists = [...this.#lists, list];
      }
      list.state = task.state;
    }
    list.tasks.insert(task);
  }

  /** Must be called before the state or the status time changes. */
  delete(task: T): void {
    this.#lists.find(({ state }) => state === task.state)?.tasks.delete(task);
  }

  /** The number of tasks of a state, or of all states, with a status time from `statusTimeMsMin` on. */
  count(state: TaskState | undefined, statusTimeMsMin: number): number {
    let count = 0;
    for (const list of this.#tasksOf(state)) {
      count += list.length - list.firstIndex((task) => task.statusTimeMs >= statusTimeMsMin);
    }
    return count;
  }

  /** The tasks of a state, or of all states, in descending order; those after a place in it. Looks at no others. */
  *descending(state: TaskState | undefined, after?: TaskPlace): Iterable<T> {
    const heads: { readonly list: SortedList<T>; index: number; task: T | undefined }[] = [];
    for (const list of this.#tasksOf(state)) {
      const end = after === undefined ? list.length : list.firstIndex((task) => compareToPlace(task, after) >= 0);
      heads.push({ list, index: end - 1, task: list.at(end - 1) });
    }
    for (let head = largest(heads); head?.task !== undefined; head = largest(heads)) {
      yield head.task;
      head.index -= 1;
      head.task = head.list.at(head.index);
    }
  }

  #tasksOf(state: TaskState | undefined): readonly SortedList<T>[] {
    const lists = state === undefined ? this.#lists : this.#lists.filter((list) => list.state === state);
    return lists.map(({ tasks }) => tasks);
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
