import { randomUUID } from "node:crypto";
import { type CommandStartedEvent, type Document, MongoClient } from "mongodb";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { TaskState } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import * as given from "../../../src/conformance/fixtures.ts";
import type { Storage } from "../../../src/storage/storage.ts";
import { type ObservedStorage, openObserved } from "./commands.ts";
import { mongodbUri } from "./fixtures.ts";

const { scope } = given;
const others = { tenant: "other", owner: "owner" };
const conversations = 20;
const tasksEach = 6;
let database: string;

/** What a query costs, by the database's own account. */
interface Cost {
  readonly name: string;
  readonly stages: readonly string[];
  readonly keysExamined: number;
  readonly docsExamined: number;
  readonly returned: number;
  readonly counts: boolean;
  readonly lookupScans: number;
}

let position: given.Position;

beforeAll(async () => {
  // All tests of this file read the same, so it is made once.
  database = `test_explain_${randomUUID().replaceAll("-", "")}`;
  await using observed = await openObserved({ database });
  await fill(observed.storage);
}, 120_000);

afterAll(async () => {
  await using client = new MongoClient(mongodbUri);
  await client.db(database).dropDatabase();
});

/** Every call that looks for something. `all`: it goes through all of a conversation, whatever it finds. */
const calls: { readonly name: string; readonly all?: true; readonly call: (storage: Storage) => Promise<unknown> }[] = [
  { name: "getTask", call: (storage) => storage.getTask(given.taskKey("task-3-1"), { snapshot: true }) },
  { name: "taskExists", call: (storage) => storage.taskExists(given.taskKey("task-3-1")) },
  {
    name: "readTask, from the tail",
    call: (storage) => storage.readTask(given.taskKey("long"), position.head - 1n, 1000),
  },
  { name: "readTask, from segments", call: (storage) => storage.readTask(given.taskKey("long"), 2n, 100_000) },
  {
    name: "appendTask",
    call: (storage) => given.commit(storage, given.taskKey("task-1-1"), given.nothing).catch(() => undefined),
  },
  { name: "listTasks of a scope", call: (storage) => storage.listTasks({ scope, limit: 10 }) },
  {
    name: "listTasks, a later page",
    call: (storage) => storage.listTasks({ scope, limit: 10, after: { statusTimeMs: 60, taskId: "task-3-1" } }),
  },
  {
    name: "listTasks in a state",
    call: (storage) => storage.listTasks({ scope, limit: 5, state: TaskState.COMPLETED }),
  },
  { name: "listTasks since a time", call: (storage) => storage.listTasks({ scope, limit: 5, statusTimeMsMin: 90 }) },
  {
    name: "listTasks in a state since a time, a later page",
    call: (storage) =>
      storage.listTasks({
        scope,
        limit: 5,
        state: TaskState.WORKING,
        statusTimeMsMin: 20,
        after: { statusTimeMs: 60, taskId: "task-3-1" },
      }),
  },
  {
    name: "listTasks of a conversation",
    call: (storage) => storage.listTasks({ scope, contextId: "context-3", limit: 3 }),
  },
  {
    name: "listTasks of a conversation, a later page",
    call: (storage) =>
      storage.listTasks({ scope, contextId: "context-3", limit: 3, after: { statusTimeMs: 60, taskId: "task-3-1" } }),
  },
  {
    name: "listTasks of a conversation in a state",
    call: (storage) => storage.listTasks({ scope, contextId: "context-3", state: TaskState.WORKING, limit: 2 }),
  },
  { name: "getMessages", call: (storage) => storage.getMessages(scope, ["m-3-1", "n-3-1", "bare-3"]) },
  { name: "listMessagesByContextId", call: (storage) => storage.listMessagesByContextId(scope, "context-3", 3) },
  { name: "listMessagesByContextId, all", call: (storage) => storage.listMessagesByContextId(scope, "context-3") },
  { name: "listMessagePage", call: (storage) => storage.listMessagePage(scope, "context-3", { limit: 3 }) },
  {
    name: "listMessagePage, a later page",
    call: (storage) =>
      storage.listMessagePage(scope, "context-3", {
        limit: 3,
        after: { timeMs: 32, taskId: "task-3-1", sequence: 1n },
      }),
  },
  { name: "deleteMessage", call: (storage) => storage.deleteMessage(scope, "n-4-1") },
  { name: "getConversation", call: (storage) => storage.getConversation(scope, "context-3") },
  { name: "listConversations", call: (storage) => storage.listConversations(scope, { limit: 5 }) },
  {
    name: "listConversations, a later page",
    call: (storage) =>
      storage.listConversations(scope, { limit: 5, after: { lastAccessMs: Date.now() - 1, contextId: "context-3" } }),
  },
  { name: "updateConversationAccess", call: (storage) => storage.updateConversationAccess(scope, "context-3") },
  { name: "getConversationStats of a scope", call: (storage) => storage.getConversationStats(scope) },
  { name: "getExpiredConversations", call: (storage) => storage.getExpiredConversations(60_000, 5) },
  { name: "getExpiredConversations of a scope", call: (storage) => storage.getExpiredConversations(60_000, 5, scope) },
  { name: "cleanupExpiredConversations", call: (storage) => storage.cleanupExpiredConversations(3_600_000) },
  { name: "claimMessage", call: (storage) => storage.claimMessage(scope, given.claimOf("claimed", "task")) },
  {
    name: "claimMessage, of a message that made a task",
    call: (storage) => storage.claimMessage(scope, given.claimOf("made", "another")),
  },
  {
    name: "storeMessages",
    call: (storage) =>
      storage.storeMessages(scope, [given.messageOf("new", "new", "context-5")], given.claimOf("claimed", "task")),
  },
  {
    name: "storeConversation",
    call: (storage) =>
      storage.storeConversation(scope, { contextId: "context-6", messageIds: ["m-6-1"], lastAccessTime: new Date() }),
  },
  {
    name: "storePushNotification",
    call: (storage) => storage.storePushNotification(given.taskKey("task-3-1"), given.configOf("c2")),
  },
  { name: "listPushNotifications", call: (storage) => storage.listPushNotifications(given.taskKey("task-3-1")) },
  {
    name: "deletePushNotification",
    call: (storage) => storage.deletePushNotification(given.taskKey("task-3-1"), "c1"),
  },
  {
    name: "sendCommand",
    call: (storage) => storage.sendCommand(given.taskKey("task-3-1"), { id: "r", bytes: new Uint8Array(3) }),
  },
  {
    name: "storeSnapshot",
    call: (storage) => storage.storeSnapshot(given.taskKey("long"), { sequence: 9n, bytes: new Uint8Array(3) }),
  },
  { name: "heartbeat", call: (storage) => storage.heartbeat("r1") },
  { name: "register", call: (storage) => storage.register("r2") },
  { name: "deregister", call: (storage) => storage.deregister("r2", 1n) },
  { name: "listRunners", call: (storage) => storage.listRunners({ limit: 5 }) },
  { name: "listReplicas", call: (storage) => storage.listReplicas() },
  { name: "claimTasks", call: (storage) => storage.claimTasks({ replicas: ["replica-1"], limit: 5 }) },
  { name: "deleteTask", call: (storage) => storage.deleteTask(given.taskKey("task-7-1")) },
  { name: "deleteConversation", call: (storage) => storage.deleteConversation(scope, "context-8") },
  {
    name: "deleteConversation, refused",
    call: (storage) => expect(storage.deleteConversation(scope, "context-9")).rejects.toThrow("is running"),
  },
  {
    // A time to live of minutes makes the job look at everything that was stored without one.
    name: "setRetention and what it makes of older records",
    all: true,
    call: async (storage) => {
      await storage.setRetention({ conversationTtlMs: 600_000, interruptedTtlMs: 600_000 });
    },
  },
];

