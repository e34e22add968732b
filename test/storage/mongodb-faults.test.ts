import { randomUUID } from "node:crypto";
import { MongoClient } from "mongodb";
import { afterAll, describe, expect, test } from "vitest";
import { TaskState } from "../../gen/lf/a2a/v1/a2a_pb.ts";
import { silentLogger } from "../../src/runtime/logger.ts";
import * as given from "../../src/storage/conformance/fixtures.ts";
import { createMongoStorage } from "../../src/storage/mongodb/mongodb-storage.ts";
import type { AppendResult, Storage, TaskAppend } from "../../src/storage/storage.ts";
import { StorageError } from "../../src/storage/storage-error.ts";
import { type Fault, FaultyClient } from "./mongodb-faulty-client.ts";
import { empty, mongodbUri, newDatabase, openMongo, testClient } from "./mongodb-fixtures.ts";

const key = given.taskKey("task");
const retention = { conversationTtlMs: 3_600_000, interruptedTtlMs: 86_400_000 };
const real = new MongoClient(mongodbUri);

afterAll(() => real.close());

/** Lives lived at once, each in a database of its own: nearly all that they do is wait. */
const lanes = 6;

/** The life of a task: each kind of append, with the tail moved twice and a batch too large for it. */
const life: readonly given.AppendParts[] = [
  {
    entries: [given.createdEntry("m1"), given.messageEntry("m2")],
    messages: [
      { index: 0, messageId: "m1", timeMs: 1 },
      { index: 1, messageId: "m2", timeMs: 2 },
    ],
    claim: given.claimOf("m1", "task"),
  },
  { entries: [given.fillerEntry(40_000)] },
  { entries: [given.fillerEntry(40_000), given.textEntry("small")] },
  { entries: [given.messageEntry("m3")], messages: [{ index: 0, messageId: "m3", timeMs: 3 }] },
  { entries: [given.textEntry("asks")], state: TaskState.INPUT_REQUIRED, statusTimeMs: Date.now() },
  { entries: [given.messageEntry("m4")], messages: [{ index: 0, messageId: "m4", timeMs: 4 }], summary: given.fillerEntry(20_000) },
  { entries: [given.fillerEntry(150_000), given.textEntry("behind")] },
  { entries: [given.textEntry("taken over")], replica: "replica-2", fence: 2n },
  { entries: [given.statusEntry("m5")], messages: [{ index: 0, messageId: "m5", timeMs: 5 }], state: TaskState.COMPLETED, replica: "replica-2", fence: 2n },
];
const messageIds = ["m1", "m2", "m3", "m4", "m5"];

/** The life as appends, each after the one before. */
function appendsOf(parts: readonly given.AppendParts[]): readonly TaskAppend[] {
  let after = given.nothing;
  return parts.map((one, index) => {
    const append = given.appendOf(after, { ...one, batch: `batch-${index}` });
    after = { head: after.head + BigInt(append.batch.entries.length), batch: append.batch.id, fence: append.header.fence };
    return append;
  });
}

describe.each([
  { name: "an operation isn't carried out", answerLost: false, crash: false },
  { name: "an answer is lost", answerLost: true, crash: false },
  { name: "the process ends before an operation", answerLost: false, crash: true },
  { name: "the process ends after an operation", answerLost: true, crash: true },
])("when $name", ({ answerLost, crash }) => {
  test("at any step of a task's life, its log ends up dense, with every batch once, and its history whole", { timeout: 300_000 }, async () => {
    const lives = await Promise.all(
      Array.from({ length: lanes }, async (_, lane) => {
        const database = newDatabase();
        let step = lane;
        while (await liveThrough(database, { step, answerLost, crash })) step += lanes;
        return step;
      }),
    );
    expect(Math.min(...lives)).toBeGreaterThan(25);
  });
});

