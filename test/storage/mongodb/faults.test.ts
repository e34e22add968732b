import { randomUUID } from "node:crypto";
import { MongoClient } from "mongodb";
import { afterAll, describe, expect, test } from "vitest";
import { TaskState } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import * as given from "../../../src/conformance/fixtures.ts";
import { silentLogger } from "../../../src/runtime/logger.ts";
import { createMongoStorage } from "../../../src/storage/mongodb/storage.ts";
import type { Storage } from "../../../src/storage/storage.ts";
import { FaultyClient } from "./faulty-client.ts";
import { mongodbUri, newDatabase, openMongo, testClient } from "./fixtures.ts";

const key = given.taskKey("task");
const real = new MongoClient(mongodbUri);

afterAll(() => real.close());

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
    await expect(
      first.appendTask(key, given.appendOf(position, { entries: [given.fillerEntry(20_000)] })),
    ).rejects.toMatchObject({ outcome: "unknown" });
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
    {
      name: "by itself",
      remove: (storage: Storage) => storage.deleteTask(key),
      before: ["deleteMany", "a2a_removals"] as const,
    },
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
    await given.say(first, key, given.nothing, "m1", 1, { state: TaskState.COMPLETED });
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
    const append = given.appendOf(given.nothing, {
      batch: "first",
      messages: [{ index: 0, messageId: "m1", timeMs: 1 }],
      entries: [given.createdEntry("m1")],
    });
    await server.failOnce(command);
    await expect(server.storage.appendTask(key, append)).rejects.toMatchObject({
      code: "unavailable",
      outcome: "unknown",
    });
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
    await expect(server.storage.appendTask(key, append)).rejects.toMatchObject({
      code: "unavailable",
      outcome: "unknown",
    });
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
    await expect(server.storage.appendTask(key, append)).rejects.toMatchObject({
      code: "unavailable",
      outcome: "unknown",
    });
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
  const storage = await createMongoStorage(`${mongodbUri}${mongodbUri.includes("?") ? "&" : "/?"}appName=${appName}`, {
    database,
  });
  const admin = testClient().db("admin");
  const configure = (mode: unknown, data?: unknown) =>
    admin.command({ configureFailPoint: "failCommand", mode, ...(data !== undefined && { data }) });
  return {
    storage,
    database,
    async failOnce(command: string): Promise<void> {
      const writeConcernError = {
        code: 64,
        codeName: "WriteConcernFailed",
        errmsg: "waiting for replication timed out",
        errInfo: { wtimeout: true },
      };
      await configure({ times: 1 }, { failCommands: [command], appName, writeConcernError });
    },
    async [Symbol.asyncDispose](): Promise<void> {
      await configure("off");
      await storage[Symbol.asyncDispose]();
    },
  };
}
