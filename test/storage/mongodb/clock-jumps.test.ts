import { expect, onTestFinished, test, vi } from "vitest";
import { TaskState } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import * as given from "../../../src/conformance/fixtures.ts";
import type { Storage } from "../../../src/storage/storage.ts";
import { eventually } from "../../runner/eventually.ts";
import { openObserved } from "./commands.ts";
import { newDatabase, openMongo, testClient } from "./fixtures.ts";

/** The server's clock jumps, and the database's does not; or the other way round. */

const key = given.taskKey("task");
const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const dayMs = 24 * hourMs;
const retention = { conversationTtlMs: hourMs, interruptedTtlMs: hourMs };
const collections = ["tasks", "messages", "segments", "snapshots"];

/** Sets the wall clock of this process, and its jobs' timers, apart from the time of the database. */
function serverClock() {
  vi.useFakeTimers({ toFake: ["Date", "setInterval", "clearInterval"], now: Date.now() });
  const restore = () => {
    vi.useRealTimers();
    vi.restoreAllMocks();
  };
  onTestFinished(restore);
  return {
    jump: (ms: number) => void vi.setSystemTime(Date.now() + ms),
    /** Both clocks were stopped for so long, as those of a virtual machine are while it is suspended. */
    suspend(ms: number) {
      vi.setSystemTime(Date.now() - ms);
      const real = performance.now.bind(performance);
      vi.spyOn(performance, "now").mockImplementation(() => real() - ms);
    },
    /** Lets the jobs run that are due every ten minutes. */
    passMaintenance: () => void vi.advanceTimersByTime(11 * minuteMs),
  };
}

/** The least time that a record has left to live, by the database's clock. */
async function leastLeftMs(database: string): Promise<number> {
  const db = testClient().db(database);
  const { localTime } = await db.admin().command({ hello: 1 });
  const expiries = await Promise.all(
    collections.map((name) =>
      db
        .collection(`a2a_${name}`)
        .find({}, { projection: { expireAt: 1 } })
        .toArray(),
    ),
  );
  return Math.min(...expiries.flat().map(({ expireAt }) => expireAt.getTime() - localTime.getTime()));
}

async function messagesIn(storage: Storage): Promise<readonly string[]> {
  return given.idsOf(await storage.listMessagesByContextId(given.scope, "context"));
}

test.each([
  -dayMs,
  -hourMs,
  hourMs,
  dayMs,
])("a clock that jumps by %i ms in mid-turn gives no record too early an expiry", async (jumpMs) => {
  const clock = serverClock();
  const database = newDatabase();
  await using storage = await openMongo({ database });
  await storage.setRetention(retention);
  const position = await given.say(storage, key, given.nothing, "asks", 1, { state: TaskState.WORKING });
  clock.jump(jumpMs);
  // Two messages: one pointer is a record of its own, the other is in the task's record.
  await given.commit(storage, key, position, {
    entries: [given.messageEntry("says"), given.messageEntry("ends")],
    messages: [
      { index: 0, messageId: "says", timeMs: 2 },
      { index: 1, messageId: "ends", timeMs: 3 },
    ],
    state: TaskState.COMPLETED,
  });
  expect(await leastLeftMs(database)).toBeGreaterThan(1.9 * hourMs);
  expect(await messagesIn(storage)).toEqual(["asks", "says", "ends"]);
});

test("a machine that was suspended, whose clocks both are late, renews what it wrote by them", async () => {
  const clock = serverClock();
  const database = newDatabase();
  await using storage = await openMongo({ database });
  await storage.setRetention(retention);
  const other = given.taskKey("other");
  const running = { state: TaskState.WORKING };
  const position = await given.say(storage, key, given.nothing, "asks", 1, running);
  const otherPosition = await given.say(storage, other, given.nothing, "asks-too", 1, { ...running, contextId: "b" });
  // Less than a record lives, so that none is removed before it can be renewed.
  clock.suspend(1.6 * hourMs);
  await Promise.all([
    given.say(storage, key, position, "ends", 2, { state: TaskState.COMPLETED }),
    given.say(storage, other, otherPosition, "ends-too", 2, { state: TaskState.COMPLETED }),
  ]);
  await eventually("all records live long enough", async () => (await leastLeftMs(database)) > 1.9 * hourMs);
  expect(await messagesIn(storage)).toEqual(["asks", "ends"]);
});

test("an answer that is stored apart from its claim stays for the claim's window, though the clock was set back", async () => {
  const clock = serverClock();
  const database = newDatabase();
  await using storage = await openMongo({ database });
  await storage.setRetention(retention);
  clock.jump(-dayMs);
  const claim = given.claimOf("asks", "task", { windowMs: 10 * minuteMs });
  const answer = given.messageOf("answers", "x".repeat(10_000), "context");
  await storage.claimMessage(given.scope, claim);
  await storage.storeMessages(given.scope, [given.messageOf("asks", "asks", "context"), answer], claim);
  expect(await leastLeftMs(database)).toBeGreaterThan(10 * minuteMs);
});