/** False if the fault comes after the end. */
async function liveThrough(database: string, fault: Fault): Promise<boolean> {
  const faulty = new FaultyClient(real);
  const first = await createMongoStorage(faulty.client, { database, logger: silentLogger });
  await using second = await createMongoStorage(real, { database });
  let storage = first;
  await first.setRetention(retention);
  await second.setRetention(retention);
  faulty.arm(fault);
  const appends = appendsOf(life);
  for (const append of appends) {
    const result = await send(storage, append, () => {
      if (fault.crash) storage = second;
      return storage;
    });
    expect(result, `${append.batch.id} with the fault at step ${fault.step}`).toBe("committed");
  }
  const where = `with the fault at step ${fault.step}`;
  const log = await given.readAll(second, key, 30_000);
  const expected = appends.flatMap(({ batch }) => batch.entries.map((bytes) => ({ batch: batch.id, bytes })));
  expect(
    log.map(({ batch }) => batch),
    where,
  ).toEqual(expected.map(({ batch }) => batch));
  given.assertEntries(
    log,
    expected.map(({ bytes }) => bytes),
  );
  const task = await given.taskOf(second, key);
  expect(task, where).toMatchObject({ head: BigInt(log.length), batch: "batch-8", state: TaskState.COMPLETED, replica: "replica-2", fence: 2n });
  expect(given.idsOf(await second.listMessagesByContextId(given.scope, "context")), where).toEqual(messageIds);
  expect((await second.getConversation(given.scope, "context"))?.messageIds, where).toEqual(messageIds);
  expect(await second.claimMessage(given.scope, given.claimOf("m1", "other")), where).toEqual({ outcome: "duplicate", taskId: "task" });
  const conversation = await testClient().db(database).collection("a2a_conversations").findOne({});
  expect(conversation?.holds, `${where}: what holds the conversation`).toEqual([]);
  await first[Symbol.asyncDispose]();
  await second[Symbol.asyncDispose]();
  await empty(database);
  return faulty.struck;
}

/** Sends an append until its outcome is known, as the log does. */
async function send(storage: Storage, append: TaskAppend, next: () => Storage): Promise<AppendResult["outcome"]> {
  let to = storage;
  for (let open = false, attempt = 0; ; attempt++) {
    try {
      const { outcome } = await to.appendTask(key, append);
      if (outcome === "committed" || !open) return outcome;
      const [entry] = await to.readTask(key, append.after.head, 1);
      return entry?.batch === append.batch.id ? "committed" : outcome;
    } catch (error) {
      expect(error).toBeInstanceOf(StorageError);
      expect(error).toMatchObject({ code: "unavailable" });
      expect(attempt, "tries").toBeLessThan(4);
      open = true;
      to = next();
    }
  }
}

describe("a segment that a crash left behind", () => {
  test.each([
    { name: "is made longer when more was appended since", between: [given.fillerEntry(1000)] },
    { name: "is used as it is when nothing was", between: [] },
  ])("$name", async ({ between }) => {
    const database = newDatabase();
    const faulty = new FaultyClient(real);
    const first = await createMongoStorage(faulty.client, { database, logger: silentLogger });
    let position = await given.commit(first, key, given.nothing, { entries: [given.fillerEntry(30_000)] });
    position = await given.commit(first, key, position, { entries: [given.fillerEntry(30_000)] });
    // The tail is read (0) and becomes a segment (1); what then names it (2) isn't sent any more.
    faulty.arm({ step: 2, answerLost: false, crash: true });
    await expect(first.appendTask(key, given.appendOf(position, { entries: [given.fillerEntry(20_000)] }))).rejects.toMatchObject({ outcome: "unknown" });
    const segments = testClient().db(database).collection("a2a_segments");
    expect(await segments.find().toArray()).toMatchObject([{ last: 2 }]);
    await using second = await createMongoStorage(real, { database });
    const written = (await given.readAll(second, key)).map(({ bytes }) => bytes);
    for (const entry of [...between, given.fillerEntry(20_000), given.fillerEntry(50_000)]) {
      position = await given.commit(second, key, position, { entries: [entry] });
      written.push(entry);
    }
    given.assertEntries(await given.readAll(second, key, 7_000), written);
    expect((await segments.find().sort({ _id: 1 }).toArray())[0]).toMatchObject({ last: 2 + between.length });
    await first[Symbol.asyncDispose]();
  });
});

describe("a task whose id is used again while the old one is being removed", () => {
  test.each([
    {
      name: "with its conversation",
      remove: (storage: Storage) => storage.deleteConversation(given.scope, "context"),
      before: ["deleteMany", "a2a_tasks"] as const,
    },
    { name: "by itself", remove: (storage: Storage) => storage.deleteTask(key), before: ["deleteMany", "a2a_removals"] as const },
    {
      name: "from the history",
      remove: (storage: Storage) => storage.deleteMessage(given.scope, "m1"),
      before: ["updateMany", "a2a_tasks"] as const,
    },
  ])("is left alone when that goes $name", async ({ remove, before }) => {
    const database = newDatabase();
    const faulty = new FaultyClient(real);
    await using first = await createMongoStorage(faulty.client, { database });
    await using second = await createMongoStorage(real, { database });
    await given.say(first, key, given.nothing, "m1", 1);
    let made = false;
    faulty.meanwhile(before[0], before[1], async () => {
      await second.deleteTask(key);
      await given.say(second, key, given.nothing, "new", 2, { contextId: "another" });
      made = true;
    });
    await remove(first);
    expect(made).toBe(true);
    expect(given.idsOf(await second.listMessagesByContextId(given.scope, "another"))).toEqual(["new"]);
    expect(await given.readAll(first, key)).toHaveLength(1);
  });
});

