import { strict as assert } from "node:assert";
import type { Storage } from "../../storage/storage.ts";
import type { CaseSpec } from "../conformance-case.ts";
import * as given from "../fixtures.ts";

const key = given.taskKey("task");
const { scope } = given;

/** A call of every method of the port. The type makes a new method fail to compile until it is here. */
const calls: { readonly [method in Exclude<keyof Storage, "traits" | symbol>]: (storage: Storage) => unknown } = {
  setRetention: (storage) => storage.setRetention({ conversationTtlMs: 1000, interruptedTtlMs: 1000 }),
  appendTask: (storage) => storage.appendTask(key, given.appendOf(given.nothing)),
  deregister: (storage) => storage.deregister("replica"),
  getTask: (storage) => storage.getTask(key),
  readTask: (storage) => storage.readTask(key, 0n, 1000),
  taskExists: (storage) => storage.taskExists(key),
  listTasks: (storage) => storage.listTasks({ scope, limit: 1 }),
  storeSnapshot: (storage) => storage.storeSnapshot(key, { sequence: 1n, bytes: new Uint8Array() }),
  deleteTask: (storage) => storage.deleteTask(key),
  sendCommand: (storage) => storage.sendCommand(key, { id: "request", bytes: new Uint8Array() }),
  getMessage: (storage) => storage.getMessage(scope, "m1"),
  getMessages: (storage) => storage.getMessages(scope, ["m1"]),
  listMessagesByContextId: (storage) => storage.listMessagesByContextId(scope, "context"),
  listMessagePage: (storage) => storage.listMessagePage(scope, "context", { limit: 1 }),
  storeMessages: (storage) => storage.storeMessages(scope, [given.messageOf("m1", "m1", "context")]),
  deleteMessage: (storage) => storage.deleteMessage(scope, "m1"),
  claimMessage: (storage) => storage.claimMessage(scope, given.claimOf("m1", "task")),
  storeConversation: (storage) =>
    storage.storeConversation(scope, { contextId: "c", messageIds: [], lastAccessTime: new Date() }),
  getConversation: (storage) => storage.getConversation(scope, "context"),
  listConversations: (storage) => storage.listConversations(scope, { limit: 1 }),
  updateConversationAccess: (storage) => storage.updateConversationAccess(scope, "context"),
  deleteConversation: (storage) => storage.deleteConversation(scope, "context"),
  getExpiredConversations: (storage) => storage.getExpiredConversations(0, 1),
  cleanupExpiredConversations: (storage) => storage.cleanupExpiredConversations(0),
  getConversationStats: (storage) => storage.getConversationStats(),
  storePushNotification: (storage) => storage.storePushNotification(key, given.configOf("config")),
  getPushNotification: (storage) => storage.getPushNotification(key, "config"),
  listPushNotifications: (storage) => storage.listPushNotifications(key),
  deletePushNotification: (storage) => storage.deletePushNotification(key, "config"),
  heartbeat: (storage) => storage.heartbeat("replica"),
  listReplicas: (storage) => storage.listReplicas(),
  listRunners: (storage) => storage.listRunners({ limit: 10 }),
  register: (storage) => storage.register("replica"),
  claimTasks: (storage) => storage.claimTasks({ replicas: ["replica"], limit: 1 }),
  watch: (storage) => storage.watch("replica", () => {}),
  wake: (storage) => storage.wake(["replica"], [key]),
};

export const closedCases: readonly CaseSpec[] = [
  ...Object.entries(calls).map(
    ([method, call]): CaseSpec => ({
      name: `${method} fails with "closed" after the storage was closed`,
      async run(storage) {
        await given.commit(storage, key, given.nothing);
        await storage[Symbol.asyncDispose]();
        await given.assertFails("closed", () => call(storage));
      },
    }),
  ),
  {
    name: "closing twice has the effect of closing once",
    async run(storage) {
      await Promise.all([storage[Symbol.asyncDispose](), storage[Symbol.asyncDispose]()]);
      await storage[Symbol.asyncDispose]();
    },
  },
  {
    name: "a watch ends with its storage, and can be disposed after it",
    async run(storage) {
      let calls = 0;
      const watch = storage.watch("replica", () => {
        calls += 1;
      });
      await storage[Symbol.asyncDispose]();
      await watch[Symbol.asyncDispose]();
      assert.equal(calls, 0);
    },
  },
  {
    name: "a call under way while the storage closes succeeds, or fails as closed",
    async run(storage) {
      const results = [1, 2, 3, 4, 5].map((index) =>
        storage.appendTask(given.taskKey(`task-${index}`), given.appendOf(given.nothing)),
      );
      const closing = storage[Symbol.asyncDispose]();
      for (const result of await Promise.allSettled(results)) {
        const code = result.status === "fulfilled" ? result.value.outcome : (result.reason as { code?: unknown }).code;
        assert.ok(code === "committed" || code === "closed", `The call ended as ${code}`);
      }
      await closing;
    },
  },
];