describe("every query goes along an index, in its order, and reads little more than it returns", () => {
  test.each(calls)("$name", async ({ call, all }) => {
    await using observed = await openObserved({ database });
    await observed.quiet();
    observed.take();
    await call(observed.storage);
    if (all) await observed.quiet();
    const costs: Cost[] = [];
    for (const event of observed.take()) costs.push(...(await costsOf(observed, event)));
    expect(costs.length).toBeGreaterThan(0);
    for (const cost of costs) {
      expect(cost.stages, cost.name).not.toContain("COLLSCAN");
      expect(cost.stages, cost.name).not.toContain("SORT");
      expect(cost.lookupScans, cost.name).toBe(0);
      // A look-up of a few keys reads one more to see that there are no more; a count reads what it counts.
      const most = cost.counts || all ? Number.POSITIVE_INFINITY : 2 * cost.returned + 4;
      expect(cost.keysExamined, `${cost.name}: ${JSON.stringify(cost)}`).toBeLessThanOrEqual(most);
    }
  });
});

async function fill(storage: Storage): Promise<void> {
  const one = async (at: number, of: typeof scope) => {
    for (let index = 0; index < tasksEach; index++) {
      const key = given.taskKey(`task-${at}-${index}`, of);
      const statusTimeMs = at * 10 + index;
      const made = { contextId: `context-${at}`, statusTimeMs };
      const first = await given.say(storage, key, given.nothing, `m-${at}-${index}`, statusTimeMs, made);
      const state = at === 8 || index % 2 === 0 ? TaskState.COMPLETED : TaskState.WORKING;
      await given.say(storage, key, first, `n-${at}-${index}`, statusTimeMs + 1, { state, statusTimeMs });
      if (index === 1) await storage.storePushNotification(key, given.configOf("c1"));
    }
    await storage.storeMessages(of, [given.messageOf(`bare-${at}`, "bare", `context-${at}`)]);
  };
  await Promise.all(
    Array.from({ length: conversations }, async (_, at) => Promise.all([one(at, scope), one(at, others)])),
  );
  position = await given.commit(storage, given.taskKey("long"), given.nothing, {
    contextId: "long",
    claim: given.claimOf("made", "long"),
  });
  for (let index = 0; index < 40; index++)
    position = await given.commit(storage, given.taskKey("long"), position, { entries: [given.fillerEntry(8_000)] });
  await storage.storeSnapshot(given.taskKey("task-3-1"), { sequence: 1n, bytes: new Uint8Array(10) });
}

