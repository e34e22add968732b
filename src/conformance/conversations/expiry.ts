import { strict as assert } from "node:assert";
import { TaskState } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import type { Storage } from "../../storage/storage.ts";
import type { CaseSpec } from "../conformance-case.ts";
import * as given from "../fixtures.ts";

const hourMs = 3_600_000;
const retention = { conversationTtlMs: hourMs, interruptedTtlMs: 10 * hourMs };
const key = given.taskKey("task");

export const expiryCases: readonly CaseSpec[] = [
  {
    name: "nothing expires until the retention is set, or if it is Infinity",
    async run(storage) {
      await makeConversation(storage, "context");
      await age(storage, "context", 100_000);
      assert.equal(await storage.taskExists(key), true);
      await storage.setRetention({ conversationTtlMs: Number.POSITIVE_INFINITY, interruptedTtlMs: 1000 });
      assert.equal(await storage.taskExists(key), true);
      assert.equal((await storage.getConversationStats()).totalConversations, 1);
    },
  },
  {
    name: "no method finds what is past its time",
    async run(storage) {
      await storage.setRetention(retention);
      const position = await makeConversation(storage, "context");
      await storage.storePushNotification(key, given.configOf("config"));
      await age(storage, "context", 2);
      const { scope } = given;
      assert.equal(await storage.getTask(key, { snapshot: true }), undefined);
      assert.equal(await storage.taskExists(key), false);
      assert.deepEqual(await storage.readTask(key, 0n, 1000), []);
      assert.deepEqual(await storage.listTasks({ scope, limit: 5 }), { tasks: [], total: 0, more: false });
      assert.deepEqual(await storage.listTasks({ scope, contextId: "context", limit: 5 }), {
        tasks: [],
        total: 0,
        more: false,
      });
      assert.equal(await storage.sendCommand(key, { id: "r", bytes: new Uint8Array() }), false);
      await storage.storeSnapshot(key, { sequence: 1n, bytes: new Uint8Array() });
      assert.deepEqual(await storage.appendTask(key, given.appendOf(position)), { outcome: "gone" });
      assert.equal(await storage.getMessage(scope, "of-task"), undefined);
      assert.equal(await storage.getMessage(scope, "bare"), undefined);
      assert.deepEqual(await storage.getMessages(scope, ["of-task", "bare"]), []);
      assert.deepEqual(await storage.listMessagesByContextId(scope, "context"), []);
      assert.deepEqual(await storage.listMessagePage(scope, "context", { limit: 5 }), { messages: [] });
      assert.equal(await storage.getConversation(scope, "context"), undefined);
      assert.deepEqual(await storage.listConversations(scope, { limit: 5 }), { conversations: [], more: false });
      assert.deepEqual(await storage.getConversationStats(), { totalConversations: 0, totalMessages: 0 });
      assert.equal(await storage.getPushNotification(key, "config"), undefined);
      assert.deepEqual(await storage.listPushNotifications(key), []);
      assert.equal(await storage.deletePushNotification(key, "config"), false);
      await given.assertFails("missing", () => storage.storePushNotification(key, given.configOf("config")));
      assert.equal(await storage.updateConversationAccess(scope, "context"), false);
      assert.equal(await storage.deleteMessage(scope, "of-task"), false);
      assert.equal(await storage.deleteTask(key), false);
      assert.equal(await storage.deleteConversation(scope, "context"), false);
    },
  },
  {
    name: "a list and its total leave out what is past its time",
    async run(storage) {
      await storage.setRetention(retention);
      for (const [index, contextId] of ["live-1", "past-1", "live-2", "past-2", "live-3"].entries()) {
        await given.commit(storage, given.taskKey(contextId), given.nothing, {
          contextId,
          state: TaskState.COMPLETED,
          statusTimeMs: index,
        });
      }
      await age(storage, "past-1", 2);
      await age(storage, "past-2", 2);
      const page = await storage.listTasks({ scope: given.scope, limit: 2 });
      assert.deepEqual(
        [page.tasks.map((task) => task.contextId), page.total, page.more],
        [["live-3", "live-2"], 3, true],
      );
      const conversations = await storage.listConversations(given.scope, { limit: 10 });
      assert.deepEqual(conversations.conversations.map(({ contextId }) => contextId).toSorted(), [
        "live-1",
        "live-2",
        "live-3",
      ]);
    },
  },
  {
    name: "a conversation's time starts anew when its task stops holding it",
    async run(storage) {
      await storage.setRetention(retention);
      const position = await makeConversation(storage, "context", TaskState.WORKING);
      await age(storage, "context", 1000);
      await given.commit(storage, key, position, { state: TaskState.COMPLETED });
      assert.equal(await storage.taskExists(key), true);
    },
  },
  ...([TaskState.SUBMITTED, TaskState.WORKING] as const).map(
    (state): CaseSpec => ({
      name: `a task in state ${state} holds its conversation without a time limit`,
      async run(storage) {
        await storage.setRetention(retention);
        const position = await makeConversation(storage, "context", state);
        await age(storage, "context", 1000);
        assert.equal(await storage.taskExists(key), true);
        assert.equal((await storage.listMessagesByContextId(given.scope, "context")).length, 2);
        assert.equal(await storage.cleanupExpiredConversations(hourMs), 0);
        // With a message, which is an access, so that the conversation doesn't expire when the task ends.
        await given.say(storage, key, position, "end", 1000, { state: TaskState.COMPLETED });
        assert.equal(await storage.taskExists(key), true);
        await age(storage, "context", 2);
        assert.equal(await storage.taskExists(key), false);
      },
    }),
  ),
  ...([TaskState.INPUT_REQUIRED, TaskState.AUTH_REQUIRED] as const).map(
    (state): CaseSpec => ({
      name: `a task in state ${state} holds its conversation for the interrupted time after its status time`,
      async run(storage) {
        await storage.setRetention(retention);
        const hoursAgo = (hours: number) => Date.now() - hours * hourMs;
        const holding = await given.commit(storage, key, given.nothing, { state, statusTimeMs: hoursAgo(9) });
        await given.commit(storage, given.taskKey("too-old"), given.nothing, {
          state,
          statusTimeMs: hoursAgo(11),
          contextId: "too-old",
        });
        await age(storage, "context", 9);
        await age(storage, "too-old", 9);
        assert.equal(await storage.taskExists(key), true);
        assert.equal(await storage.taskExists(given.taskKey("too-old")), false);
        await storage.cleanupExpiredConversations(hourMs);
        assert.equal(await storage.taskExists(key), true);
        await given.commit(storage, key, holding, { state, statusTimeMs: hoursAgo(11) });
        await age(storage, "context", 9);
        assert.equal(await storage.taskExists(key), false);
      },
    }),
  ),
  ...([TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELED, TaskState.REJECTED] as const).map(
    (state): CaseSpec => ({
      name: `a task in state ${state} doesn't hold its conversation`,
      async run(storage) {
        await storage.setRetention(retention);
        await given.commit(storage, key, given.nothing, { state, statusTimeMs: Date.now() });
        await age(storage, "context", 2);
        assert.equal(await storage.taskExists(key), false);
      },
    }),
  ),
  {
    name: "one of many tasks is enough to hold a conversation",
    async run(storage) {
      await storage.setRetention(retention);
      await makeConversation(storage, "context");
      const other = given.taskKey("other");
      const position = await given.commit(storage, other, given.nothing, { state: TaskState.WORKING });
      await age(storage, "context", 2);
      assert.equal(await storage.taskExists(key), true);
      assert.equal(await storage.deleteTask(other), true);
      assert.equal(await storage.taskExists(key), false);
      assert.deepEqual(await storage.appendTask(other, given.appendOf(position)), { outcome: "gone" });
    },
  },
  {
    name: "a conversation without access is past its time after that time",
    async run(storage) {
      await storage.setRetention({ conversationTtlMs: 120, interruptedTtlMs: 120 });
      const start = Date.now();
      await makeConversation(storage, "context");
      await given.eventually(
        "the conversation expired",
        async () => (await storage.getConversation(given.scope, "context")) === undefined,
      );
      assert.ok(Date.now() - start >= 120, "It expired too early");
      assert.equal(await storage.taskExists(key), false);
      assert.deepEqual(await storage.listMessagesByContextId(given.scope, "context"), []);
    },
  },
  {
    name: "accesses and messages keep a conversation from expiring",
    async run(storage) {
      await storage.setRetention(retention);
      await makeConversation(storage, "accessed");
      let position = await given.commit(storage, given.taskKey("said"), given.nothing, {
        contextId: "said",
        state: TaskState.COMPLETED,
      });
      await storage.storeMessages(given.scope, [given.messageOf("m1", "m1", "stored")]);
      // Two rounds of 0.6 of its time each: a conversation without the first access would be past its time.
      for (const round of ["first", "second"]) {
        for (const contextId of ["accessed", "said", "stored"]) {
          await age(storage, contextId, 0.6);
        }
        const before = Date.now();
        assert.equal(await storage.updateConversationAccess(given.scope, "accessed"), true);
        position = await given.say(storage, given.taskKey("said"), position, "again", 1000, {
          state: TaskState.COMPLETED,
        });
        await storage.storeMessages(given.scope, [given.messageOf("m1", "m1", "stored")]);
        for (const contextId of ["accessed", "said", "stored"]) {
          const conversation = await storage.getConversation(given.scope, contextId);
          assert.ok(conversation, `"${contextId}" expired in the ${round} round`);
          const lastAccessMs = conversation.lastAccessTime.getTime();
          assert.ok(
            lastAccessMs > before - 0.5 * hourMs,
            `The access to "${contextId}" was not noted in the ${round} round`,
          );
        }
      }
    },
  },
  {
    name: "10,000 conversations expire while others are used and lose nothing; ids used again start anew",
    async run(storage) {
      await storage.setRetention(retention);
      const { scope } = given;
      await makeManyPast(storage);
      const running = given.taskKey("running");
      const held = await given.say(storage, running, given.nothing, "of-running", 1000, { contextId: "held" });
      await age(storage, "held", 1000);
      const used = given.taskKey("used");
      let position = await given.say(storage, used, given.nothing, "of-used", 1000, {
        contextId: "used",
        state: TaskState.COMPLETED,
      });

      let cleaning = true;
      const cleanup = storage.cleanupExpiredConversations(hourMs).finally(() => {
        cleaning = false;
      });
      const again: string[] = [];
      do {
        position = await given.commit(storage, used, position, { state: TaskState.COMPLETED });
        const contextId = `past-${(again.length * 997) % manyPast}`;
        again.push(contextId);
        await storage.storeMessages(scope, [given.messageOf(`new-${contextId}`, "new", contextId)]);
        assert.deepEqual((await storage.getConversation(scope, contextId))?.messageIds, [`new-${contextId}`]);
      } while (cleaning && again.length < 500);
      await cleanup;
      await storage.cleanupExpiredConversations(hourMs);

      assert.deepEqual(await storage.getExpiredConversations(hourMs, 5), []);
      assert.equal((await storage.getConversationStats()).totalConversations, again.length + 2);
      assert.equal((await given.readAll(storage, used)).length, Number(position.head));
      assert.deepEqual(given.idsOf(await storage.listMessagesByContextId(scope, "used")), ["of-used"]);
      await given.commit(storage, running, held);
      assert.deepEqual(given.idsOf(await storage.listMessagesByContextId(scope, "held")), ["of-running"]);
      for (const contextId of again) {
        assert.deepEqual(given.idsOf(await storage.listMessagesByContextId(scope, contextId)), [`new-${contextId}`]);
      }
    },
  },
];

