import { strict as assert } from "node:assert";
import { TaskState } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import type { Scope } from "../../domain/scope.ts";
import type { ConversationHistory, ConversationPlace, Storage } from "../../storage/storage.ts";
import type { CaseSpec } from "../conformance-case.ts";
import * as given from "../fixtures.ts";

const hourMs = 3_600_000;

export const conversationCases: readonly CaseSpec[] = [
  {
    name: "a stored conversation reads back, without messages that it never had",
    async run(storage) {
      assert.equal(await storage.getConversation(given.scope, "c1"), undefined);
      const lastAccessTime = new Date(1_700_000_000_123);
      await storage.storeConversation(given.scope, { contextId: "c1", messageIds: ["unknown"], lastAccessTime });
      assert.deepEqual(await storage.getConversation(given.scope, "c1"), {
        contextId: "c1",
        messageIds: [],
        lastAccessTime,
      });
    },
  },
  {
    name: "storing a conversation keeps the named messages of its history, in their order",
    async run(storage) {
      await given.say(storage, given.taskKey("task"), given.nothing, "m1", 1000, { contextId: "c1" });
      await storage.storeMessages(given.scope, [given.messageOf("m2", "m2", "c1"), given.messageOf("m3", "m3", "c1")]);
      await storage.storeMessages(given.scope, [given.messageOf("m4", "m4", "c2")]);
      const lastAccessTime = new Date(1_700_000_000_000);
      await storage.storeConversation(given.scope, {
        contextId: "c1",
        messageIds: ["m3", "none", "m4", "m1"],
        lastAccessTime,
      });
      const expected = { contextId: "c1", messageIds: ["m1", "m3"], lastAccessTime };
      assert.deepEqual(await storage.getConversation(given.scope, "c1"), expected);
      assert.deepEqual(given.idsOf(await storage.listMessagesByContextId(given.scope, "c1")), ["m1", "m3"]);
      assert.equal(await storage.getMessage(given.scope, "m2"), undefined);
      assert.deepEqual((await storage.getConversation(given.scope, "c2"))?.messageIds, ["m4"]);
      assert.equal(await storage.taskExists(given.taskKey("task")), true);
    },
  },
  {
    name: "a new task, a message, a stored message and an update of the access are accesses; reads are not",
    async run(storage) {
      const key = given.taskKey("task");
      await storeAged(storage, "context");
      let position = await given.commit(storage, key, given.nothing);
      await assertAccessed(storage, true);
      position = await given.say(storage, key, position, "m1", 1000);
      await assertAccessed(storage, true);
      await storage.storeMessages(given.scope, [given.messageOf("m2", "m2", "context")]);
      await assertAccessed(storage, true);
      assert.equal(await storage.updateConversationAccess(given.scope, "context"), true);
      await assertAccessed(storage, true);
      await storage.getTask(key);
      await storage.listMessagesByContextId(given.scope, "context");
      await storage.getConversation(given.scope, "context");
      await assertAccessed(storage, false);
      assert.equal(await storage.updateConversationAccess(given.scope, "none"), false);
      assert.equal(await storage.getConversation(given.scope, "none"), undefined);
    },
  },
  {
    name: "the list is ordered by last access, latest first, then by context id; pages leave nothing out",
    async run(storage) {
      const timesMs = { d: 2000, a: 1000, c: 2000, b: 2000, e: 3000 };
      for (const [contextId, timeMs] of Object.entries(timesMs)) {
        await storage.storeConversation(given.scope, { contextId, messageIds: [], lastAccessTime: new Date(timeMs) });
      }
      await storage.storeMessages(given.scope, [given.messageOf("m1", "m1", "last")]);
      const expected = ["last", "e", "b", "c", "d", "a"];
      for (const limit of [1, 2, 3, 4, 5, 6, 7]) {
        const { conversations, pages } = await pageThrough(storage, limit);
        assert.deepEqual(
          conversations.map(({ contextId }) => contextId),
          expected,
        );
        assert.ok(conversations.every(({ messageIds }) => messageIds.length === 0));
        assert.equal(pages, Math.ceil(expected.length / limit));
      }
      assert.deepEqual(await storage.listConversations({ tenant: "none", owner: "" }, { limit: 1 }), {
        conversations: [],
        more: false,
      });
    },
  },
  {
    name: "the statistics count what is there",
    async run(storage) {
      assert.deepEqual(await storage.getConversationStats(), { totalConversations: 0, totalMessages: 0 });
      const other: Scope = { tenant: "other", owner: "o" };
      await storage.storeMessages(
        given.scope,
        ["m1", "m2"].map((id) => given.messageOf(id, id, "c1")),
      );
      await given.say(storage, given.taskKey("task"), given.nothing, "m3", 1000, { contextId: "c2" });
      await storage.storeConversation(given.scope, {
        contextId: "c1",
        messageIds: ["m1", "m2"],
        lastAccessTime: new Date(2000),
      });
      await storage.storeConversation(given.scope, {
        contextId: "c2",
        messageIds: ["m3"],
        lastAccessTime: new Date(3000),
      });
      await storage.storeConversation(other, { contextId: "c1", messageIds: [], lastAccessTime: new Date(1000) });
      const mine = {
        totalConversations: 2,
        totalMessages: 3,
        oldestAccess: new Date(2000),
        newestAccess: new Date(3000),
      };
      assert.deepEqual(await storage.getConversationStats(given.scope), mine);
      assert.deepEqual(await storage.getConversationStats(), {
        ...mine,
        totalConversations: 3,
        oldestAccess: new Date(1000),
      });
      assert.deepEqual(await storage.getConversationStats({ tenant: "none", owner: "" }), {
        totalConversations: 0,
        totalMessages: 0,
      });
    },
  },
  {
    name: "expired conversations are those of the given age that no task holds, oldest access first",
    async run(storage) {
      const ages = { old: 3, older: 4, oldest: 5, young: 1 };
      for (const [contextId, hours] of Object.entries(ages)) {
        await storeAged(storage, contextId, hours);
      }
      await storeAged(storage, "elsewhere", 9, { tenant: "other", owner: "o" });
      const states = {
        submitted: TaskState.SUBMITTED,
        working: TaskState.WORKING,
        input: TaskState.INPUT_REQUIRED,
        done: TaskState.COMPLETED,
      };
      for (const [contextId, state] of Object.entries(states)) {
        await given.commit(storage, given.taskKey(contextId), given.nothing, {
          contextId,
          state,
          statusTimeMs: Date.now(),
        });
        await storeAged(storage, contextId, 2.5);
      }
      const expired = async (maxAgeMs: number, limit: number, of?: Scope) =>
        (await storage.getExpiredConversations(maxAgeMs, limit, of)).map(({ contextId }) => contextId);
      assert.deepEqual(await expired(2 * hourMs, 10, given.scope), ["oldest", "older", "old", "done"]);
      assert.deepEqual(await expired(2 * hourMs, 2, given.scope), ["oldest", "older"]);
      assert.deepEqual(await expired(2 * hourMs, 2), ["elsewhere", "oldest"]);
      assert.deepEqual(await expired(0, 10, given.scope), ["oldest", "older", "old", "done", "young"]);
      assert.deepEqual(await storage.getExpiredConversations(8 * hourMs, 5), [
        { tenant: "other", owner: "o", contextId: "elsewhere" },
      ]);
    },
  },
  {
    name: "a cleanup removes expired conversations with all that belongs to them, and returns how many",
    async run(storage) {
      for (const [taskId, state] of [
        ["done", TaskState.COMPLETED],
        ["running", TaskState.WORKING],
      ] as const) {
        await given.say(storage, given.taskKey(taskId), given.nothing, `of-${taskId}`, 1000, {
          contextId: taskId,
          state,
        });
        await storage.storeMessages(given.scope, [given.messageOf(`bare-${taskId}`, "bare", taskId)]);
        await storeAged(storage, taskId, 3);
      }
      await storeAged(storage, "elsewhere", 3, { tenant: "other", owner: "o" });
      await storeAged(storage, "young", 1);
      assert.equal(await storage.cleanupExpiredConversations(2 * hourMs, given.scope), 1);
      assert.equal(await storage.cleanupExpiredConversations(2 * hourMs, given.scope), 0);
      assert.equal(await storage.getConversation(given.scope, "done"), undefined);
      assert.equal(await storage.taskExists(given.taskKey("done")), false);
      assert.deepEqual(await storage.readTask(given.taskKey("done"), 0n, 1000), []);
      const messageIds = ["of-done", "bare-done", "of-running", "bare-running"];
      assert.deepEqual(given.idsOf(await storage.getMessages(given.scope, messageIds)), ["of-running", "bare-running"]);
      assert.equal(await storage.taskExists(given.taskKey("running")), true);
      assert.equal(await storage.cleanupExpiredConversations(2 * hourMs), 1);
      assert.equal((await storage.getConversationStats()).totalConversations, 2);
    },
  },
  {
    name: "700 expired conversations are cleaned up in one call",
    async run(storage) {
      const ids = Array.from({ length: 700 }, (_, index) => `c${index}`);
      await Promise.all(ids.map((contextId) => storeAged(storage, contextId, 3)));
      assert.equal(await storage.cleanupExpiredConversations(2 * hourMs), 700);
      assert.equal((await storage.getConversationStats()).totalConversations, 0);
    },
  },
];