test("a task that asks holds its conversation, though the server's clock is hours behind the database's", async () => {
  const clock = serverClock();
  clock.jump(-3 * hourMs);
  const database = newDatabase();
  await using storage = await openMongo({ database });
  await storage.setRetention({ conversationTtlMs: 200, interruptedTtlMs: hourMs });
  await given.say(storage, key, given.nothing, "asks", 1, {
    state: TaskState.INPUT_REQUIRED,
    statusTimeMs: Date.now(),
  });
  const [conversation] = await testClient().db(database).collection("a2a_conversations").find().toArray();
  expect(conversation?.pinnedUntil.getTime() - conversation?.lastAccess.getTime()).toBeGreaterThan(0.99 * hourMs);
});

test("a claim is held while its task is being created, though the server's clock is an hour ahead by then", async () => {
  const clock = serverClock();
  const database = newDatabase();
  await using storage = await openMongo({ database });
  const windowMs = hourMs;
  await given.say(storage, key, given.nothing, "asks", 1, { claim: given.claimOf("asks", "task", { windowMs }) });
  // As it is between the claim and the records that follow it.
  await testClient().db(database).collection("a2a_tasks").deleteMany({});
  await testClient().db(database).collection("a2a_conversations").deleteMany({});
  clock.jump(hourMs);
  const again = await storage.claimMessage(given.scope, given.claimOf("asks", "another", { windowMs }));
  expect(again).toMatchObject({ outcome: "duplicate", taskId: "task" });
});

test("a removal that was noted just now is not taken for interrupted, though the server's clock is an hour ahead", async () => {
  const clock = serverClock();
  await using observed = await openObserved();
  const { storage, database } = observed;
  await observed.quiet();
  await given.say(storage, key, given.nothing, "asks", 1);
  const db = testClient().db(database);
  const [conversation] = await db.collection("a2a_conversations").find().toArray();
  const { localTime } = await db.admin().command({ hello: 1 });
  const note = { _id: conversation?.incarnation, of: conversation?._id, kind: "incarnation", at: localTime };
  await db.collection("a2a_removals").insertOne(note);
  clock.jump(hourMs);
  clock.passMaintenance();
  await observed.quiet();
  expect(await db.collection("a2a_removals").countDocuments()).toBe(1);
});

/** Its conversation can be deleted. */
const ended = { state: TaskState.COMPLETED };

test("notes of removals have the database's time, though the server's clock is a day behind", async () => {
  const clock = serverClock();
  clock.jump(-dayMs);
  await using observed = await openObserved();
  await observed.quiet();
  await given.say(observed.storage, key, given.nothing, "asks", 1, ended);
  const stored: number[] = [];
  const db = testClient().db(observed.database);
  const changes = db.collection("a2a_removals").watch();
  onTestFinished(() => changes.close());
  changes.on("change", (change) => {
    if (change.operationType === "insert") stored.push(change.fullDocument.at.getTime());
  });
  await eventually("a note was seen", async () => {
    await given.say(observed.storage, given.taskKey(crypto.randomUUID()), given.nothing, "asks", 1, ended);
    await observed.storage.deleteConversation(given.scope, "context");
    return stored.length > 0;
  });
  const { localTime } = await db.admin().command({ hello: 1 });
  expect(localTime.getTime() - (stored[0] ?? 0)).toBeLessThan(hourMs);
});

test("a living replica is not forgotten, though the server's or the database's clock is set forward by 25 hours", async () => {
  const clock = serverClock();
  await using observed = await openObserved();
  const { storage, database } = observed;
  const replicas = testClient().db(database).collection("a2a_replicas");
  const seen = async () => (await storage.listReplicas()).map(({ replica }) => replica);
  const maintain = async () => {
    clock.passMaintenance();
    await observed.quiet();
  };
  /** What the heartbeats before a jump of the database's clock look like after it. */
  const databaseJumps = () =>
    replicas.updateMany({}, [{ $set: { heartbeatAt: { $subtract: ["$heartbeatAt", 25 * hourMs] } } }]);
  await observed.quiet();
  await storage.register("living");
  await storage.register("dead");
  clock.jump(25 * hourMs);
  await maintain();
  await maintain();
  expect(await seen()).toEqual(["dead", "living"]);
  await databaseJumps();
  await maintain();
  await storage.heartbeat("living");
  await databaseJumps();
  expect(await seen()).toEqual(["dead", "living"]);
  await maintain();
  expect(await seen()).toEqual(["living"]);
});
