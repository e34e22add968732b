import { strict as assert } from "node:assert";
import { TaskState } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import type { Storage } from "../../storage/storage.ts";
import type { CaseSpec } from "../conformance-case.ts";
import * as given from "../fixtures.ts";

const { scope } = given;

/** Races of one case: enough that both calls come first in some of them. */
const races = 30;

export const deletionCases: readonly CaseSpec[] = [
  {
    name: "it removes all that belongs to the conversation, and nothing else",
    async run(storage) {
      const key = given.taskKey("task");
      const first = await given.say(storage, key, given.nothing, "m1", 1000, { contextId: "c1" });
      const position = await given.commit(storage, key, first, { state: TaskState.INPUT_REQUIRED });
      await storage.storeMessages(scope, [given.messageOf("m2", "m2", "c1"), given.messageOf("m3", "m3", "c2")]);
      assert.equal(await storage.deleteConversation(scope, "c1"), true);
      assert.equal(await storage.deleteConversation(scope, "c1"), false);
      assert.equal(await storage.getConversation(scope, "c1"), undefined);
      assert.equal(await storage.taskExists(key), false);
      assert.deepEqual(await storage.readTask(key, 0n, 1000), []);
      assert.deepEqual(await storage.getMessages(scope, ["m1", "m2", "m3"]).then(given.idsOf), ["m3"]);
      assert.deepEqual(await storage.appendTask(key, given.appendOf(position)), { outcome: "gone" });
      assert.deepEqual(await storage.claimTasks({ replicas: ["replica-1"], limit: 10 }), []);
      await given.commit(storage, key, given.nothing, { contextId: "c1" });
      assert.deepEqual(await storage.listMessagesByContextId(scope, "c1"), []);
      assert.equal((await given.taskOf(storage, key)).head, 1n);
    },
  },
  {
    name: "it is refused while a task is SUBMITTED or WORKING, and changes nothing then",
    async run(storage) {
      for (const state of [TaskState.SUBMITTED, TaskState.WORKING]) {
        const contextId = `context-${state}`;
        const key = given.taskKey(`task-${state}`);
        await given.commit(storage, given.taskKey(`ended-${state}`), given.nothing, {
          contextId,
          state: TaskState.COMPLETED,
        });
        const begun = await given.say(storage, key, given.nothing, `m-${state}`, 1000, { contextId, state });
        await given.assertFails("running", () => storage.deleteConversation(scope, contextId));
        assert.deepEqual((await storage.getConversation(scope, contextId))?.messageIds, [`m-${state}`]);
        assert.equal((await storage.listTasks({ scope, contextId, limit: 5 })).total, 2);
        const working = await given.commit(storage, key, begun, { state: TaskState.WORKING });
        await given.assertFails("running", () => storage.deleteConversation(scope, contextId));
        await given.commit(storage, key, working, { state: TaskState.CANCELED });
        assert.equal(await storage.deleteConversation(scope, contextId), true);
        assert.equal(await storage.taskExists(key), false);
      }
    },
  },
  {
    name: "a task that was deleted while it ran no longer refuses it",
    async run(storage) {
      await given.commit(storage, given.taskKey("task"), given.nothing);
      await given.assertFails("running", () => storage.deleteConversation(scope, "context"));
      await storage.deleteTask(given.taskKey("task"));
      assert.equal(await storage.deleteConversation(scope, "context"), true);
    },
  },
  {
    name: "no task is removed that is created at the same time and acknowledged",
    async run(storage) {
      await Promise.all(
        Array.from({ length: races }, async (_, index) => {
          const contextId = `context-${index}`;
          const old = given.taskKey(`old-${index}`);
          const young = given.taskKey(`young-${index}`);
          await given.commit(storage, old, given.nothing, { contextId, state: TaskState.COMPLETED });
          const create = () => given.commit(storage, young, given.nothing, { contextId });
          const [deleted] = await atOnce(index, () => deletion(storage, contextId), create);
          assert.equal(await storage.taskExists(young), true, "An acknowledged task was removed");
          assert.equal(await storage.taskExists(old), deleted === "refused");
        }),
      );
    },
  },
  {
    name: "no task is removed that gets a message at the same time and works on",
    async run(storage) {
      await Promise.all(
        Array.from({ length: races }, async (_, index) => {
          const contextId = `context-${index}`;
          const key = given.taskKey(`task-${index}`);
          const asks = await given.commit(storage, key, given.nothing, { contextId, state: TaskState.INPUT_REQUIRED });
          const append = given.appendOf(asks, { entries: [given.messageEntry("m")] });
          const wake = () => storage.appendTask(key, append);
          const [deleted, woken] = await atOnce(index, () => deletion(storage, contextId), wake);
          assert.equal(woken.outcome, deleted === "refused" ? "committed" : "gone");
          assert.equal(await storage.taskExists(key), deleted === "refused");
        }),
      );
    },
  },
];

async function deletion(storage: Storage, contextId: string): Promise<"deleted" | "refused"> {
  try {
    assert.equal(await storage.deleteConversation(scope, contextId), true);
    return "deleted";
  } catch (error) {
    assert.equal((error as { readonly code?: string }).code, "running", String(error));
    return "refused";
  }
}

/** Two calls at the same time; which begins first alternates. */
function atOnce<A, B>(index: number, one: () => Promise<A>, other: () => Promise<B>): Promise<[A, B]> {
  if (index % 2 === 0) {
    return Promise.all([one(), other()]);
  }
  const later = other();
  return Promise.all([one(), later]);
}
