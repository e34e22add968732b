import { expect, test, vi } from "vitest";
import { TaskState } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { SortedList } from "../../../src/storage/memory/sorted-list.ts";
import { createMemoryStorage } from "../../../src/storage/memory/storage.ts";
import type { Storage, TaskQuery } from "../../../src/storage/storage.ts";
import { creation, scope, taskKey } from "../sqlite/fixtures.ts";

const contexts = 5;
const states = [TaskState.WORKING, TaskState.INPUT_REQUIRED, TaskState.COMPLETED];

/** Rows beside those of the page: the search for its beginning and its end in each list, and for the count. */
const searches = states.length * 3 * Math.ceil(Math.log2(3000));

test.each<{ readonly name: string; readonly query: Partial<TaskQuery>; readonly total: number }>([
  { name: "a scope", query: {}, total: 3000 },
  { name: "a state", query: { state: TaskState.WORKING }, total: 1000 },
  { name: "a conversation", query: { contextId: "c1" }, total: 600 },
  { name: "a conversation and a state", query: { contextId: "c1", state: TaskState.COMPLETED }, total: 200 },
  { name: "a least status time", query: { statusTimeMsMin: 2900 }, total: 100 },
])("a page of $name and its total look at the rows of the page alone, among 3,000 tasks", async ({ query, total }) => {
  await using storage = createMemoryStorage();
  await fill(storage, 3000);
  const looks = vi.spyOn(SortedList.prototype, "at");
  const page = await storage.listTasks({ scope, limit: 10, after: { statusTimeMs: 2990, taskId: "t" }, ...query });
  const count = looks.mock.calls.length;
  looks.mockRestore();
  expect(page).toMatchObject({ total, more: true });
  expect(page.tasks).toHaveLength(10);
  expect(count).toBeGreaterThanOrEqual(10);
  expect(count).toBeLessThanOrEqual(10 + searches);
});

test("the pages of all states together are in order and hold every task once", async () => {
  await using storage = createMemoryStorage();
  await fill(storage, 100);
  const seen: string[] = [];
  let after: TaskQuery["after"];
  let more = true;
  while (more) {
    const page = await storage.listTasks({ scope, limit: 7, ...(after && { after }) });
    seen.push(...page.tasks.map(({ key }) => key.taskId));
    const last = page.tasks.at(-1);
    after = last && { statusTimeMs: last.statusTimeMs, taskId: last.key.taskId };
    more = page.more;
  }
  expect(seen).toEqual(Array.from({ length: 100 }, (_, i) => `t${99 - i}`));
});

async function fill(storage: Storage, tasks: number): Promise<void> {
  for (let i = 0; i < tasks; i++) {
    const append = creation(`c${i % contexts}`);
    const state = states[Math.floor(i / contexts) % states.length] as TaskState;
    await storage.appendTask(taskKey(`t${i}`), { ...append, header: { ...append.header, state, statusTimeMs: i } });
  }
}
