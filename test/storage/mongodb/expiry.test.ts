import { setTimeout } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { TaskState } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import * as given from "../../../src/conformance/fixtures.ts";
import type { Storage } from "../../../src/storage/storage.ts";
import { newDatabase, openMongo, testClient } from "./fixtures.ts";

const key = given.taskKey("task");
const hourMs = 3_600_000;
/** Collections of what belongs to conversations, and of claims. */
const collections = ["tasks", "segments", "snapshots", "messages", "push_notifications", "conversations", "claims"];

/** A conversation with something in every collection; its task is left in a state. */
async function fill(storage: Storage, contextId: string, state: TaskState, taskId = "task"): Promise<given.Position> {
  const of = given.taskKey(taskId);
  const claim = given.claimOf(`claimed-${taskId}`, taskId, { windowMs: 1_000 });
  let position = await given.say(storage, of, given.nothing, `m1-${taskId}`, 1, {
    contextId,
    claim,
    summary: given.fillerEntry(20_000),
  });
  position = await given.commit(storage, of, position, { entries: [given.fillerEntry(40_000)] });
  position = await given.commit(storage, of, position, { entries: [given.fillerEntry(40_000)] });
  position = await given.commit(storage, of, position, { entries: [given.fillerEntry(200_000)] });
  position = await given.say(storage, of, position, `m2-${taskId}`, 2);
  await storage.storeSnapshot(of, { sequence: 3n, bytes: given.fillerEntry(1000) });
  await storage.storePushNotification(of, given.configOf("config"));
  await storage.sendCommand(of, { id: "command", bytes: given.fillerEntry(20_000) });
  await storage.storeMessages(given.scope, [given.messageOf(`bare-${taskId}`, "bare", contextId)]);
  return given.commit(storage, of, position, { state, statusTimeMs: Date.now() });
}

async function countsIn(database: string): Promise<Record<string, number>> {
  const db = testClient().db(database);
  return Object.fromEntries(
    await Promise.all(
      collections.map(async (name) => [name, await db.collection(`a2a_${name}`).countDocuments()] as const),
    ),
  );
}

const nothing = Object.fromEntries(collections.map((name) => [name, 0]));

/** Until when records of a collection stay, as milliseconds from now, ascending. */
async function expiriesOf(database: string, name: string): Promise<readonly number[]> {
  const records = await testClient()
    .db(database)
    .collection(`a2a_${name}`)
    .find({}, { projection: { expireAt: 1 } })
    .toArray();
  return records.map(({ expireAt }) => expireAt.getTime() - Date.now()).sort((a, b) => a - b);
}

