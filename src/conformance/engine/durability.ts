import { strict as assert } from "node:assert";
import { TaskState } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import type { Storage } from "../../storage/storage.ts";
import type { ReopenSpec } from "../conformance-case.ts";
import * as given from "../fixtures.ts";

const key = given.taskKey("task");
const { scope } = given;

export const durabilityCases: readonly ReopenSpec[] = [
  {
    name: "what was acknowledged is there when the storage is opened again",
    async run(first, reopen) {
      const entries = [given.createdEntry("m1"), given.fillerEntry(200_000), given.statusEntry("m2")];
      const messages = [
        { index: 0, messageId: "m1", timeMs: 1000 },
        { index: 2, messageId: "m2", timeMs: 2000 },
      ];
      const one = await given.commit(first, key, given.nothing, {
        entries,
        messages,
        claim: given.claimOf("m1", "task"),
        replica: "r1",
      });
      const two = await given.commit(first, key, one, {
        state: TaskState.INPUT_REQUIRED,
        statusTimeMs: 5_000_000,
        fence: 3n,
      });
      await first.storeSnapshot(key, { sequence: 3n, bytes: given.fillerEntry(300_000) });
      await first.sendCommand(key, { id: "request", bytes: new Uint8Array([1, 2]) });
      await first.storePushNotification(key, given.configOf("config"));
      const claim = given.claimOf("question", "never-made");
      await first.storeMessages(
        scope,
        [given.messageOf("bare-1", "bare-1", "c2"), given.messageOf("bare-2", "bare-2", "c2")],
        claim,
      );
      await first.storeConversation(scope, {
        contextId: "c3",
        messageIds: [],
        lastAccessTime: new Date(1_700_000_000_000),
      });
      await first.register("r1");
      await first.heartbeat("r1");
      const expected = await imageOf(first);

      await using storage = await reopen(first);
      assert.deepEqual(await imageOf(storage), expected);
      await given.commit(storage, key, two);
      assert.equal(given.lost(await storage.appendTask(key, given.appendOf(two))).head, 5n);
      const again = await storage.claimMessage(scope, given.claimOf("m1", "again"));
      assert.deepEqual(again, { outcome: "duplicate", taskId: "task" });
      const settled = await storage.claimMessage(scope, { ...claim, taskId: "again" });
      assert.equal(given.textOf("answer" in settled ? settled.answer : undefined), "bare-2");
      await storage.storeMessages(scope, [given.messageOf("bare-3", "bare-3", "c2")]);
      assert.deepEqual(given.idsOf(await storage.listMessagesByContextId(scope, "c2")), ["bare-1", "bare-2", "bare-3"]);
      await storage.heartbeat("r1");
      assert.ok(((await storage.listReplicas())[0]?.counter ?? 0n) > (expected.replicas[0]?.counter ?? 0n));
    },
  },
  {
    name: "what was deleted stays deleted when the storage is opened again",
    async run(first, reopen) {
      await given.say(first, key, given.nothing, "m1", 1000);
      await given.say(first, given.taskKey("kept"), given.nothing, "m2", 2000);
      await first.storeMessages(scope, [given.messageOf("m3", "m3", "gone")]);
      await first.deleteTask(key);
      await first.deleteConversation(scope, "gone");
      await using storage = await reopen(first);
      assert.equal(await storage.taskExists(key), false);
      assert.equal(await storage.getConversation(scope, "gone"), undefined);
      assert.deepEqual(given.idsOf(await storage.getMessages(scope, ["m1", "m2", "m3"])), ["m2"]);
    },
  },
  {
    name: "of many appends at once, all acknowledged ones are there when the storage is opened again",
    async run(first, reopen) {
      const keys = Array.from({ length: 50 }, (_, index) => given.taskKey(`task-${index}`));
      const texts = ["one", "two", "three", "four"];
      await Promise.all(
        keys.map(async (one) => {
          let position = given.nothing;
          for (const text of texts) {
            position = await given.commit(first, one, position, { entries: [given.textEntry(text)] });
          }
        }),
      );
      await using storage = await reopen(first);
      for (const one of keys) {
        given.assertEntries(await given.readAll(storage, one), texts.map(given.textEntry));
      }
    },
  },
  {
    name: "a conversation ages while the storage is closed",
    async run(first, reopen) {
      const hourMs = 3_600_000;
      await given.commit(first, key, given.nothing, { state: TaskState.COMPLETED });
      await given.commit(first, given.taskKey("young"), given.nothing, {
        contextId: "young",
        state: TaskState.COMPLETED,
      });
      await given.setLastAccess(first, "context", new Date(Date.now() - 2 * hourMs));
      await using storage = await reopen(first);
      await storage.setRetention({ conversationTtlMs: hourMs, interruptedTtlMs: hourMs });
      assert.equal(await storage.taskExists(key), false);
      assert.equal(await storage.taskExists(given.taskKey("young")), true);
      await given.commit(storage, key, given.nothing, { batch: "new" });
      assert.equal((await given.readAll(storage, key)).length, 1);
    },
  },
];

/** Everything in the storage. Bytes are digests, because a diff of large arrays would need too much memory. */
async function imageOf(storage: Storage) {
  const { summary, snapshot, commands: requests, ...header } = await given.taskOf(storage, key, { snapshot: true });
  return {
    header,
    summary: given.digestOf(summary),
    snapshot: snapshot && [snapshot.sequence, given.digestOf(snapshot.bytes)],
    requests: requests.map(({ id, bytes }) => [id, given.digestOf(bytes)]),
    entries: (await given.readAll(storage, key)).map(({ batch, bytes }) => [batch, given.digestOf(bytes)]),
    messages: await storage.getMessages(scope, ["m1", "m2", "bare-1", "bare-2"]),
    histories: [await storage.getConversation(scope, "context"), await storage.getConversation(scope, "c2")],
    conversations: await storage.listConversations(scope, { limit: 10 }),
    configs: await storage.listPushNotifications(key),
    tasks: (await storage.listTasks({ scope, limit: 10 })).tasks.map((task) => task.key),
    replicas: await storage.listReplicas(),
    stats: await storage.getConversationStats(),
  };
}
