import { strict as assert } from "node:assert";
import { setImmediate } from "node:timers/promises";
import { TaskState } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import type { TaskKey } from "../../domain/scope.ts";
import type { Storage } from "../../storage/storage.ts";
import type { CaseSpec } from "../conformance-case.ts";
import * as given from "../fixtures.ts";
import { randomOf } from "../random.ts";

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
  {
    name: "no acknowledged task is removed while it runs, in random histories with deletions and cleanups",
    async run(storage) {
      const outcomes = await Promise.all(
        Array.from({ length: histories }, async (_, seed) => {
          try {
            return await randomHistory(storage, seed);
          } catch (error) {
            throw new Error(`Seed ${seed}: ${error instanceof Error ? error.message : String(error)}`, {
              cause: error,
            });
          }
        }),
      );
      assert.deepEqual(
        [...new Set(outcomes.flat())].sort(),
        ["absent", "deleted", "gone", "refused"],
        "Too little happened",
      );
    },
  },
];

async function deletion(storage: Storage, contextId: string): Promise<"deleted" | "refused"> {
  const outcome = await tryDeletion(storage, contextId);
  assert.notEqual(outcome, "absent");
  return outcome as "deleted" | "refused";
}

async function tryDeletion(storage: Storage, contextId: string): Promise<"deleted" | "refused" | "absent"> {
  try {
    return (await storage.deleteConversation(scope, contextId)) ? "deleted" : "absent";
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

/** Enough that each outcome is met on every storage, in about a second. */
const histories = 12;
const taskOwners = 4;
const appendsEach = 10;
const deletionsEach = 12;

/**
 * Some callers have tasks of their own in two conversations, and others delete or clean up these. A task runs from the
 * answer to an append in SUBMITTED or WORKING to the call of the next append, so it must be there at that call. Gives
 * what happened.
 */
async function randomHistory(storage: Storage, seed: number): Promise<readonly string[]> {
  const random = randomOf(seed);
  const pick = <T>(values: readonly T[]) => values[Math.floor(random() * values.length)] as T;
  const contexts = [`a-${seed}`, `b-${seed}`];
  const outcomes: string[] = [];
  const pause = async () => {
    for (let turns = Math.floor(random() * 4); turns > 0; turns--) {
      await setImmediate();
    }
  };
  /** Gives the last task, with the batches that were acknowledged, if it runs. */
  const ownTasks = async (owner: number) => {
    let task: { readonly key: TaskKey; readonly batches: string[]; at: given.Position; state: TaskState } | undefined;
    for (let index = 0; index < appendsEach; index++) {
      await pause();
      if (task === undefined) {
        const key = given.taskKey(`${seed}-${owner}-${index}`);
        const state = pick([...runningStates, TaskState.INPUT_REQUIRED]);
        const at = await given.commit(storage, key, given.nothing, { contextId: pick(contexts), state });
        task = { key, batches: [at.batch], at, state };
        continue;
      }
      const state = pick([TaskState.WORKING, TaskState.WORKING, TaskState.INPUT_REQUIRED, TaskState.COMPLETED]);
      const append = given.appendOf(task.at, { state });
      const { outcome } = await storage.appendTask(task.key, append);
      if (outcome === "gone") {
        // An append that ends or interrupts a task lets the deletion in, and may be answered after it.
        assert.ok(!(runs(task) && runs({ state })), "A running task is gone");
        outcomes.push("gone");
        task = undefined;
        continue;
      }
      assert.equal(outcome, "committed");
      task.batches.push(append.batch.id);
      task.at = { ...task.at, head: task.at.head + 1n, batch: append.batch.id };
      task.state = state;
      if (state === TaskState.COMPLETED) {
        task = undefined;
      }
    }
    return task !== undefined && runs(task) ? task : undefined;
  };
  const deleteSome = async () => {
    for (let index = 0; index < deletionsEach; index++) {
      await pause();
      if (random() < 0.2) {
        await storage.cleanupExpiredConversations(0, scope);
      } else {
        outcomes.push(await tryDeletion(storage, pick(contexts)));
      }
    }
  };
  const owners = Array.from({ length: taskOwners }, (_, owner) => ownTasks(owner));
  const [left] = await Promise.all([Promise.all(owners), deleteSome(), deleteSome()]);
  for (const task of left.filter((one) => one !== undefined)) {
    const log = await given.readAll(storage, task.key);
    assert.deepEqual(
      log.map(({ batch }) => batch),
      task.batches,
      "A running task lacks what was acknowledged",
    );
    await given.commit(storage, task.key, task.at, { state: TaskState.COMPLETED });
  }
  for (const contextId of contexts) {
    assert.notEqual(await tryDeletion(storage, contextId), "refused", "A task that has ended refuses a deletion");
  }
  assert.deepEqual((await storage.listTasks({ scope, contextId: contexts[0] as string, limit: 1 })).total, 0);
  return outcomes;
}

const runningStates = [TaskState.SUBMITTED, TaskState.WORKING] as const;

function runs({ state }: { readonly state: TaskState }): boolean {
  return state === TaskState.SUBMITTED || state === TaskState.WORKING;
}
