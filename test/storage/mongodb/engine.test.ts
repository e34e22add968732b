import { randomUUID } from "node:crypto";
import { MongoClient } from "mongodb";
import { describe, expect, test } from "vitest";
import { TaskState } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import * as given from "../../../src/conformance/fixtures.ts";
import type { Logger } from "../../../src/runtime/logger.ts";
import { createMongoStorage } from "../../../src/storage/mongodb/storage.ts";
import { startStandalone } from "../../mongod/mongod.ts";
import type { ObservedCommands } from "../../mongod/observe-commands.ts";
import { openObserved } from "./commands.ts";
import { mongodbUri, newDatabase, openMongo, testClient } from "./fixtures.ts";

const retention = { conversationTtlMs: 3_600_000, interruptedTtlMs: 86_400_000 };

describe("what it costs to send a message", () => {
  test("a new task whose agent answers at once takes three waits and five commands at most", async () => {
    await using observed = await openObserved();
    const { storage } = observed;
    await storage.setRetention(retention);
    await storage.appendTask(given.taskKey("other"), given.appendOf(given.nothing));
    await quiet(observed);
    const key = given.taskKey("task");
    const claim = given.claimOf("m1", "task");
    const created = given.appendOf(given.nothing, {
      claim,
      entries: [given.createdEntry("m1")],
      messages: [{ index: 0, messageId: "m1", timeMs: 1 }],
    });
    expect(await storage.appendTask(key, created)).toMatchObject({ outcome: "committed", head: 1n });
    expect(observed.waits()).toBe(2);
    const end = {
      state: TaskState.COMPLETED,
      entries: [given.statusEntry("m2")],
      messages: [{ index: 0, messageId: "m2", timeMs: 2 }],
    };
    const after = { head: 1n, batch: created.batch.id, fence: 1n };
    expect(await storage.appendTask(key, given.appendOf(after, end))).toMatchObject({ outcome: "committed", head: 2n });
    expect(observed.waits()).toBeLessThanOrEqual(3);
    expect(observed.take().map(({ commandName }) => commandName)).toEqual([
      "findAndModify",
      "findAndModify",
      "insert",
      "findAndModify",
      "findAndModify",
    ]);
  });

  test("an ordinary append is one command, however long the log, but for one in many that makes room", async () => {
    await using observed = await openObserved();
    const { storage } = observed;
    const key = given.taskKey("task");
    let position = await given.commit(storage, key, given.nothing);
    await quiet(observed);
    const entry = given.fillerEntry(1000);
    for (let index = 0; index < 400; index++)
      position = await given.commit(storage, key, position, { entries: [entry] });
    const commands = observed.take().filter(({ commandName }) => commandName !== "delete");
    // 400 KB of log are seven tails of 64 KiB; each takes a read and a segment more.
    expect(commands.length).toBeLessThanOrEqual(400 + 2 * 8);
    given.assertEntries((await given.readAll(storage, key)).slice(1), Array(400).fill(entry));
  });

  test("a task that goes on holds its conversation before its append is sent", async () => {
    await using observed = await openObserved();
    const { storage } = observed;
    await storage.setRetention(retention);
    const key = given.taskKey("task");
    const asks = await given.commit(storage, key, given.nothing, { state: TaskState.INPUT_REQUIRED });
    await quiet(observed);
    await given.say(storage, key, asks, "m1", 1, { state: TaskState.WORKING });
    expect(observed.waits()).toBe(2);
    const commands = observed.take().map(({ commandName, command }) => command[commandName]);
    expect(commands.toSorted()).toEqual(["a2a_conversations", "a2a_messages", "a2a_tasks"]);
    expect(commands.at(-1)).toBe("a2a_tasks");
  });

  test("an append after a restart takes one read more", async () => {
    const database = newDatabase();
    await using first = await openMongo({ database });
    const key = given.taskKey("task");
    const position = await given.commit(first, key, given.nothing);
    await using observed = await openObserved({ database });
    await quiet(observed);
    await given.commit(observed.storage, key, position);
    expect(observed.take().filter(({ commandName }) => commandName === "aggregate")).toHaveLength(1);
  });
});