/** Sets a conversation's last access back and keeps its messages. Creates it if there is none. */
async function storeAged(storage: Storage, contextId: string, hours = 1, of: Scope = given.scope): Promise<void> {
  await given.setLastAccess(storage, contextId, new Date(Date.now() - hours * hourMs), of);
}

/** Asserts whether "context" was accessed since it was set back by an hour, and sets it back again. */
async function assertAccessed(storage: Storage, expected: boolean): Promise<void> {
  const conversation = await storage.getConversation(given.scope, "context");
  assert.equal(Date.now() - (conversation?.lastAccessTime.getTime() ?? 0) < hourMs / 2, expected);
  await storeAged(storage, "context");
}

async function pageThrough(
  storage: Storage,
  limit: number,
): Promise<{ readonly conversations: readonly ConversationHistory[]; readonly pages: number }> {
  const conversations: ConversationHistory[] = [];
  for (let after: ConversationPlace | undefined, pages = 1; ; pages++) {
    const page = await storage.listConversations(given.scope, { limit, ...(after !== undefined && { after }) });
    conversations.push(...page.conversations);
    assert.ok(pages <= 100, "The pages have no end");
    const last = page.conversations.at(-1);
    if (!page.more || last === undefined) {
      return { conversations, pages };
    }
    after = { lastAccessMs: last.lastAccessTime.getTime(), contextId: last.contextId };
  }
}