describe("MongoDB itself", () => {
  test("removes an expired conversation and all that belongs to it, with nobody's help", async () => {
    const database = newDatabase();
    await using storage = await openMongo({ database, slackMs: 1_500 });
    await storage.setRetention({ conversationTtlMs: 1_500, interruptedTtlMs: 1_500 });
    await fill(storage, "context", TaskState.COMPLETED);
    const full = await countsIn(database);
    expect(Object.values(full).every((count) => count > 0)).toBe(true);
    // The storage brings back the times of what was written while the task ran; it isn't asked for anything any more.
    await setTimeout(1_500);
    await storage[Symbol.asyncDispose]();
    await given.eventually("all collections were empty", async () =>
      Object.values(await countsIn(database)).every((count) => count === 0),
    );
    expect(await countsIn(database)).toEqual(nothing);
  });

  test("removes a conversation whose task waited for its client for too long", async () => {
    const database = newDatabase();
    await using storage = await openMongo({ database, slackMs: 1_000 });
    await storage.setRetention({ conversationTtlMs: 500, interruptedTtlMs: 3_000 });
    const startMs = Date.now();
    await fill(storage, "context", TaskState.INPUT_REQUIRED);
    await setTimeout(2_000);
    expect(await storage.taskExists(key)).toBe(true);
    expect((await given.readAll(storage, key)).length).toBe(6);
    await given.eventually("all collections were empty", async () =>
      Object.values(await countsIn(database)).every((count) => count === 0),
    );
    expect(Date.now() - startMs).toBeGreaterThan(3_000);
  });

  test("never takes a running task, however silent, nor anything of its conversation", async () => {
    const database = newDatabase();
    await using storage = await openMongo({ database, slackMs: 500 });
    await storage.setRetention({ conversationTtlMs: 500, interruptedTtlMs: 500 });
    await fill(storage, "context", TaskState.COMPLETED, "earlier");
    const position = await fill(storage, "context", TaskState.WORKING);
    const before = await countsIn(database);
    // Many times the time to live, and as many rounds of MongoDB's own removal.
    await setTimeout(6_000);
    expect({ ...(await countsIn(database)), claims: before.claims }).toEqual(before);
    expect(given.idsOf(await storage.listMessagesByContextId(given.scope, "context")).length).toBe(6);
    expect((await given.readAll(storage, given.taskKey("earlier"))).length).toBe(6);
    await given.commit(storage, key, position, { state: TaskState.COMPLETED });
    expect(await storage.taskExists(key)).toBe(true);
    await setTimeout(1_500);
    await storage[Symbol.asyncDispose]();
    await given.eventually("all collections were empty", async () =>
      Object.values(await countsIn(database)).every((count) => count === 0),
    );
  });

  test("removes 10,000 conversations while others are used, which lose nothing and don't wait for it", {
    timeout: 180_000,
  }, async () => {
    const database = newDatabase();
    await using storage = await openMongo({ database, slackMs: 2_000 });
    await storage.setRetention({ conversationTtlMs: 20_000, interruptedTtlMs: 20_000 });
    const db = testClient().db(database);
    const used = await given.say(storage, given.taskKey("used"), given.nothing, "used", 1, {
      contextId: "used",
      state: TaskState.COMPLETED,
    });
    // Made beside the storage, from one that it made: making each through it would take longer than they live.
    await given.say(storage, given.taskKey("pattern"), given.nothing, "pattern", 1, {
      contextId: "pattern",
      state: TaskState.COMPLETED,
    });
    await multiply(db.collection("a2a_tasks"), { taskId: "pattern" }, 10_000);
    await multiply(db.collection("a2a_conversations"), { contextId: "pattern" }, 10_000);
    let position = used;
    const waits: number[] = [];
    let rounds = 0;
    await given.eventually("they were gone", async () => {
      const start = performance.now();
      position = await given.commit(storage, given.taskKey("used"), position, { state: TaskState.COMPLETED });
      await storage.updateConversationAccess(given.scope, "used");
      waits.push(performance.now() - start);
      await setTimeout(20);
      rounds += 1;
      return (
        rounds % 20 === 0 &&
        (await db.collection("a2a_conversations").countDocuments()) <= 1 &&
        (await db.collection("a2a_tasks").countDocuments()) <= 1
      );
    });
    expect(waits.toSorted((a, b) => a - b)[Math.floor(waits.length * 0.95)]).toBeLessThan(1_000);
    expect((await given.readAll(storage, given.taskKey("used"))).length).toBe(Number(position.head));
    expect(given.idsOf(await storage.listMessagesByContextId(given.scope, "used"))).toEqual(["used"]);
  });
});

/** Copies a record under other ids, as one that is past its time. */
async function multiply(
  collection: ReturnType<ReturnType<ReturnType<typeof testClient>["db"]>["collection"]>,
  filter: object,
  count: number,
): Promise<void> {
  const pattern = await collection.findOne(filter);
  await collection.deleteOne(filter);
  const expireAt = new Date(Date.now() - 1_000);
  for (let at = 0; at < count; at += 1_000) {
    await collection.insertMany(
      Array.from({ length: 1_000 }, (_, index) => ({ ...pattern, _id: `${at + index}` as never, expireAt })),
    );
  }
}

