import { strict as assert } from "node:assert";
import type { Message } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import type { MessagePlace, Storage } from "../../storage/storage.ts";
import type { CaseSpec } from "../conformance-case.ts";
import * as given from "../fixtures.ts";

const context = "context";

/** The messages of `makeHistory` in order: at 1000; at 2000 by task, "B" before "a"; at 3000. */
const ordered = ["b-early", "B-first", "a-first", "a-second", "b-first", "z-first", "a-late", "z-late"];

export const historyCases: readonly CaseSpec[] = [
  {
    name: "a message is found in each kind of entry that has one, with the ids of its log",
    async run(storage) {
      await given.commit(storage, given.taskKey("task"), given.nothing, {
        entries: [
          given.createdEntry("m1", "one"),
          given.textEntry("no message"),
          given.messageEntry("m2", "two"),
          given.statusEntry("m3", "three"),
        ],
        messages: [
          { index: 0, messageId: "m1", timeMs: 1000 },
          { index: 2, messageId: "m2", timeMs: 1000 },
          { index: 3, messageId: "m3", timeMs: 1001 },
        ],
      });
      const listed = await storage.listMessagesByContextId(given.scope, context);
      assert.deepEqual(
        listed.map((message) => [message.messageId, given.textOf(message), message.taskId, message.contextId]),
        [
          ["m1", "one", "task", context],
          ["m2", "two", "task", context],
          ["m3", "three", "task", context],
        ],
      );
      for (const message of listed) {
        given.assertMessage(await storage.getMessage(given.scope, message.messageId), message);
      }
    },
  },
  {
    name: "an entry adds its message to the history only if the append says so",
    async run(storage) {
      const entries = [given.createdEntry("m1"), given.messageEntry("m2")];
      await given.commit(storage, given.taskKey("task"), given.nothing, {
        entries,
        messages: [{ index: 1, messageId: "m2", timeMs: 1 }],
      });
      assert.deepEqual(await historyOf(storage), ["m2"]);
      assert.equal(await storage.getMessage(given.scope, "m1"), undefined);
    },
  },
  {
    name: "the order is time, then task, then sequence",
    async run(storage) {
      await makeHistory(storage);
      assert.deepEqual(await historyOf(storage), ordered);
    },
  },
  {
    name: "the newest messages of a history, oldest first: any number, 0, -1 for all",
    async run(storage) {
      await makeHistory(storage);
      for (const limit of [1, 3, 7, 8, 9, 1000]) {
        const listed = await storage.listMessagesByContextId(given.scope, context, limit);
        assert.deepEqual(given.idsOf(listed), ordered.slice(-limit));
      }
      assert.deepEqual(await storage.listMessagesByContextId(given.scope, context, 0), []);
      assert.deepEqual(given.idsOf(await storage.listMessagesByContextId(given.scope, context, -1)), ordered);
      assert.deepEqual(await storage.listMessagesByContextId(given.scope, "unknown"), []);
    },
  },
  {
    name: "pages go through a history in the same order, whatever their size",
    async run(storage) {
      await makeHistory(storage);
      for (const limit of [1, 2, 3, 4, 7, 8, 9]) {
        const { ids, sizes } = await pageThrough(storage, limit);
        assert.deepEqual(ids, ordered);
        // An exactly full last page is not followed by an empty one.
        assert.equal(sizes.length, Math.ceil(ordered.length / limit));
        assert.ok(sizes.slice(0, -1).every((size) => size === limit));
      }
      assert.deepEqual(await storage.listMessagePage(given.scope, "unknown", { limit: 3 }), { messages: [] });
    },
  },
  {
    name: "a page can start after a place whose message was removed",
    async run(storage) {
      await makeHistory(storage);
      const { next } = await storage.listMessagePage(given.scope, context, { limit: 4 });
      assert.ok(next);
      const last = ordered[3] as string;
      assert.equal(await storage.deleteMessage(given.scope, last), true);
      const { messages } = await storage.listMessagePage(given.scope, context, { after: next, limit: 100 });
      assert.deepEqual(given.idsOf(messages), ordered.slice(4));
    },
  },
  {
    name: "messages without a task are listed among the others, in the order they were stored",
    async run(storage) {
      await given.say(storage, given.taskKey("task"), given.nothing, "long-ago", 1000);
      const ids = Array.from({ length: 6 }, (_, index) => `bare-${(index * 5) % 6}`);
      await storage.storeMessages(given.scope, bare(ids.slice(0, 4)));
      await storage.storeMessages(given.scope, bare(ids.slice(4, 5)));
      await storage.storeMessages(given.scope, bare(ids.slice(5)));
      await given.say(storage, given.taskKey("later"), given.nothing, "far-ahead", Date.now() + 3_600_000);
      assert.deepEqual(await historyOf(storage), ["long-ago", ...ids, "far-ahead"]);
      assert.deepEqual((await pageThrough(storage, 2)).ids, ["long-ago", ...ids, "far-ahead"]);
    },
  },
  {
    name: "the oldest messages leave a history that is too long; their entries stay in the log",
    options: { maxHistoryLength: 5 },
    async run(storage) {
      const key = given.taskKey("task");
      let position = given.nothing;
      for (let index = 0; index < 8; index++) {
        position = await given.say(storage, key, position, `m${index}`, 1000 + index);
        assert.ok((await historyOf(storage)).length <= 5);
      }
      assert.deepEqual(await historyOf(storage), ["m3", "m4", "m5", "m6", "m7"]);
      assert.equal(await storage.getMessage(given.scope, "m2"), undefined);
      assert.equal((await storage.getConversationStats(given.scope)).totalMessages, 5);
      assert.equal((await given.readAll(storage, key)).length, 8);
      // The oldest is that of the earliest time, not the one stored first.
      await given.say(storage, given.taskKey("other"), given.nothing, "older", 500);
      assert.deepEqual(await historyOf(storage), ["m3", "m4", "m5", "m6", "m7"]);
      await given.say(storage, given.taskKey("third"), given.nothing, "between", 1005);
      assert.deepEqual(await historyOf(storage), ["m4", "m5", "between", "m6", "m7"]);
    },
  },
  {
    name: "the history is limited within one append, and with messages without a task",
    options: { maxHistoryLength: 3 },
    async run(storage) {
      const entries = Array.from({ length: 5 }, (_, index) => given.messageEntry(`m${index}`));
      const messages = entries.map((_, index) => ({ index, messageId: `m${index}`, timeMs: 1000 }));
      await given.commit(storage, given.taskKey("task"), given.nothing, { entries, messages });
      assert.deepEqual(await historyOf(storage), ["m2", "m3", "m4"]);
      await storage.storeMessages(given.scope, bare(["b1", "b2"]));
      assert.deepEqual(await historyOf(storage), ["m4", "b1", "b2"]);
      await storage.storeMessages(given.scope, bare(["b3", "b4", "b5", "b6"]));
      assert.deepEqual(await historyOf(storage), ["b4", "b5", "b6"]);
      assert.equal(await storage.getMessage(given.scope, "b1"), undefined);
    },
  },
  {
    name: "100 messages are kept by default",
    async run(storage) {
      const entries = Array.from({ length: 101 }, (_, index) => given.messageEntry(`m${index}`));
      const messages = entries.map((_, index) => ({ index, messageId: `m${index}`, timeMs: 1000 }));
      await given.commit(storage, given.taskKey("task"), given.nothing, { entries, messages });
      const history = await historyOf(storage);
      assert.deepEqual([history.length, history[0], history.at(-1)], [100, "m1", "m100"]);
    },
  },
];

