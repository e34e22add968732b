import { strict as assert } from "node:assert";
import { MongoClient, MongoServerError } from "mongodb";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import * as given from "../../../src/conformance/fixtures.ts";
import type { TaskKey } from "../../../src/domain/scope.ts";
import { silentLogger } from "../../../src/runtime/logger.ts";
import { createMongoStorage } from "../../../src/storage/mongodb/storage.ts";
import type { AppendResult, Storage, TaskAppend } from "../../../src/storage/storage.ts";
import { StorageError } from "../../../src/storage/storage-error.ts";
import { type Mongod, type MongodSet, startMongodSet } from "../../mongod/mongod.ts";
import { eventually } from "../../runner/eventually.ts";

let set: MongodSet;
const failPoints = ["stopReplProducer", "disableSnapshotting"] as const;

beforeAll(async () => {
  set = await startMongodSet(3);
}, 120_000);

afterAll(() => set?.[Symbol.asyncDispose]());

/** Or a test that fails half-way would make the later ones fail: their set would not settle. */
afterEach(async () => {
  for (const node of set.nodes) {
    node.resume();
    if (!node.running) await node.start();
    for (const name of failPoints) await failPoint(node, name, "off");
  }
}, 60_000);

describe("three nodes", () => {
  test("what a majority never held is neither shown nor built upon, before its rollback or after", {
    timeout: 180_000,
  }, async () => {
    const [primary, ...others] = await settledSet();
    const key = given.taskKey("rolled-back");
    await using storage = await open("rollback");
    const first = await given.commit(storage, key, given.nothing);
    // Without retries, or the driver would send it again to the next primary.
    await using doomed = await open("rollback", "&retryWrites=false");
    await Promise.all(others.map((node) => failPoint(node, "stopReplProducer", "alwaysOn")));
    const lostAppend = given.appendOf(first, { entries: [given.textEntry("lost")], batch: "lost" });
    const outcome = outcomeOf(doomed.appendTask(key, lostAppend));
    await given.eventually("the primary alone has the append", async () => (await headOn(primary, "rollback")) === 2);
    expect(await storage.getTask(key)).toMatchObject({ head: 1n, batch: first.batch });
    expect(await storage.readTask(key, 1n, 1000)).toEqual([]);

    await primary.kill();
    expect(await outcome).toMatchObject({ code: "unavailable", outcome: "unknown" });
    await Promise.all(others.map((node) => failPoint(node, "stopReplProducer", "off")));
    const rival = given.appendOf(first, { entries: [given.textEntry("rival")], batch: "rival" });
    expect(await settle(storage, key, rival)).toBe("committed");
    await primary.start();
    await settledSet();
    expect(await primary.log()).toMatch(/"c":"ROLLBACK"/);
    // Somebody who had trusted the old primary's head has the right number, but another batch.
    const onLost = given.appendOf({ head: 2n, batch: "lost", fence: 1n });
    expect(await patiently(() => storage.appendTask(key, onLost))).toMatchObject({
      outcome: "lost",
      head: 2n,
      batch: "rival",
    });
    expect(await patiently(() => storage.appendTask(key, lostAppend))).toMatchObject({
      outcome: "lost",
      head: 2n,
      batch: "rival",
    });
    expect(await batchesOf(storage, key)).toEqual([first.batch, "rival"]);
    const after = { head: 2n, batch: "rival", fence: 1n };
    expect(await settle(storage, key, given.appendOf(after, { batch: "next" }))).toBe("committed");
    expect(await batchesOf(storage, key)).toEqual([first.batch, "rival", "next"]);
  });

  test("a primary that was cut off and doesn't know it commits nothing", { timeout: 180_000 }, async () => {
    const [primary] = await settledSet();
    const key = given.taskKey("cut-off");
    await using storage = await open("stale");
    const first = await given.commit(storage, key, given.nothing);
    await using stale = await createMongoStorage(`${primary.directUri}&retryWrites=false`, {
      database: "stale",
      logger: silentLogger,
    });
    expect(await stale.taskExists(key)).toBe(true);
    primary.pause();
    // On its way already when the old primary goes on: it is carried out there before the old primary hears of the new
    // one.
    const outcome = outcomeOf(stale.appendTask(key, given.appendOf(first, { batch: "stale" })));
    expect(await settle(storage, key, given.appendOf(first, { batch: "rival" }))).toBe("committed");
    primary.resume();
    expect(await outcome).not.toMatchObject({ outcome: "committed" });
    await settledSet();
    expect(await batchesOf(storage, key)).toEqual([first.batch, "rival"]);
  });

  test("what a primary acknowledged is there for the next one, which doesn't show it to a majority's reader yet", {
    timeout: 180_000,
  }, async () => {
    const [primary, next] = await settledSet();
    assert(next !== undefined);
    await using storage = await open("elected");
    const earlier = given.taskKey("earlier");
    const before = await given.say(storage, earlier, given.nothing, "early", 1, { contextId: "a" });
    // A commit needs two nodes, and this one may be the third.
    await eventually(
      "the next primary shows the earlier task",
      async () => (await shownOn(next, "elected")).length > 0,
    );
    // From here on its readers of a majority see nothing new.
    await failPoint(next, "disableSnapshotting", "alwaysOn");
    const key = given.taskKey("acknowledged");
    await given.say(storage, earlier, before, "late", 2);
    const first = await given.commit(storage, key, given.nothing, {
      contextId: "b",
      entries: [given.fillerEntry(60_000)],
      claim: given.claimOf("asks", key.taskId),
    });
    await storage.storePushNotification(key, given.configOf("config"));
    await storage.register("replica");
    await stepUp(next);
    // Or it would take its role back before the calls below.
    await onNode(primary, (client) => client.db("admin").command({ replSetFreeze: 60 }));
    await eventually("the others know the next primary", async () => (await membersOf([next])).length > 0);
    expect(await shownOn(next, "elected")).toEqual([earlier.taskId]);

    const { scope } = given;
    // This append doesn't fit into the task's record, so it begins with a read.
    const append = given.appendOf(first, { entries: [given.fillerEntry(60_000)] });
    const calls = {
      exists: patiently(() => storage.taskExists(key)),
      head: patiently(async () => (await storage.getTask(earlier))?.head),
      entries: patiently(async () => (await storage.readTask(earlier, 1n, 1000)).length),
      append: settle(storage, key, append),
      total: patiently(async () => (await storage.listTasks({ scope, limit: 1 })).total),
      ofConversation: patiently(async () => (await storage.listTasks({ scope, limit: 1, contextId: "b" })).total),
      conversation: patiently(async () => (await storage.getConversation(scope, "b"))?.contextId),
      conversations: patiently(
        async () => (await storage.listConversations(scope, { limit: 10 })).conversations.length,
      ),
      stats: patiently(async () => (await storage.getConversationStats(scope)).totalMessages),
      messages: patiently(async () => given.idsOf(await storage.listMessagesByContextId(scope, "a"))),
      message: patiently(async () => (await storage.getMessage(scope, "late"))?.messageId),
      claim: patiently(async () => (await storage.claimMessage(scope, given.claimOf("asks", "another"))).outcome),
      config: patiently(async () => (await storage.getPushNotification(key, "config"))?.id),
      replicas: patiently(async () => (await storage.listReplicas()).map(({ replica }) => replica)),
      runners: patiently(() => storage.listRunners({ limit: 10 })),
      running: patiently(async () => (await storage.claimTasks({ replicas: ["replica-1"], limit: 10 })).length),
      deletion: patiently(() => storage.deleteConversation(scope, "b")).catch(({ code }) => code),
    };
    const answers = Object.entries(calls).map(async ([name, call]) => [name, await call] as const);
    await eventually("a call waits for the next primary", () => isReadingLatest(next));
    await failPoint(next, "disableSnapshotting", "off");
    expect(Object.fromEntries(await Promise.all(answers))).toEqual({
      exists: true,
      head: 2n,
      entries: 1,
      append: "committed",
      total: 2,
      ofConversation: 1,
      conversation: "b",
      conversations: 2,
      stats: 2,
      messages: ["early", "late"],
      message: "late",
      claim: "duplicate",
      config: "config",
      replicas: ["replica"],
      runners: ["replica-1"],
      running: 2,
      deletion: "running",
    });
    await onNode(primary, (client) => client.db("admin").command({ replSetFreeze: 0 }));
  });

  test("the primary dies under load: every acknowledged batch is in its log once, and wake-ups go on", {
    timeout: 240_000,
  }, async () => {
    const [primary] = await settledSet();
    await using storage = await open("load");
    await using watching = await open("load");
    let looks = 0;
    let wakeCount = 0;
    await using _watch = watching.watch("watcher", (keys) => {
      if (keys.length === 0) looks += 1;
      else wakeCount += 1;
    });
    await given.eventually("a wake-up arrives", async () => {
      await storage.wake(["watcher"], [given.taskKey("load-0")]);
      return wakeCount > 0;
    });
    let over = false;
    const counts = Array.from({ length: 8 }, () => 0);
    /** Until each writer has had so many more batches acknowledged. */
    const written = async (more: number) => {
      const before = [...counts];
      await eventually(
        "all writers went on",
        () => counts.every((count, index) => count >= (before[index] ?? 0) + more),
        { timeoutMs: 60_000 },
      );
    };
    const writers = Array.from({ length: 8 }, async (_, index) => {
      const key = given.taskKey(`load-${index}`);
      let position = given.nothing;
      const acknowledged: string[] = [];
      while (!over) {
        const append = given.appendOf(position, { entries: [given.fillerEntry(3000)] });
        expect(await settle(storage, key, append)).toBe("committed");
        position = { head: position.head + 1n, batch: append.batch.id, fence: 1n };
        acknowledged.push(append.batch.id);
        counts[index] = acknowledged.length;
      }
      return { key, acknowledged };
    });
    await written(20);
    await primary.kill();
    await written(20);
    await primary.start();
    await settledSet();
    await written(20);
    over = true;
    for (const { key, acknowledged } of await Promise.all(writers))
      expect(await batchesOf(storage, key)).toEqual(acknowledged);
    expect(looks).toBeGreaterThan(0);
    const before = wakeCount;
    await given.eventually("a wake-up arrives again", async () => {
      await patiently(() => storage.wake(["watcher"], [given.taskKey("load-0")]));
      return wakeCount > before;
    });
  });
});