describe("a write concern error", () => {
  test.each([
    "findAndModify",
    "insert",
  ])("leaves the outcome of a creation open at %s: it is in the log, and sent again it is lost to itself", async (command) => {
    await using server = await openFailing();
    const append = given.appendOf(given.nothing, { batch: "first", messages: [{ index: 0, messageId: "m1", timeMs: 1 }], entries: [given.createdEntry("m1")] });
    await server.failOnce(command);
    await expect(server.storage.appendTask(key, append)).rejects.toMatchObject({ code: "unavailable", outcome: "unknown" });
    const again = await server.storage.appendTask(key, append);
    expect(again.outcome === "committed" || given.lost(again).batch === "first").toBe(true);
    expect((await given.readAll(server.storage, key)).map(({ batch }) => batch)).toEqual(["first"]);
    expect(given.idsOf(await server.storage.listMessagesByContextId(given.scope, "context"))).toEqual(["m1"]);
  });

  test("leaves the outcome of an append open that was carried out", async () => {
    await using server = await openFailing();
    const position = await given.commit(server.storage, key, given.nothing);
    const append = given.appendOf(position, { batch: "second" });
    await server.failOnce("findAndModify");
    await expect(server.storage.appendTask(key, append)).rejects.toMatchObject({ code: "unavailable", outcome: "unknown" });
    expect(given.lost(await server.storage.appendTask(key, append)).batch).toBe("second");
    expect((await given.readAll(server.storage, key)).slice(1).map(({ batch }) => batch)).toEqual(["second"]);
  });

  test("is not taken for a lost append when the append was refused", async () => {
    await using server = await openFailing();
    const position = await given.commit(server.storage, key, given.nothing);
    await using other = await openMongo({ database: server.database });
    await given.commit(other, key, position, { batch: "theirs" });
    const append = given.appendOf(position, { batch: "mine" });
    await server.failOnce("findAndModify");
    await expect(server.storage.appendTask(key, append)).rejects.toMatchObject({ code: "unavailable", outcome: "unknown" });
    expect(given.lost(await server.storage.appendTask(key, append)).batch).toBe("theirs");
    expect((await given.readAll(server.storage, key)).slice(1).map(({ batch }) => batch)).toEqual(["theirs"]);
  });

  test("where the tail becomes a segment fails the append before it is in the log", async () => {
    await using server = await openFailing();
    let position = await given.commit(server.storage, key, given.nothing, { entries: [given.fillerEntry(40_000)] });
    await server.failOnce("update");
    const append = given.appendOf(position, { entries: [given.fillerEntry(40_000)], batch: "second" });
    await expect(server.storage.appendTask(key, append)).rejects.toMatchObject({ outcome: "unknown" });
    expect(await server.storage.appendTask(key, append)).toMatchObject({ outcome: "committed", head: 2n });
    position = { ...position, head: 2n, batch: "second" };
    await given.commit(server.storage, key, position);
    expect(await given.readAll(server.storage, key)).toHaveLength(3);
  });
});

/** A storage whose commands the server itself answers with a write concern error. */
async function openFailing() {
  const appName = `failing-${randomUUID()}`;
  const database = newDatabase();
  const storage = await createMongoStorage(`${mongodbUri}${mongodbUri.includes("?") ? "&" : "/?"}appName=${appName}`, { database });
  const admin = testClient().db("admin");
  const configure = (mode: unknown, data?: unknown) => admin.command({ configureFailPoint: "failCommand", mode, ...(data !== undefined && { data }) });
  return {
    storage,
    database,
    async failOnce(command: string): Promise<void> {
      const writeConcernError = { code: 64, codeName: "WriteConcernFailed", errmsg: "waiting for replication timed out", errInfo: { wtimeout: true } };
      await configure({ times: 1 }, { failCommands: [command], appName, writeConcernError });
    },
    async [Symbol.asyncDispose](): Promise<void> {
      await configure("off");
      await storage[Symbol.asyncDispose]();
    },
  };
}