describe("the times of records", () => {
  test("are far ahead while a task runs, and those of its conversation once it has ended", async () => {
    const database = newDatabase();
    await using storage = await openMongo({ database });
    await storage.setRetention({ conversationTtlMs: hourMs, interruptedTtlMs: hourMs });
    const running = await fill(storage, "context", TaskState.WORKING);
    for (const name of ["tasks", "segments", "snapshots", "push_notifications"]) {
      expect((await expiriesOf(database, name))[0], name).toBeGreaterThan(24 * hourMs);
    }
    await given.commit(storage, key, running, { state: TaskState.COMPLETED });
    await given.eventually("all times were near again", async () => {
      const stays = await Promise.all(
        collections.filter((name) => name !== "claims").map((name) => expiriesOf(database, name)),
      );
      return stays.every((of) => (of.at(-1) ?? 0) < 2.1 * hourMs);
    });
    expect((await expiriesOf(database, "conversations"))[0]).toBeLessThanOrEqual(hourMs);
    for (const name of ["tasks", "segments", "snapshots", "messages", "push_notifications"]) {
      expect((await expiriesOf(database, name))[0], name).toBeGreaterThan(1.9 * hourMs);
    }
  });

  test("are renewed when half of the time has passed since the last time, task records last, not before", async () => {
    const database = newDatabase();
    await using storage = await openMongo({ database });
    await storage.setRetention({ conversationTtlMs: hourMs, interruptedTtlMs: hourMs });
    await fill(storage, "context", TaskState.COMPLETED);
    await setTimeout(1_300);
    const age = async (hours: number) => {
      const db = testClient().db(database);
      const older = [{ $set: { expireAt: { $subtract: ["$expireAt", hours * hourMs] } } }];
      for (const name of ["tasks", "segments", "snapshots", "messages", "push_notifications"])
        await db.collection(`a2a_${name}`).updateMany({}, older);
      await db
        .collection("a2a_conversations")
        .updateMany({}, [{ $set: { covered: { $subtract: ["$covered", hours * hourMs] } } }]);
    };
    await age(0.4);
    await storage.updateConversationAccess(given.scope, "context");
    await setTimeout(300);
    expect((await expiriesOf(database, "tasks"))[0]).toBeLessThan(1.7 * hourMs);
    await age(0.2);
    await storage.updateConversationAccess(given.scope, "context");
    await given.eventually(
      "all were renewed",
      async () => ((await expiriesOf(database, "tasks"))[0] ?? 0) > 1.9 * hourMs,
    );
    for (const name of ["segments", "snapshots", "messages", "push_notifications"]) {
      expect((await expiriesOf(database, name))[0], name).toBeGreaterThan(1.9 * hourMs);
    }
  });

  test("come to records from before the retention was set, and go when it is taken back", async () => {
    const database = newDatabase();
    {
      await using storage = await openMongo({ database });
      await fill(storage, "context", TaskState.COMPLETED);
      expect(
        await testClient()
          .db(database)
          .collection("a2a_segments")
          .countDocuments({ expireAt: { $exists: true } }),
      ).toBe(0);
    }
    const lacking = async (exists: boolean) => {
      const db = testClient().db(database);
      const counts = await Promise.all(
        collections
          .filter((name) => name !== "claims")
          .map((name) => db.collection(`a2a_${name}`).countDocuments({ expireAt: { $exists: exists } })),
      );
      return counts.every((count) => count === 0);
    };
    {
      await using storage = await openMongo({ database });
      await storage.setRetention({ conversationTtlMs: hourMs, interruptedTtlMs: hourMs });
      await given.eventually("all had a time", () => lacking(false));
      expect((await expiriesOf(database, "tasks"))[0]).toBeGreaterThan(hourMs);
    }
    await using storage = await openMongo({ database });
    await storage.setRetention({ conversationTtlMs: Number.POSITIVE_INFINITY, interruptedTtlMs: hourMs });
    await given.eventually("none had a time", () => lacking(true));
    expect(await storage.taskExists(key)).toBe(true);
  });
});

describe("what crashes leave", () => {
  test("a hold without its task's running is released by who comes across it", async () => {
    const database = newDatabase();
    await using storage = await openMongo({ database });
    await storage.setRetention({ conversationTtlMs: hourMs, interruptedTtlMs: hourMs });
    await given.commit(storage, key, given.nothing, { state: TaskState.COMPLETED });
    const held = testClient().db(database).collection("a2a_conversations");
    const [task] = await testClient().db(database).collection("a2a_tasks").find().toArray();
    const until = new Date(Date.now() + 1000 * hourMs);
    await held.updateOne(
      {},
      {
        $set: {
          pins: [{ task: task?._id, fence: 1, head: 1, until, running: true }],
          pinnedUntil: until,
          expireAt: until,
        },
      },
    );
    await storage.getTask(key);
    await given.eventually("the pin was released", async () => (await held.findOne({}))?.pins.length === 0);
    expect((await expiriesOf(database, "conversations"))[0]).toBeLessThanOrEqual(hourMs);
  });

  test("an interrupted removal is finished by the next storage, and one that never began isn't", async () => {
    const database = newDatabase();
    {
      await using storage = await openMongo({ database });
      await fill(storage, "gone", TaskState.COMPLETED);
      await fill(storage, "kept", TaskState.COMPLETED, "kept");
    }
    const db = testClient().db(database);
    const at = new Date(Date.now() - hourMs);
    for (const { _id, incarnation } of await db.collection("a2a_conversations").find().toArray()) {
      await db.collection("a2a_removals").insertOne({ _id: incarnation, of: _id, kind: "incarnation", at });
    }
    await db.collection("a2a_conversations").deleteOne({ contextId: "gone" });
    await using storage = await openMongo({ database });
    await given.eventually("it was finished", async () => (await db.collection("a2a_removals").countDocuments()) === 0);
    expect((await storage.listTasks({ scope: given.scope, limit: 5 })).tasks.map((one) => one.key.taskId)).toEqual([
      "kept",
    ]);
    expect(await db.collection("a2a_tasks").countDocuments()).toBe(1);
    expect(await db.collection("a2a_push_notifications").countDocuments()).toBe(1);
    expect((await given.readAll(storage, given.taskKey("kept"))).length).toBe(6);
  });
});
