import { strict as assert } from "node:assert";
import { TaskState } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import type { Storage, StoredTask, TaskPlace, TaskQuery } from "../../storage/storage.ts";
import type { CaseSpec } from "../conformance-case.ts";
import * as given from "../fixtures.ts";

/** More tasks than any case creates. */
const tasksMax = 100;

export const listCases: readonly CaseSpec[] = [
  {
    name: "an empty list has no more and a total of 0",
    async run(storage) {
      assert.deepEqual(await storage.listTasks({ scope: given.scope, limit: 5 }), { tasks: [], total: 0, more: false });
    },
  },
  {
    name: "the newest status comes first, then the greatest task id",
    async run(storage) {
      const made = [
        ["a", 3000],
        ["b", 1000],
        ["c", 2000],
        ["e", 2000],
        ["d", 2000],
      ] as const;
      for (const [taskId, statusTimeMs] of made) {
        await given.commit(storage, given.taskKey(taskId), given.nothing, { statusTimeMs });
      }
      const { tasks } = await storage.listTasks({ scope: given.scope, limit: 10 });
      assert.deepEqual(taskIds(tasks), ["a", "e", "d", "c", "b"]);
      assert.deepEqual(taskIds(await pageThrough(storage, { scope: given.scope, limit: 1 })), [
        "a",
        "e",
        "d",
        "c",
        "b",
      ]);
    },
  },
  {
    name: "task ids are ordered by their bytes",
    async run(storage) {
      const ascending = ["A", "Z", "a", "aa", "é", "ｚ", "😀"];
      for (const taskId of ascending) {
        await given.commit(storage, given.taskKey(taskId), given.nothing);
      }
      const listed = await pageThrough(storage, { scope: given.scope, limit: 2 });
      assert.deepEqual(taskIds(listed), ascending.toReversed());
    },
  },
  {
    name: "a page says whether there are more: exactly the limit, one more, one less",
    async run(storage) {
      for (let index = 0; index < 6; index++) {
        await given.commit(storage, given.taskKey(`task-${index}`), given.nothing, {
          statusTimeMs: 1000 + (index % 2),
        });
      }
      const pages = [];
      for (const limit of [5, 6, 7]) {
        const { tasks, total, more } = await storage.listTasks({ scope: given.scope, limit });
        pages.push([tasks.length, total, more]);
      }
      assert.deepEqual(pages, [
        [5, 6, true],
        [6, 6, false],
        [6, 6, false],
      ]);
      const first = await storage.listTasks({ scope: given.scope, limit: 3 });
      const second = await storage.listTasks({ scope: given.scope, limit: 3, after: placeOf(first.tasks) });
      assert.deepEqual([second.tasks.length, second.total, second.more], [3, 6, false]);
      const third = await storage.listTasks({ scope: given.scope, limit: 3, after: placeOf(second.tasks) });
      assert.deepEqual([third.tasks.length, third.total, third.more], [0, 6, false]);
    },
  },
  {
    name: "each filter applies, alone and with the others",
    async run(storage) {
      for (const contextId of ["c1", "c2"]) {
        for (const state of [TaskState.WORKING, TaskState.COMPLETED]) {
          for (const statusTimeMs of [1000, 2000, 3000]) {
            const taskId = `${contextId}-${state}-${statusTimeMs}`;
            await given.commit(storage, given.taskKey(taskId), given.nothing, { contextId, state, statusTimeMs });
          }
        }
      }
      const working = TaskState.WORKING;
      const totals = [];
      for (const filter of [
        {},
        { contextId: "c1" },
        { contextId: "none" },
        { state: working },
        { state: TaskState.FAILED },
        { statusTimeMsMin: 2000 },
        { statusTimeMsMin: 2001 },
        { statusTimeMsMin: 3001 },
        { contextId: "c1", state: working },
        { contextId: "c1", statusTimeMsMin: 2000 },
        { state: working, statusTimeMsMin: 2000 },
        { contextId: "c1", state: working, statusTimeMsMin: 2000 },
      ]) {
        const query = { scope: given.scope, ...filter };
        const { total, more } = await storage.listTasks({ ...query, limit: 2 });
        const all = await pageThrough(storage, { ...query, limit: 2 });
        assert.equal(all.length, total);
        assert.equal(more, total > 2);
        assert.ok(all.every((task) => passes(task, filter)));
        totals.push(total);
      }
      assert.deepEqual(totals, [12, 6, 0, 6, 0, 8, 4, 0, 3, 4, 4, 2]);
    },
  },
  {
    name: "a listed task is its header",
    async run(storage) {
      const key = given.taskKey("task");
      await given.commit(storage, key, given.nothing, {
        summary: new Uint8Array([4, 2]),
        contextId: "c1",
        state: TaskState.FAILED,
      });
      const [listed] = (await storage.listTasks({ scope: given.scope, limit: 1 })).tasks;
      assert.deepEqual(listed, await storage.getTask(key));
    },
  },
  {
    name: "while tasks change, each unchanged one is listed once, and each changed one is found by its status time",
    async run(storage) {
      const positions = new Map<string, given.Position>();
      for (let index = 0; index < 40; index++) {
        const taskId = `task-${index}`;
        positions.set(
          taskId,
          await given.commit(storage, given.taskKey(taskId), given.nothing, { statusTimeMs: 1000 + (index % 5) }),
        );
      }
      const changing = Array.from({ length: 13 }, (_, index) => `task-${index * 3}`);
      let timeMs = 5000;
      const listed: StoredTask[] = [];
      for (let after: TaskPlace | undefined, more = true; more; ) {
        const page = await storage.listTasks({ scope: given.scope, limit: 7, ...(after !== undefined && { after }) });
        listed.push(...page.tasks);
        assert.ok(listed.length <= tasksMax, "The pages have no end");
        after = placeOf(page.tasks);
        more = page.more;
        for (const taskId of changing.splice(0, 3)) {
          timeMs += 1;
          const position = positions.get(taskId) as given.Position;
          await given.commit(storage, given.taskKey(taskId), position, { statusTimeMs: timeMs });
        }
      }
      const changed = await pageThrough(storage, { scope: given.scope, limit: 4, statusTimeMsMin: 5001 });
      assert.equal(changed.length, 13);
      const changedIds = new Set(taskIds(changed));
      const unchanged = taskIds(listed).filter((taskId) => !changedIds.has(taskId));
      assert.deepEqual(
        unchanged.toSorted(),
        [...positions.keys()].filter((taskId) => !changedIds.has(taskId)).toSorted(),
      );
      assert.equal(new Set(taskIds(listed)).size, listed.length, "A task was listed twice");
    },
  },
];

async function pageThrough(storage: Storage, query: TaskQuery): Promise<readonly StoredTask[]> {
  const all: StoredTask[] = [];
  for (;;) {
    const { tasks, more } = await storage.listTasks({ ...query, ...(all.length > 0 && { after: placeOf(all) }) });
    all.push(...tasks);
    assert.ok(all.length <= tasksMax, "The pages have no end");
    if (!more) {
      return all;
    }
    assert.equal(tasks.length, query.limit, "A page with more behind it isn't full");
  }
}

function placeOf(tasks: readonly StoredTask[]): TaskPlace {
  const last = tasks.at(-1);
  assert.ok(last, "The page is empty");
  return { statusTimeMs: last.statusTimeMs, taskId: last.key.taskId };
}

function taskIds(tasks: readonly StoredTask[]): readonly string[] {
  return tasks.map(({ key }) => key.taskId);
}

function passes(task: StoredTask, filter: Omit<TaskQuery, "scope" | "limit">): boolean {
  return (
    (filter.contextId ?? task.contextId) === task.contextId &&
    (filter.state ?? task.state) === task.state &&
    (filter.statusTimeMsMin ?? 0) <= task.statusTimeMs
  );
}