async function open(database: string, options = ""): Promise<Storage> {
  return patiently(() => createMongoStorage(`${set.uri}${options}`, { database, logger: silentLogger }));
}

/**
 * All three nodes, the primary first, once each is a member in good standing. The first has the highest priority, so
 * the role comes back to it.
 */
async function settledSet(): Promise<[Mongod, ...Mongod[]]> {
  const isSettled = async () => {
    const members = await membersOf(set.nodes);
    const primaries = members.filter(({ stateStr }) => stateStr === "PRIMARY");
    const secondaries = members.filter(({ stateStr }) => stateStr === "SECONDARY");
    return primaries.length === 1 && primaries[0]?.name === set.nodes[0]?.host && secondaries.length === 2;
  };
  await eventually("the replica set is settled", isSettled, { timeoutMs: 90_000, intervalMs: 200 });
  return set.nodes as [Mongod, ...Mongod[]];
}

/** The members as the primary sees them. */
async function membersOf(
  nodes: readonly Mongod[],
): Promise<readonly { readonly name: string; readonly stateStr: string }[]> {
  for (const node of nodes) {
    try {
      const status = await onNode(node, (client) => client.db("admin").command({ replSetGetStatus: 1 }));
      if (status.myState === 1) return status.members;
    } catch {
      // It is down or starting; another one may know.
    }
  }
  return [];
}