const manyPast = 10_000;

/** Conversations past their time that are not removed yet. Every fiftieth has a task and a message. */
async function makeManyPast(storage: Storage): Promise<void> {
  const lastAccessTime = new Date(Date.now() - 2 * hourMs);
  let next = 0;
  const make = async () => {
    while (next < manyPast) {
      const contextId = `past-${next++}`;
      if (next % 50 === 0) {
        await given.say(storage, given.taskKey(contextId), given.nothing, `of-${contextId}`, 1000, {
          contextId,
          state: TaskState.COMPLETED,
        });
        await age(storage, contextId, 2);
      } else {
        await storage.storeConversation(given.scope, { contextId, messageIds: [], lastAccessTime });
      }
    }
  };
  await Promise.all(Array.from({ length: 64 }, make));
}

/** A conversation with a task (by default COMPLETED), a message of the task and one without a task. */
async function makeConversation(
  storage: Storage,
  contextId: string,
  state: TaskState = TaskState.COMPLETED,
): Promise<given.Position> {
  const position = await given.say(storage, key, given.nothing, "of-task", 1000, { contextId, state });
  await storage.storeMessages(given.scope, [given.messageOf("bare", "bare", contextId)]);
  return position;
}

async function age(storage: Storage, contextId: string, hours: number): Promise<void> {
  await given.setLastAccess(storage, contextId, new Date(Date.now() - hours * hourMs));
}