describe("guarantees", () => {
  test("every read is from a majority on the primary, every write held by one, and nothing is a transaction", async () => {
    await using observed = await openObserved();
    const { storage } = observed;
    await storage.setRetention(retention);
    await useAll(storage);
    const commands = observed.take();
    expect(commands.length).toBeGreaterThan(50);
    for (const { commandName, command } of commands) {
      expect(command, commandName).not.toHaveProperty("startTransaction");
      expect(command, commandName).not.toHaveProperty("autocommit");
      const isRead = ["find", "aggregate", "count", "distinct"].includes(commandName);
      const concern = isRead ? command.readConcern?.level : command.writeConcern?.w;
      // What a write concludes from a record that is missing or behind is asked linearizably.
      expect(["majority", ...(isRead ? ["linearizable"] : [])], commandName).toContain(concern);
    }
  });

  test.each([
    { url: "?w=1", says: "w=1" },
    { url: "?w=0", says: "w=0" },
    { url: "?journal=false", says: "journal=false" },
    { url: "?readPreference=secondaryPreferred", says: "readPreference=secondaryPreferred" },
    { url: "?readConcernLevel=local", says: "readConcernLevel=local" },
    { url: "?readConcernLevel=linearizable", says: "readConcernLevel=linearizable" },
    { url: "?unknownOption=1", says: "unknown option" },
  ])("a URL with $url is refused", async ({ url, says }) => {
    const error = await failureOf(createMongoStorage(`mongodb://user:secret@127.0.0.1:1/${url}`));
    expect(error).toMatchObject({ name: "StorageError", code: "invalid", outcome: "none" });
    expect(error.message).toContain(says);
    expect(error.message).not.toContain("secret");
  });

  test("a client that asks for less is refused, and left open", async () => {
    const client = new MongoClient(mongodbUri, { writeConcern: { w: 1 } });
    expect(await failureOf(createMongoStorage(client))).toMatchObject({ code: "invalid" });
    expect(await client.db("admin").command({ ping: 1 })).toMatchObject({ ok: 1 });
    await client.close();
  });

  test("a server before version 6 is refused", async () => {
    const client = new MongoClient(mongodbUri);
    const old = clientOfVersion(client, "5.0.31");
    const error = await failureOf(createMongoStorage(old, { database: newDatabase() }));
    expect(error).toMatchObject({ code: "invalid" });
    expect(error.message).toContain("5.0.31");
    await client.close();
  });

  test("a server that can't be reached is unavailable, soon", async () => {
    const error = await failureOf(createMongoStorage("mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=200"));
    expect(error).toMatchObject({ name: "StorageError", code: "unavailable", outcome: "none" });
  });

  test("a server without a replica set works, with a warning that says what is lost", async () => {
    await using server = await startStandalone();
    const warnings: string[] = [];
    const logger: Logger = { debug() {}, info() {}, error() {}, warn: (_, text) => void warnings.push(text) };
    await using storage = await createMongoStorage(server.uri, { logger });
    expect(warnings).toEqual([expect.stringContaining("no replica set")]);
    const key = given.taskKey("task");
    const first = await given.commit(storage, key, given.nothing);
    await given.commit(storage, key, first);
    expect(await given.readAll(storage, key)).toHaveLength(2);
    expect(await storage.taskExists(given.taskKey("missing"))).toBe(false);
    expect(await storage.getTask(given.taskKey("missing"))).toBeUndefined();
    expect(await storage.deleteConversation(given.scope, "missing")).toBe(false);
    expect(await storage.appendTask(key, given.appendOf(first))).toMatchObject({ outcome: "lost", head: 2n });
    await storage.register("replica");
    expect(await storage.deregister("replica", 2n)).toBe(false);
  });

  test("no index but _id is unique, whatever the collection", async () => {
    const database = newDatabase();
    await using storage = await openMongo({ database });
    await useAll(storage);
    const db = testClient().db(database);
    const collections = await db.listCollections({}, { nameOnly: true }).toArray();
    expect(collections.length).toBeGreaterThanOrEqual(10);
    for (const { name } of collections) {
      for (const index of await db.collection(name).indexes())
        expect(index.unique ?? false, `${name} ${index.name}`).toBe(false);
    }
  });

  test("a database that only newer releases can read is refused; one that this one can work beside isn't", async () => {
    const database = newDatabase();
    await using _first = await openMongo({ database });
    const schema = testClient().db(database).collection<{ _id: string }>("a2a_schema");
    await schema.updateOne({ _id: "schema" }, { $set: { version: 7, readableBy: 1 } });
    await using _second = await openMongo({ database });
    expect(await schema.findOne({ _id: "schema" })).toMatchObject({ version: 7 });
    await schema.updateOne({ _id: "schema" }, { $set: { readableBy: 7 } });
    expect(await failureOf(openMongo({ database }))).toMatchObject({ code: "invalid" });
  });
});

