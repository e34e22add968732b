import { strict as assert } from "node:assert";
import { setTimeout } from "node:timers/promises";
import type { CaseSpec } from "../conformance-case.ts";
import * as given from "../fixtures.ts";

const context = "context";

export const messageCases: readonly CaseSpec[] = [
  {
    name: "a message without a task creates its conversation and is stored unchanged",
    async run(storage) {
      const message = given.messageWithUnknownField("m1", context);
      message.metadata = { nested: { list: [1, "two", null] } };
      message.referenceTaskIds = ["t1"];
      await storage.storeMessages(given.scope, [message]);
      given.assertMessage(await storage.getMessage(given.scope, "m1"), message);
      assert.deepEqual((await storage.getConversation(given.scope, context))?.messageIds, ["m1"]);
    },
  },
  {
    name: "messages stored at once are in the conversations that they name",
    async run(storage) {
      const of = (id: string, contextId: string) => given.messageOf(id, id, contextId);
      await storage.storeMessages(given.scope, [of("m1", "c1"), of("m2", "c2"), of("m3", "c1")]);
      assert.deepEqual(given.idsOf(await storage.listMessagesByContextId(given.scope, "c1")), ["m1", "m3"]);
      assert.deepEqual(given.idsOf(await storage.listMessagesByContextId(given.scope, "c2")), ["m2"]);
    },
  },
  {
    name: "a message is stored with all others of its call or not at all",
    async run(storage) {
      const good = given.messageOf("good", "good", context);
      for (const bad of [
        given.messageOf("", "x", context),
        given.messageOf("bad", "x", ""),
        given.messageOf("b".repeat(257), "x", context),
      ]) {
        await given.assertFails("invalid", () => storage.storeMessages(given.scope, [good, bad]));
      }
      assert.equal(await storage.getMessage(given.scope, "good"), undefined);
      assert.equal(await storage.getConversation(given.scope, context), undefined);
    },
  },
  {
    name: "storing no messages does nothing",
    async run(storage) {
      await storage.storeMessages(given.scope, []);
      assert.equal((await storage.getConversationStats()).totalConversations, 0);
    },
  },
  {
    name: "messages are returned in the requested order, without those that don't exist",
    async run(storage) {
      await given.say(storage, given.taskKey("task"), given.nothing, "m1", 1000);
      await storage.storeMessages(given.scope, [
        given.messageOf("m2", "m2", context),
        given.messageOf("m3", "m3", "other"),
      ]);
      assert.deepEqual(given.idsOf(await storage.getMessages(given.scope, ["m3", "none", "m1", "m2"])), [
        "m3",
        "m1",
        "m2",
      ]);
      assert.deepEqual(await storage.getMessages(given.scope, []), []);
      assert.deepEqual(await storage.getMessages(given.scope, ["none"]), []);
      assert.equal(await storage.getMessage(given.scope, "none"), undefined);
    },
  },
  {
    name: "of several messages with the same id, the one stored last is found",
    async run(storage) {
      const now = Date.now();
      await say("from a task", "t1", now - 2000);
      assert.equal(given.textOf(await storage.getMessage(given.scope, "same")), "from a task");
      await say("from another", "t2", now - 1000);
      assert.equal(given.textOf(await storage.getMessage(given.scope, "same")), "from another");
      await storage.storeMessages(given.scope, [given.messageOf("same", "bare", "other")]);
      assert.equal(given.textOf(await storage.getMessage(given.scope, "same")), "bare");
      assert.equal((await storage.listMessagesByContextId(given.scope, context)).length, 2);

      async function say(text: string, taskId: string, timeMs: number): Promise<void> {
        const entries = [given.createdEntry("same", text)];
        await given.commit(storage, given.taskKey(taskId), given.nothing, {
          entries,
          messages: [{ index: 0, messageId: "same", timeMs }],
        });
      }
    },
  },
  {
    name: "a message without a task that is stored again is in the history once, as stored last",
    async run(storage) {
      await storage.storeMessages(given.scope, [given.messageOf("m1", "first", context)]);
      // So that it is also the last one by its time.
      await setTimeout(5);
      await storage.storeMessages(given.scope, [given.messageOf("m1", "second", context)]);
      const listed = await storage.listMessagesByContextId(given.scope, context);
      assert.deepEqual(listed.map(given.textOf), ["second"]);
      assert.equal(given.textOf(await storage.getMessage(given.scope, "m1")), "second");
      assert.equal((await storage.getConversationStats()).totalMessages, 1);
    },
  },
  {
    name: "a deleted message leaves the histories; its entry stays in the log",
    async run(storage) {
      const key = given.taskKey("task");
      await given.say(storage, key, given.nothing, "m1", 1000);
      await storage.storeMessages(given.scope, [
        given.messageOf("m2", "m2", context),
        given.messageOf("m3", "m3", context),
      ]);
      assert.equal(await storage.deleteMessage(given.scope, "m1"), true);
      assert.equal(await storage.deleteMessage(given.scope, "m2"), true);
      assert.equal(await storage.deleteMessage(given.scope, "m1"), false);
      assert.equal(await storage.deleteMessage(given.scope, "none"), false);
      assert.equal(await storage.getMessage(given.scope, "m1"), undefined);
      assert.deepEqual((await storage.getConversation(given.scope, context))?.messageIds, ["m3"]);
      assert.deepEqual(given.idsOf(await storage.listMessagesByContextId(given.scope, context)), ["m3"]);
      given.assertEntries(await given.readAll(storage, key), [given.createdEntry("m1")]);
    },
  },
  {
    name: "a message of 5 MiB reads back unchanged",
    async run(storage) {
      const message = given.messageOf("m1", "x".repeat(5 * 1024 * 1024), context);
      await storage.storeMessages(given.scope, [message]);
      given.assertMessage(await storage.getMessage(given.scope, "m1"), message);
    },
  },
];
