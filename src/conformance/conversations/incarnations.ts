import { strict as assert } from "node:assert";
import { TaskState } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import type { Storage } from "../../storage/storage.ts";
import type { CaseSpec } from "../conformance-case.ts";
import * as given from "../fixtures.ts";

const hourMs = 3_600_000;
const key = given.taskKey("task");
const second = given.taskKey("second");
const { scope } = given;

export const incarnationCases: readonly CaseSpec[] = [
  {
    name: "a task in a context id used again finds nothing of the old conversation",
    async run(storage) {
      await makePast(storage);
      await given.say(storage, given.taskKey("new"), given.nothing, "new-message", 500);
      await assertOnly(storage, "new-message");
    },
  },
  {
    name: "a message in a context id used again finds nothing of the old conversation",
    async run(storage) {
      await makePast(storage);
      await storage.storeMessages(scope, [given.messageOf("new-message", "new", "context")]);
      await assertOnly(storage, "new-message");
    },
  },
  {
    name: "a conversation stored under an id used again has nothing of the old one",
    async run(storage) {
      await makePast(storage);
      await storage.storeConversation(scope, {
        contextId: "context",
        messageIds: ["of-task", "bare"],
        lastAccessTime: new Date(),
      });
      await assertOnly(storage);
    },
  },
  {
    name: "a task id used again in the same conversation starts a new task",
    async run(storage) {
      const old = await makePast(storage);
      await given.commit(storage, key, given.nothing, { batch: "new" });
      await assertFresh(storage);
      assert.equal(given.lost(await storage.appendTask(key, given.appendOf(old))).batch, "new");
    },
  },
  {
    name: "a task id used again in another conversation starts a new task",
    async run(storage) {
      await makePast(storage);
      await given.commit(storage, key, given.nothing, { contextId: "another", batch: "new" });
      await assertFresh(storage);
      assert.equal((await given.taskOf(storage, key)).contextId, "another");
      assert.equal(await storage.getConversation(scope, "context"), undefined);
      // A late sweep of the old conversation must not remove the new task.
      await storage.cleanupExpiredConversations(hourMs);
      await assertFresh(storage);
    },
  },
  {
    name: "a message id used again is the new message, and stays when the old one is swept",
    async run(storage) {
      await makePast(storage);
      await storage.storeMessages(scope, [
        given.messageOf("of-task", "new", "another"),
        given.messageOf("bare", "new too", "another"),
      ]);
      await storage.cleanupExpiredConversations(hourMs);
      assert.deepEqual((await storage.getMessages(scope, ["of-task", "bare"])).map(given.textOf), ["new", "new too"]);
    },
  },
  {
    name: "a late sweep removes the old conversation and leaves the new one of the same id",
    async run(storage) {
      await makePast(storage);
      await given.say(storage, key, given.nothing, "new-message", 500);
      await storage.cleanupExpiredConversations(0.5 * hourMs);
      assert.deepEqual(given.idsOf(await storage.listMessagesByContextId(scope, "context")), ["new-message"]);
      assert.equal((await given.readAll(storage, key)).length, 1);
      assert.deepEqual(await storage.getExpiredConversations(0.5 * hourMs, 10), []);
    },
  },
  {
    name: "20 calls that use an id again at once share one new conversation",
    async run(storage) {
      await makePast(storage);
      const ids = Array.from({ length: 20 }, (_, index) => `new-${index}`);
      await Promise.all(
        ids.map((id, index) =>
          index % 2 === 0
            ? given.say(storage, given.taskKey(id), given.nothing, id, 500)
            : storage.storeMessages(scope, [given.messageOf(id, id, "context")]),
        ),
      );
      assert.deepEqual(given.idsOf(await storage.listMessagesByContextId(scope, "context")).toSorted(), ids.toSorted());
      assert.deepEqual((await storage.getConversation(scope, "context"))?.messageIds.toSorted(), ids.toSorted());
      assert.equal((await storage.listTasks({ scope, contextId: "context", limit: 20 })).total, 10);
    },
  },
  ...(["past its time", "deleted"] as const).map(
    (end): CaseSpec => ({
      name: `the answer of a claim is not returned after its conversation was ${end}`,
      async run(storage) {
        await storage.setRetention({ conversationTtlMs: hourMs, interruptedTtlMs: hourMs });
        const claim = given.claimOf("m1", "task-1", { windowMs: 24 * hourMs });
        await storage.claimMessage(scope, claim);
        await storage.storeMessages(scope, [given.messageOf("answer", "old", "context")], claim);
        await (end === "deleted"
          ? storage.deleteConversation(scope, "context")
          : given.setLastAccess(storage, "context", new Date(Date.now() - 2 * hourMs)));
        const result = await storage.claimMessage(scope, { ...claim, taskId: "task-2" });
        assert.ok(!("answer" in result) || result.answer === undefined);
      },
    }),
  ),
];

/** A conversation past its time, but not removed, with two tasks, a snapshot, a command, a config and messages. */
async function makePast(storage: Storage): Promise<given.Position> {
  await storage.setRetention({ conversationTtlMs: hourMs, interruptedTtlMs: hourMs });
  const first = await given.say(storage, key, given.nothing, "of-task", 1000, { state: TaskState.COMPLETED });
  const position = await given.commit(storage, key, first, { state: TaskState.COMPLETED });
  await given.say(storage, second, given.nothing, "of-second", 1000, { state: TaskState.COMPLETED });
  await storage.storeSnapshot(key, { sequence: 1n, bytes: new Uint8Array([1]) });
  await storage.sendCommand(key, { id: "request", bytes: new Uint8Array([1]) });
  await storage.storePushNotification(key, given.configOf("config"));
  await storage.storeMessages(scope, [given.messageOf("bare", "bare", "context")]);
  await given.setLastAccess(storage, "context", new Date(Date.now() - 2 * hourMs));
  assert.equal(await storage.taskExists(key), false);
  return position;
}

/** Asserts that the conversation has only these messages, and none of its old tasks. */
async function assertOnly(storage: Storage, ...messageIds: readonly string[]): Promise<void> {
  assert.deepEqual((await storage.getConversation(scope, "context"))?.messageIds, messageIds);
  assert.deepEqual(given.idsOf(await storage.listMessagesByContextId(scope, "context")), messageIds);
  assert.deepEqual(await storage.getMessages(scope, ["of-task", "of-second", "bare"]), []);
  assert.equal(await storage.taskExists(key), false);
  assert.equal(await storage.taskExists(second), false);
  assert.deepEqual(await storage.readTask(key, 0n, 1000), []);
  const listed = (await storage.listTasks({ scope, limit: 5 })).tasks.map((task) => task.key.taskId);
  assert.deepEqual(
    listed.filter((taskId) => taskId !== "new"),
    [],
  );
  assert.equal((await storage.getConversationStats()).totalMessages, messageIds.length);
}

/** Asserts that the task is the new one and has nothing of the old one. */
async function assertFresh(storage: Storage): Promise<void> {
  const task = await given.taskOf(storage, key, { snapshot: true });
  assert.deepEqual([task.head, task.batch, task.commands, task.snapshot], [1n, "new", [], undefined]);
  assert.deepEqual(
    (await given.readAll(storage, key)).map(({ batch }) => batch),
    ["new"],
  );
  assert.deepEqual(await storage.listPushNotifications(key), []);
  assert.equal(await storage.getMessage(scope, "of-task"), undefined);
  assert.equal(await storage.taskExists(second), false);
}
