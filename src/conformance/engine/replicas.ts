import { strict as assert } from "node:assert";
import { TaskState } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import type { TaskKey } from "../../domain/scope.ts";
import type { Storage } from "../../storage/storage.ts";
import type { CaseSpec } from "../conformance-case.ts";
import * as given from "../fixtures.ts";

export const replicaCases: readonly CaseSpec[] = [
  {
    name: "a heartbeat raises the counter of its replica only",
    async run(storage) {
      assert.deepEqual(await storage.listReplicas(), []);
      await storage.register("r1");
      await storage.register("r2");
      const before = await counters(storage);
      assert.equal(await storage.heartbeat("r1"), true);
      assert.equal(await storage.heartbeat("r1"), true);
      const after = await counters(storage);
      assert.deepEqual([...after.keys()].toSorted(), ["r1", "r2"]);
      assert.ok((after.get("r1") ?? 0n) > (before.get("r1") ?? 0n));
      assert.equal(after.get("r2"), before.get("r2"));
    },
  },
  {
    name: "a replica that registers again keeps its counter",
    async run(storage) {
      await storage.register("r1");
      await storage.heartbeat("r1");
      const before = await counters(storage);
      await storage.register("r1");
      assert.deepEqual(await counters(storage), before);
    },
  },
  {
    name: "a heartbeat never makes a record, neither a first one nor one that was removed",
    async run(storage) {
      assert.equal(await storage.heartbeat("never"), false);
      await storage.register("r1");
      await storage.deregister("r1");
      // Several at once: none may make the record for another.
      const beats = await Promise.all(Array.from({ length: 8 }, () => storage.heartbeat("r1")));
      assert.deepEqual(beats, Array(8).fill(false));
      assert.deepEqual(await storage.listReplicas(), []);
      await storage.register("r1");
      assert.equal(await storage.heartbeat("r1"), true);
    },
  },
  {
    name: "a replica is removed alone, and at a counter only if it has sent no heartbeat since",
    async run(storage) {
      await storage.register("r1");
      await storage.register("r2");
      const seen = (await counters(storage)).get("r1");
      await storage.heartbeat("r1");
      assert.equal(await storage.deregister("r1", seen), false);
      assert.equal(await storage.heartbeat("r1"), true);
      assert.equal(await storage.deregister("r1", (await counters(storage)).get("r1")), true);
      assert.deepEqual([...(await counters(storage)).keys()], ["r2"]);
      assert.equal(await storage.deregister("r1", seen), true);
      assert.equal(await storage.deregister("unknown"), true);
      assert.equal(await storage.deregister("r2"), true);
      assert.deepEqual(await storage.listReplicas(), []);
    },
  },
  {
    name: "of a removal at a counter and a heartbeat at the same time, exactly one takes effect",
    async run(storage) {
      for (let round = 0; round < 20; round++) {
        const replica = `r${round}`;
        await storage.register(replica);
        const counter = (await counters(storage)).get(replica);
        const removal = () => storage.deregister(replica, counter);
        const beat = () => storage.heartbeat(replica);
        const [first, second] = round % 2 === 0 ? [removal(), beat()] : [beat(), removal()];
        assert.notEqual(await first, await second);
      }
    },
  },
  {
    name: "the replicas that tasks wait for are listed, with and without a record",
    async run(storage) {
      const parts = (replica: string) => ({ replica });
      await storage.register("alive");
      await storage.register("idle");
      await given.commit(storage, given.taskKey("one"), given.nothing, parts("alive"));
      const removed = await given.commit(storage, given.taskKey("two"), given.nothing, parts("removed"));
      await given.commit(storage, given.taskKey("three"), given.nothing, parts("removed"));
      const elsewhere = given.taskKey("four", { tenant: "other", owner: "o" });
      await given.commit(storage, elsewhere, given.nothing, parts("elsewhere"));
      const asks = { state: TaskState.INPUT_REQUIRED, replica: "pending", pending: true };
      const pending = await given.commit(storage, given.taskKey("five"), given.nothing, asks);
      await given.commit(storage, given.taskKey("six"), given.nothing, { ...asks, replica: "asks", pending: false });
      await given.commit(storage, given.taskKey("seven"), given.nothing, { state: TaskState.FAILED, replica: "ended" });
      const all = ["alive", "elsewhere", "pending", "removed"];
      assert.deepEqual(await storage.listRunners({ limit: 10 }), all);
      assert.deepEqual(await storage.listRunners({ limit: 4 }), all);
      assert.deepEqual(await storage.listRunners({ limit: 2 }), all.slice(0, 2));
      assert.deepEqual(await storage.listRunners({ after: "elsewhere", limit: 2 }), all.slice(2));
      assert.deepEqual(await storage.listRunners({ after: "removed", limit: 2 }), []);
      await given.commit(storage, given.taskKey("two"), removed, { replica: "alive", fence: 2n });
      await given.commit(storage, given.taskKey("five"), pending, { state: TaskState.COMPLETED, replica: "pending" });
      assert.deepEqual(await storage.listRunners({ limit: 10 }), ["alive", "elsewhere", "removed"]);
      await storage.deleteTask(given.taskKey("three"));
      assert.deepEqual(await storage.listRunners({ limit: 10 }), ["alive", "elsewhere"]);
    },
  },
  {
    name: "the tasks of a replica that are SUBMITTED or WORKING can be taken over, of every scope",
    async run(storage) {
      for (const state of [1, 2, 3, 4, 5, 6, 7, 8] satisfies readonly TaskState[]) {
        await given.commit(storage, given.taskKey(`state-${state}`), given.nothing, { state, replica: "dead" });
      }
      const elsewhere = given.taskKey("elsewhere", { tenant: "other", owner: "o" });
      await given.commit(storage, elsewhere, given.nothing, { replica: "dead-too" });
      await given.commit(storage, given.taskKey("alive"), given.nothing, { replica: "alive" });
      const claimed = await storage.claimTasks({ replicas: ["dead", "dead-too", "unknown"], limit: 100 });
      const expected = [elsewhere, given.taskKey("state-1"), given.taskKey("state-2")];
      assert.deepEqual(claimed.toSorted(byTaskId), expected);
      assert.deepEqual(await storage.claimTasks({ replicas: ["unknown"], limit: 100 }), []);
      assert.deepEqual(await storage.claimTasks({ replicas: [], limit: 100 }), []);
    },
  },
  {
    name: "an interrupted task can be taken over while it is pending",
    async run(storage) {
      const key = given.taskKey("task");
      const claimed = () => storage.claimTasks({ replicas: ["dead"], limit: 10 });
      const created = await given.commit(storage, key, given.nothing, {
        state: TaskState.AUTH_REQUIRED,
        replica: "dead",
        pending: true,
      });
      assert.deepEqual(await claimed(), [key]);
      const quiet = await given.commit(storage, key, created, { state: TaskState.AUTH_REQUIRED, replica: "dead" });
      assert.deepEqual(await claimed(), []);
      const pending = await given.commit(storage, key, quiet, {
        state: TaskState.AUTH_REQUIRED,
        replica: "dead",
        pending: true,
      });
      assert.deepEqual(await claimed(), [key]);
      const working = await given.commit(storage, key, pending, { state: TaskState.WORKING, replica: "dead" });
      assert.deepEqual(await claimed(), [key]);
      await given.commit(storage, key, working, { state: TaskState.INPUT_REQUIRED, replica: "dead" });
      assert.deepEqual(await claimed(), []);
    },
  },
  {
    name: "a pending task that was deleted or taken over no longer belongs to its old replica",
    async run(storage) {
      const [taken, deleted] = [given.taskKey("taken"), given.taskKey("deleted")];
      const parts = { state: TaskState.INPUT_REQUIRED, replica: "dead", pending: true };
      const position = await given.commit(storage, taken, given.nothing, parts);
      await given.commit(storage, taken, position, { ...parts, replica: "new", fence: 2n });
      await given.commit(storage, deleted, given.nothing, parts);
      await storage.deleteTask(deleted);
      assert.deepEqual(await storage.claimTasks({ replicas: ["dead"], limit: 10 }), []);
      assert.deepEqual(await storage.claimTasks({ replicas: ["new"], limit: 10 }), [taken]);
    },
  },
  {
    name: "a task that was taken over or that ended no longer belongs to its old replica",
    async run(storage) {
      const [taken, ended, deleted] = [given.taskKey("taken"), given.taskKey("ended"), given.taskKey("deleted")];
      const position = await given.commit(storage, taken, given.nothing, { replica: "dead" });
      await given.commit(storage, taken, position, { replica: "new", fence: 2n });
      const end = await given.commit(storage, ended, given.nothing, { replica: "dead" });
      await given.commit(storage, ended, end, { replica: "dead", state: TaskState.FAILED });
      await given.commit(storage, deleted, given.nothing, { replica: "dead" });
      await storage.deleteTask(deleted);
      assert.deepEqual(await storage.claimTasks({ replicas: ["dead"], limit: 10 }), []);
      assert.deepEqual(await storage.claimTasks({ replicas: ["new", "dead"], limit: 10 }), [taken]);
    },
  },
  {
    name: "at most the requested number of tasks is returned, and not always the same ones",
    async run(storage) {
      for (let index = 0; index < 40; index++) {
        await given.commit(storage, given.taskKey(`task-${index}`), given.nothing, { replica: "dead" });
      }
      const seen = new Set<string>();
      for (let round = 0; round < 20; round++) {
        const claimed = await storage.claimTasks({ replicas: ["dead"], limit: 4 });
        assert.equal(new Set(claimed.map(({ taskId }) => taskId)).size, 4);
        for (const { taskId } of claimed) {
          seen.add(taskId);
        }
      }
      assert.ok(seen.size > 8, `Twenty times four tasks were only these: ${[...seen]}`);
    },
  },
  {
    name: "a wake-up reaches the replicas it names, with the tasks it names",
    async run(storage) {
      const woken: Record<string, TaskKey[]> = { r1: [], r2: [], r3: [] };
      await using _one = storage.watch("r1", (keys) => woken.r1?.push(...keys));
      await using _two = storage.watch("r2", (keys) => woken.r2?.push(...keys));
      await using _three = storage.watch("r3", (keys) => woken.r3?.push(...keys));
      const keys = [given.taskKey("task"), given.taskKey("task", { tenant: "a", owner: "b" })];
      // A wake-up is a hint and may be lost, so it is sent until one arrives.
      await given.eventually("both were woken", async () => {
        await storage.wake(["r1", "r2", "nobody"], keys);
        return (woken.r1?.length ?? 0) >= 2 && (woken.r2?.length ?? 0) >= 2;
      });
      assert.deepEqual(woken.r1?.slice(0, 2).toSorted(byTenant), keys.toSorted(byTenant));
      assert.deepEqual(woken.r3, []);
    },
  },
  {
    name: "a watch is not called after it was disposed",
    async run(storage) {
      let calls = 0;
      let others = 0;
      const watch = storage.watch("r1", () => {
        calls += 1;
      });
      await given.eventually("the watch was woken", async () => {
        await storage.wake(["r1"], [given.taskKey("task")]);
        return calls > 0;
      });
      await watch[Symbol.asyncDispose]();
      await watch[Symbol.asyncDispose]();
      const before = calls;
      await using _other = storage.watch("r2", () => {
        others += 1;
      });
      await given.eventually("another was woken several times", async () => {
        await storage.wake(["r1", "r2"], [given.taskKey("task")]);
        return others >= 3;
      });
      assert.equal(calls, before);
    },
  },
];

async function counters(storage: Storage): Promise<Map<string, bigint>> {
  return new Map((await storage.listReplicas()).map(({ replica, counter }) => [replica, counter]));
}

function byTaskId(a: TaskKey, b: TaskKey): number {
  return a.taskId < b.taskId ? -1 : 1;
}

function byTenant(a: TaskKey, b: TaskKey): number {
  return a.tenant < b.tenant ? -1 : 1;
}