/** Three tasks with interleaving messages, which are appended in another order than that of their times. */
async function makeHistory(storage: Storage): Promise<void> {
  const z = await given.say(storage, given.taskKey("z"), given.nothing, "z-first", 2000);
  const b = await given.say(storage, given.taskKey("b"), given.nothing, "b-early", 1000);
  await given.say(storage, given.taskKey("B"), given.nothing, "B-first", 2000);
  await given.commit(storage, given.taskKey("a"), given.nothing, {
    entries: [given.createdEntry("a-first"), given.messageEntry("a-second"), given.statusEntry("a-late")],
    messages: [
      { index: 0, messageId: "a-first", timeMs: 2000 },
      { index: 1, messageId: "a-second", timeMs: 2000 },
      { index: 2, messageId: "a-late", timeMs: 3000 },
    ],
  });
  await given.say(storage, given.taskKey("z"), z, "z-late", 3000);
  await given.say(storage, given.taskKey("b"), b, "b-first", 2000);
}

function bare(ids: readonly string[]): readonly Message[] {
  return ids.map((id) => given.messageOf(id, id, context));
}

async function historyOf(storage: Storage): Promise<readonly string[]> {
  const listed = given.idsOf(await storage.listMessagesByContextId(given.scope, context));
  assert.deepEqual((await storage.getConversation(given.scope, context))?.messageIds, listed);
  return listed;
}

async function pageThrough(
  storage: Storage,
  limit: number,
): Promise<{ readonly ids: readonly string[]; readonly sizes: readonly number[] }> {
  const ids: string[] = [];
  const sizes: number[] = [];
  for (let after: MessagePlace | undefined; ; ) {
    const page = await storage.listMessagePage(given.scope, context, { limit, ...(after !== undefined && { after }) });
    ids.push(...given.idsOf(page.messages));
    sizes.push(page.messages.length);
    assert.ok(sizes.length <= 100, "The pages have no end");
    after = page.next;
    if (after === undefined) {
      return { ids, sizes };
    }
  }
}