/** Uses every method once at least, large records and removals included. */
async function useAll(storage: Awaited<ReturnType<typeof openMongo>>): Promise<void> {
  const { scope } = given;
  const key = given.taskKey("task");
  let position = await given.say(storage, key, given.nothing, "m1", 1, {
    claim: given.claimOf("m1", "task"),
    summary: given.fillerEntry(20_000),
  });
  for (let index = 0; index < 5; index++) {
    position = await given.say(storage, key, position, `n${index}`, 2 + index, {
      entries: [given.messageEntry(`n${index}`, "x".repeat(20_000))],
    });
  }
  position = await given.commit(storage, key, position, {
    entries: [given.fillerEntry(100_000), given.fillerEntry(5_000_000)],
    summary: given.fillerEntry(30_000),
  });
  await storage.sendCommand(key, { id: "command", bytes: given.fillerEntry(20_000) });
  await storage.storeSnapshot(key, { sequence: 3n, bytes: given.fillerEntry(9_000_000) });
  await storage.storeSnapshot(key, { sequence: 4n, bytes: given.fillerEntry(100) });
  await storage.getTask(key, { snapshot: true });
  await storage.taskExists(key);
  await given.readAll(storage, key);
  await storage.listTasks({ scope, limit: 10 });
  await storage.listTasks({ scope, contextId: "context", limit: 10 });
  await storage.storePushNotification(key, given.configOf("config"));
  await storage.getPushNotification(key, "config");
  await storage.listPushNotifications(key);
  await storage.deletePushNotification(key, "config");
  await storage.storeMessages(
    scope,
    [given.messageOf("bare", "text", "context")],
    given.claimOf("asked", randomUUID()),
  );
  await storage.claimMessage(scope, given.claimOf("asked", "else"));
  await storage.getMessages(scope, ["m1", "n1", "bare", "unknown"]);
  await storage.listMessagesByContextId(scope, "context");
  await storage.listMessagePage(scope, "context", { limit: 2 });
  await storage.deleteMessage(scope, "n1");
  await storage.updateConversationAccess(scope, "context");
  await storage.getConversation(scope, "context");
  await storage.listConversations(scope, { limit: 10 });
  await storage.getConversationStats();
  await storage.register("replica-1");
  await storage.heartbeat("replica-1");
  await storage.deregister("replica-2", 1n);
  await storage.listRunners({ limit: 10 });
  await storage.listReplicas();
  await storage.claimTasks({ replicas: ["replica-1"], limit: 10 });
  await given.commit(storage, key, position, { state: TaskState.COMPLETED, handled: ["command"] });
  await given.say(storage, given.taskKey("two"), given.nothing, "m2", 1, {
    contextId: "two",
    state: TaskState.COMPLETED,
  });
  await storage.storeConversation(scope, { contextId: "two", messageIds: [], lastAccessTime: new Date(1) });
  await storage.getExpiredConversations(0, 10);
  await storage.cleanupExpiredConversations(0, scope);
  await storage.deleteTask(key);
  await storage.deleteConversation(scope, "two");
  await storage.deregister("replica-1");
}

/** Waits for the jobs that a start begins, and forgets their commands. */
async function quiet(observed: ObservedCommands): Promise<void> {
  await observed.quiet();
  observed.take();
}

async function failureOf(promise: Promise<unknown>): Promise<Error> {
  const [result] = await Promise.allSettled([promise]);
  if (result.status === "fulfilled") throw new Error("It didn't fail");
  return result.reason;
}

/** The client as one of a server of another version. */
function clientOfVersion(client: MongoClient, version: string): MongoClient {
  return new Proxy(client, {
    get(target, name) {
      if (name !== "db") {
        const value = Reflect.get(target, name, target);
        return typeof value === "function" ? value.bind(target) : value;
      }
      return (database: string) => {
        const db = target.db(database);
        const admin = db.admin();
        return Object.assign(db, {
          admin: () => ({
            command: async (command: Record<string, unknown>) =>
              "buildInfo" in command ? { version } : admin.command(command),
          }),
        });
      };
    },
  });
}
