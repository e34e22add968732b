import { strict as assert } from "node:assert";
import { randomBytes } from "node:crypto";
import type { Scope } from "../../domain/scope.ts";
import type { CaseSpec } from "../conformance-case.ts";
import * as given from "../fixtures.ts";

/** Different ids that a careless encoding of keys would make equal or change. */
const oddIds: readonly string[] = [
  "id",
  "ID",
  "Id",
  "id ",
  " id",
  "id  ",
  "id\t",
  "id\n",
  "id\u0000",
  "\u0000",
  // Composed and decomposed characters, and a ligature and its letters, which normalization makes equal.
  "\u00e9",
  "e\u0301",
  "\ufb01",
  "fi",
  "stra\u00dfe",
  "strasse",
  "\u{1f600}",
  "\u{1f600}\u{1f600}",
  "\u{1f468}\u200d\u{1f469}",
  "\ufeff",
  "\ufffd",
  "1",
  "01",
  "1.0",
  "1e0",
  "true",
  "null",
  "__proto__",
  "constructor",
  "toString",
  "'; DROP TABLE a2a_tasks; --",
  '"quoted"',
  "`tick`",
  "50%",
  "50_",
  "a\\",
  "$where",
  "a.b",
  "a/b",
  "a:b",
  "../..",
  "https://example.org/a?b=c#d",
  randomBytes(192).toString("base64url"),
  "x".repeat(256),
  `${"x".repeat(255)}y`,
  "\u{1f600}".repeat(64),
];

export const idCases: readonly CaseSpec[] = [
  {
    name: "any id may name a task, a conversation and a message",
    async run(storage) {
      for (const [index, id] of oddIds.entries()) {
        const parts = { contextId: id, entries: [given.createdEntry(id, `text ${index}`)], statusTimeMs: index };
        await given.commit(storage, given.taskKey(id), given.nothing, {
          ...parts,
          messages: [{ index: 0, messageId: id, timeMs: 1000 }],
        });
        await storage.storePushNotification(given.taskKey(id), given.configOf(id, `https://example.org/${index}`));
      }
      for (const [index, id] of oddIds.entries()) {
        const key = given.taskKey(id);
        const task = await given.taskOf(storage, key);
        assert.deepEqual([task.key, task.contextId], [key, id]);
        given.assertEntries(await storage.readTask(key, 0n, 100_000), [given.createdEntry(id, `text ${index}`)]);
        const message = await storage.getMessage(given.scope, id);
        assert.deepEqual(
          [message?.messageId, given.textOf(message), message?.taskId, message?.contextId],
          [id, `text ${index}`, id, id],
        );
        assert.deepEqual((await storage.getConversation(given.scope, id))?.messageIds, [id]);
        assert.deepEqual(given.idsOf(await storage.listMessagesByContextId(given.scope, id)), [id]);
        assert.equal((await storage.listTasks({ scope: given.scope, contextId: id, limit: 2 })).total, 1);
        assert.equal((await storage.getPushNotification(key, id))?.url, `https://example.org/${index}`);
        assert.equal((await storage.listPushNotifications(key)).length, 1);
      }
      const { tasks } = await storage.listTasks({ scope: given.scope, limit: oddIds.length + 1 });
      assert.deepEqual(
        tasks.map(({ key }) => key.taskId),
        oddIds.toReversed(),
      );
      assert.equal((await storage.getConversationStats()).totalConversations, oddIds.length);
    },
  },
  {
    name: "any id may name a claim, a command and a replica",
    async run(storage) {
      const key = given.taskKey("task");
      await given.commit(storage, key, given.nothing);
      for (const id of oddIds) {
        const claim = given.claimOf(id, id);
        assert.deepEqual(await storage.claimMessage(given.scope, claim), { outcome: "accepted", otherContent: false });
        assert.deepEqual(await storage.claimMessage(given.scope, claim), { outcome: "duplicate", taskId: id });
        assert.equal(await storage.sendCommand(key, { id, bytes: new Uint8Array([1]) }), true);
        await storage.register(id);
        assert.equal(await storage.heartbeat(id), true);
        await given.commit(storage, given.taskKey(`of ${oddIds.indexOf(id)}`), given.nothing, { replica: id });
      }
      assert.deepEqual(
        (await given.taskOf(storage, key)).commands.map(({ id }) => id),
        oddIds,
      );
      assert.deepEqual((await storage.listReplicas()).map(({ replica }) => replica).toSorted(), oddIds.toSorted());
      for (const [index, id] of oddIds.entries()) {
        assert.deepEqual(await storage.claimTasks({ replicas: [id], limit: 10 }), [given.taskKey(`of ${index}`)]);
      }
    },
  },
  {
    name: "any id may be a tenant or an owner",
    async run(storage) {
      const scopes: Scope[] = oddIds.flatMap((id) => [
        { tenant: id, owner: "" },
        { tenant: "", owner: id },
      ]);
      for (const [index, scope] of scopes.entries()) {
        await given.commit(storage, given.taskKey("task", scope), given.nothing, {
          entries: [given.textEntry(`${index}`)],
        });
      }
      for (const [index, scope] of scopes.entries()) {
        const key = given.taskKey("task", scope);
        given.assertEntries(await storage.readTask(key, 0n, 1000), [given.textEntry(`${index}`)]);
        assert.deepEqual((await given.taskOf(storage, key)).key, key);
        assert.equal((await storage.listTasks({ scope, limit: 2 })).total, 1);
      }
    },
  },
];