/** What a node holds, whether or not a majority does. */
async function headOn(node: Mongod, database: string): Promise<number | undefined> {
  const found = await onNode(node, (client) =>
    client
      .db(database)
      .collection("a2a_tasks")
      .findOne({}, { readConcern: { level: "local" } }),
  );
  return found?.head;
}

/** The tasks that a node shows to a reader of what a majority has. */
function shownOn(node: Mongod, database: string): Promise<readonly string[]> {
  const options = { readConcern: { level: "majority" } } as const;
  return onNode(node, async (client) => {
    const found = await client.db(database).collection("a2a_tasks").find({}, options).toArray();
    return found.map(({ taskId }) => taskId);
  });
}

/** Whether a node carries out a read of the latest state, which ends with a commit. */
function isReadingLatest(node: Mongod): Promise<boolean> {
  return onNode(node, async (client) => {
    const filter = { "command.readConcern.level": "linearizable" };
    const found = await client
      .db("admin")
      .aggregate([{ $currentOp: {} }, { $match: filter }])
      .toArray();
    return found.length > 0;
  });
}

function failPoint(node: Mongod, name: (typeof failPoints)[number], mode: "alwaysOn" | "off"): Promise<unknown> {
  return onNode(node, (client) => client.db("admin").command({ configureFailPoint: name, mode }));
}

/** Has the node elected. The others refuse a node that lacks an entry of theirs, so it may have to catch up first. */
async function stepUp(node: Mongod): Promise<void> {
  const isElected = async () => {
    try {
      await onNode(node, (client) => client.db("admin").command({ replSetStepUp: 1 }));
      return true;
    } catch (error) {
      if (error instanceof MongoServerError && error.codeName === "CommandFailed") return false;
      throw error;
    }
  };
  await eventually("the node is elected", isElected, { timeoutMs: 60_000, intervalMs: 200 });
}

async function onNode<T>(node: Mongod, use: (client: MongoClient) => Promise<T>): Promise<T> {
  const client = new MongoClient(node.directUri, {
    serverSelectionTimeoutMS: 2000,
    readPreference: "primaryPreferred",
  });
  try {
    return await use(client);
  } finally {
    await client.close();
  }
}

async function outcomeOf(append: Promise<AppendResult>): Promise<AppendResult | StorageError> {
  return append.catch((error: unknown) => {
    if (error instanceof StorageError) return error;
    throw error;
  });
}

/** Tries again as long as the database is unavailable, a minute at most. */
async function patiently<T>(call: () => Promise<T>): Promise<T> {
  const attempt = async () => {
    try {
      return { result: await call() };
    } catch (error) {
      if (!(error instanceof StorageError && error.retryable)) throw error;
      return undefined;
    }
  };
  return (await eventually("the database answers", attempt, { timeoutMs: 60_000, intervalMs: 50 })).result;
}

/**
 * Sends the identical append until its outcome is known, as the port says: a refusal is settled by looking for the
 * batch in the log.
 */
async function settle(storage: Storage, key: TaskKey, append: TaskAppend): Promise<string> {
  const result = await patiently(() => storage.appendTask(key, append));
  if (result.outcome !== "lost") return result.outcome;
  const entries = await patiently(() => storage.readTask(key, append.after.head, 1));
  return entries[0]?.batch === append.batch.id ? "committed" : "lost";
}

async function batchesOf(storage: Storage, key: TaskKey): Promise<readonly string[]> {
  return (await patiently(() => given.readAll(storage, key))).map(({ batch }) => batch);
}