const explainable: ReadonlySet<string> = new Set([
  "find",
  "aggregate",
  "distinct",
  "update",
  "delete",
  "findAndModify",
  "count",
]);

/** Asks the database to explain a command that was sent. */
async function costsOf(
  { client }: ObservedStorage,
  { commandName, command }: CommandStartedEvent,
): Promise<readonly Cost[]> {
  if (!explainable.has(commandName)) return [];
  const { lsid, txnNumber, $db, $clusterTime, readConcern, writeConcern, $readPreference, maxTimeMS, ...bare } =
    command;
  const parts = commandName === "update" ? bare.updates.map((one: Document) => ({ ...bare, updates: [one] })) : [bare];
  const costs: Cost[] = [];
  for (const part of parts) {
    const explained = await client.db($db).command({ explain: part, verbosity: "executionStats" });
    costs.push(
      costOf(
        `${commandName} on ${bare[commandName]}: ${JSON.stringify(bare.pipeline ?? bare.filter ?? bare.query ?? bare.updates ?? bare.deletes)}`,
        bare,
        explained,
      ),
    );
  }
  return costs;
}

function costOf(name: string, command: Document, explained: Document): Cost {
  const stages: string[] = [];
  const cursor: Document = explained.stages?.[0]?.$cursor ?? explained;
  walk(cursor.queryPlanner?.winningPlan, stages);
  const stats = cursor.executionStats ?? {};
  const lookups: Document[] = (explained.stages ?? []).filter((stage: Document) => "$lookup" in stage);
  const text = JSON.stringify(command);
  return {
    name,
    stages,
    keysExamined: stats.totalKeysExamined ?? 0,
    docsExamined: stats.totalDocsExamined ?? 0,
    returned: stats.nReturned ?? 0,
    counts: text.includes('"$group"') || text.includes('"$count"') || "update" in command || "delete" in command,
    lookupScans: lookups.reduce((sum, { collectionScans = 0 }) => sum + Number(collectionScans), 0),
  };
}

function walk(plan: unknown, stages: string[]): void {
  if (typeof plan !== "object" || plan === null) return;
  for (const [key, value] of Object.entries(plan)) {
    if (key === "stage" && typeof value === "string") stages.push(value);
    else walk(value, stages);
  }
}
