import { strict as assert } from "node:assert";
import { TaskState } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import type { Scope } from "../../domain/scope.ts";
import type { Storage } from "../../storage/storage.ts";
import type { CaseSpec } from "../conformance-case.ts";
import * as given from "../fixtures.ts";

const pairs: readonly { readonly name: string; readonly mine: Scope; readonly other: Scope }[] = [
  { name: "another tenant", mine: { tenant: "a", owner: "b" }, other: { tenant: "c", owner: "b" } },
  { name: "another owner", mine: { tenant: "a", owner: "b" }, other: { tenant: "a", owner: "c" } },
  {
    name: "a tenant and an owner with the same concatenation",
    mine: { tenant: "a", owner: "b" },
    other: { tenant: "ab", owner: "" },
  },
  { name: "tenant and owner exchanged", mine: { tenant: "a", owner: "b" }, other: { tenant: "b", owner: "a" } },
  { name: "a separator in them", mine: { tenant: "1:a", owner: "b" }, other: { tenant: "1", owner: ":ab" } },
];

export const scopeCases: readonly CaseSpec[] = pairs.flatMap(({ name, mine, other }): CaseSpec[] => [
  {
    name: `${name}: nothing is visible to any method`,
    async run(storage) {
      await fill(storage, mine, "mine");
      await assertNothing(storage, other);
      await assertFilled(storage, mine, "mine");
    },
  },
  {
    name: `${name}: the same ids name other records`,
    async run(storage) {
      await fill(storage, mine, "mine");
      await fill(storage, other, "other");
      await assertFilled(storage, mine, "mine");
      await assertFilled(storage, other, "other");
      assert.equal((await storage.getConversationStats()).totalConversations, 2);
      assert.equal(await storage.deleteTask(given.taskKey("task", other)), true);
      assert.equal(await storage.deleteConversation(other, "context"), true);
      await assertFilled(storage, mine, "mine");
    },
  },
]);

async function fill(storage: Storage, scope: Scope, text: string): Promise<void> {
  const key = given.taskKey("task", scope);
  const claim = given.claimOf("m1", `task of ${text}`);
  assert.deepEqual(await storage.claimMessage(scope, claim), { outcome: "accepted", otherContent: false });
  await given.commit(storage, key, given.nothing, {
    entries: [given.createdEntry("m1", text)],
    messages: [{ index: 0, messageId: "m1", timeMs: 1000 }],
    state: TaskState.COMPLETED,
  });
  await storage.storeMessages(scope, [given.messageOf("m2", text, "context")]);
  await storage.storeSnapshot(key, { sequence: 1n, bytes: Buffer.from(text) });
  await storage.sendCommand(key, { id: "request", bytes: Buffer.from(text) });
  await storage.storePushNotification(key, given.configOf("config", text));
  await given.setLastAccess(storage, "context", new Date(1000), scope);
}

async function assertFilled(storage: Storage, scope: Scope, text: string): Promise<void> {
  const key = given.taskKey("task", scope);
  const task = await given.taskOf(storage, key, { snapshot: true });
  assert.deepEqual(task.key, key);
  given.assertBytes(task.snapshot?.bytes, Buffer.from(text));
  assert.equal(task.commands.length, 1);
  given.assertBytes(task.commands[0]?.bytes, Buffer.from(text));
  given.assertEntries(await storage.readTask(key, 0n, 1000), [given.createdEntry("m1", text)]);
  assert.deepEqual((await storage.listMessagesByContextId(scope, "context")).map(given.textOf), [text, text]);
  assert.deepEqual((await storage.getMessages(scope, ["m1", "m2"])).map(given.textOf), [text, text]);
  assert.deepEqual(
    (await storage.listPushNotifications(key)).map(({ url }) => url),
    [text],
  );
  assert.equal((await storage.listTasks({ scope, limit: 5 })).total, 1);
  assert.equal((await storage.listConversations(scope, { limit: 5 })).conversations.length, 1);
  assert.equal((await storage.getConversationStats(scope)).totalMessages, 2);
  assert.deepEqual(await storage.getExpiredConversations(1000, 5, scope), [{ ...scope, contextId: "context" }]);
  const again = await storage.claimMessage(scope, given.claimOf("m1", "again"));
  assert.deepEqual(again, { outcome: "duplicate", taskId: `task of ${text}` });
}

async function assertNothing(storage: Storage, scope: Scope): Promise<void> {
  const key = given.taskKey("task", scope);
  assert.equal(await storage.getTask(key), undefined);
  assert.equal(await storage.taskExists(key), false);
  assert.deepEqual(await storage.readTask(key, 0n, 1000), []);
  assert.deepEqual(await storage.appendTask(key, given.appendOf({ head: 1n, batch: "b", fence: 1n })), {
    outcome: "gone",
  });
  assert.deepEqual(await storage.listTasks({ scope, limit: 5 }), { tasks: [], total: 0, more: false });
  assert.deepEqual(await storage.listTasks({ scope, contextId: "context", limit: 5 }), {
    tasks: [],
    total: 0,
    more: false,
  });
  await storage.storeSnapshot(key, { sequence: 1n, bytes: new Uint8Array() });
  assert.equal(await storage.sendCommand(key, { id: "request", bytes: new Uint8Array() }), false);
  assert.equal(await storage.deleteTask(key), false);
  assert.equal(await storage.getMessage(scope, "m1"), undefined);
  assert.deepEqual(await storage.getMessages(scope, ["m1", "m2"]), []);
  assert.deepEqual(await storage.listMessagesByContextId(scope, "context"), []);
  assert.deepEqual(await storage.listMessagePage(scope, "context", { limit: 5 }), { messages: [] });
  assert.equal(await storage.deleteMessage(scope, "m1"), false);
  assert.equal(await storage.getConversation(scope, "context"), undefined);
  assert.deepEqual(await storage.listConversations(scope, { limit: 5 }), { conversations: [], more: false });
  assert.equal(await storage.updateConversationAccess(scope, "context"), false);
  assert.equal(await storage.deleteConversation(scope, "context"), false);
  assert.deepEqual(await storage.getExpiredConversations(0, 5, scope), []);
  assert.equal(await storage.cleanupExpiredConversations(0, scope), 0);
  assert.deepEqual(await storage.getConversationStats(scope), { totalConversations: 0, totalMessages: 0 });
  await given.assertFails("missing", () => storage.storePushNotification(key, given.configOf("config")));
  assert.equal(await storage.getPushNotification(key, "config"), undefined);
  assert.deepEqual(await storage.listPushNotifications(key), []);
  assert.equal(await storage.deletePushNotification(key, "config"), false);
  const claim = given.claimOf("m1", "mine", { windowMs: 0 });
  assert.deepEqual(await storage.claimMessage(scope, claim), { outcome: "accepted", otherContent: false });
}
