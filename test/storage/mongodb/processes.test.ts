import { randomInt } from "node:crypto";
import { expect, test } from "vitest";
import { TaskState } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import * as given from "../../../src/conformance/fixtures.ts";
import type { TaskKey } from "../../../src/domain/scope.ts";
import type { Storage } from "../../../src/storage/storage.ts";
import { newDatabase, openMongo, testClient } from "./fixtures.ts";

/** Storages with connections and memories of their own on one database: what processes are to each other. */
const { scope } = given;

test("processes that race for one log leave it dense, with each acknowledged batch once, however often its tail moves", {
  timeout: 120_000,
}, async () => {
  const database = newDatabase();
  await using one = await openMongo({ database });
  await using two = await openMongo({ database });
  await using three = await openMongo({ database });
  const key = given.taskKey("task");
  await given.commit(one, key, given.nothing);
  const acknowledged = await Promise.all(
    [one, two, three].map((storage, index) => appendInCompetition(storage, key, BigInt(index))),
  );
  const entries = await given.readAll(one, key);
  const batches = entries.map(({ batch }) => batch);
  expect(entries.length).toBe(1 + acknowledged.flat().length);
  expect(new Set(batches).size).toBe(batches.length);
  expect(batches.slice(1).toSorted()).toEqual(acknowledged.flat().toSorted());
});

test("a history that another process made too long is cut before anybody sees it", async () => {
  const database = newDatabase();
  await using careless = await openMongo({ database, maxHistoryLength: 1000 });
  await using strict = await openMongo({ database, maxHistoryLength: 3 });
  const key = given.taskKey("task");
  let position = await given.say(careless, key, given.nothing, "m0", 0);
  for (let index = 1; index < 6; index++) position = await given.say(careless, key, position, `m${index}`, index);
  expect(await strict.getMessage(scope, "m1")).toBeUndefined();
  expect(given.textOf(await strict.getMessage(scope, "m4"))).toBe("m4");
  const page = await strict.listMessagePage(scope, "context", { limit: 10 });
  expect(given.idsOf(page.messages)).toEqual(["m3", "m4", "m5"]);
  expect((await strict.getConversationStats(scope)).totalMessages).toBe(3);
  expect(await given.readAll(strict, key)).toHaveLength(6);
});

test("a wake-up goes from process to process", async () => {
  const database = newDatabase();
  await using one = await openMongo({ database });
  await using two = await openMongo({ database });
  const woken: TaskKey[] = [];
  await using _watch = two.watch("two", (keys) => woken.push(...keys));
  const keys = Array.from({ length: 250 }, (_, index) => given.taskKey(`task-${index}`));
  await given.eventually("all keys arrive", async () => {
    await one.wake(["two"], keys);
    return new Set(woken.map(({ taskId }) => taskId)).size >= keys.length;
  });
  expect(new Set(woken.map(({ taskId }) => taskId))).toEqual(new Set(keys.map(({ taskId }) => taskId)));
});

test("what one process learned of a task doesn't mislead it when another went on, ended it, or made it anew", async () => {
  const database = newDatabase();
  await using one = await openMongo({ database });
  await using two = await openMongo({ database });
  const key = given.taskKey("task");
  let position = await given.commit(one, key, given.nothing);
  for (let index = 0; index < 12; index++) {
    // Each in turn: what the other remembers of the tail's size is wrong every time.
    position = await given.commit(index % 2 === 0 ? two : one, key, position, { entries: [given.fillerEntry(20_000)] });
    const record = await testClient().db(database).collection("a2a_tasks").findOne({});
    expect(record?.tailBytes).toBeLessThanOrEqual(64 * 1024);
  }
  await given.commit(two, key, position, { state: TaskState.COMPLETED });
  expect(given.lost(await one.appendTask(key, given.appendOf(position))).head).toBe(14n);
  expect(await two.deleteTask(key)).toBe(true);
  expect(await one.appendTask(key, given.appendOf(position))).toEqual({ outcome: "gone" });
  const anew = await given.commit(two, key, given.nothing, { entries: [given.textEntry("anew")] });
  await given.commit(one, key, anew, { entries: [given.textEntry("more")] });
  given.assertEntries(await given.readAll(two, key), [given.textEntry("anew"), given.textEntry("more")]);
});

/**
 * Appends until 40 batches were acknowledged; each commit of a rival makes it begin again from what the log ends with
 * now.
 */
async function appendInCompetition(storage: Storage, key: TaskKey, offset: bigint): Promise<readonly string[]> {
  const acknowledged: string[] = [];
  let { head, batch, fence } = await given.taskOf(storage, key);
  while (acknowledged.length < 40) {
    // Now and then one takes over, so that the fence moves as well.
    const nextFence = randomInt(4) === 0 ? fence + 1n + offset : fence;
    const append = given.appendOf(
      { head, batch, fence },
      { entries: [given.fillerEntry(randomInt(6, 30_000))], fence: nextFence },
    );
    const result = await storage.appendTask(key, append);
    if (result.outcome === "committed") {
      acknowledged.push(append.batch.id);
      ({ head, batch, fence } = { head: result.head, batch: append.batch.id, fence: nextFence });
    } else {
      ({ head, batch, fence } = given.lost(result));
    }
  }
  return acknowledged;
}
