import { strict as assert } from "node:assert";
import { TaskState } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { entryBytesMax } from "../../domain/limits.ts";
import type { Storage } from "../../storage/storage.ts";
import type { CaseSpec } from "../conformance-case.ts";
import * as given from "../fixtures.ts";

const key = given.taskKey("task");

export const appendCases: readonly CaseSpec[] = [
  {
    name: "a new task reads back as it was created",
    async run(storage) {
      const entries = [given.createdEntry("m1"), given.textEntry("two")];
      const summary = new Uint8Array([9, 8, 7]);
      const result = await storage.appendTask(
        key,
        given.appendOf(given.nothing, {
          entries,
          batch: "first",
          state: TaskState.SUBMITTED,
          statusTimeMs: 1_234_567,
          replica: "r1",
          fence: 5n,
          summary,
          contextId: "c1",
        }),
      );
      assert.equal(given.committed(result).head, 2n);
      assert.deepEqual(given.committed(result).commands, []);
      const task = await given.taskOf(storage, key, { snapshot: true });
      given.assertBytes(task.summary, summary);
      const { summary: _, ...rest } = task;
      assert.deepEqual(rest, {
        key,
        contextId: "c1",
        head: 2n,
        batch: "first",
        state: TaskState.SUBMITTED,
        statusTimeMs: 1_234_567,
        replica: "r1",
        fence: 5n,
        logBytes: entries.reduce((sum, entry) => sum + entry.byteLength, 0),
        commands: [],
      });
      const read = await given.readAll(storage, key);
      given.assertEntries(read, entries);
      assert.deepEqual(
        read.map(({ batch }) => batch),
        ["first", "first"],
      );
      assert.equal(await storage.taskExists(key), true);
    },
  },
  {
    name: "creating is lost to a task that exists, and changes nothing",
    async run(storage) {
      const position = await given.commit(storage, key, given.nothing, {
        entries: [given.textEntry("old")],
        replica: "r1",
        fence: 3n,
      });
      const before = await imageOf(storage);
      const again = given.appendOf(given.nothing, { ...withMessage, state: TaskState.COMPLETED, contextId: "other" });
      const result = given.lost(await storage.appendTask(key, again));
      assert.deepEqual(result, { outcome: "lost", head: 1n, batch: position.batch, replica: "r1", fence: 3n });
      assert.deepEqual(await imageOf(storage), before);
      assert.equal(await storage.getConversation(given.scope, "other"), undefined);
    },
  },
  ...(
    [
      { name: "a head that is too low", wrong: ({ after }) => ({ ...after, head: after.head - 1n }) },
      { name: "a head that is too high", wrong: ({ after }) => ({ ...after, head: after.head + 1n }) },
      { name: "another batch at the same head", wrong: ({ after }) => ({ ...after, batch: "another" }) },
      {
        name: "a batch id that differs in case alone",
        wrong: ({ after }) => ({ ...after, batch: after.batch.toUpperCase() }),
      },
      { name: "the batch before", wrong: ({ before }) => ({ ...before, head: 3n }) },
      { name: "a lower fence", wrong: ({ after }) => ({ ...after, fence: after.fence - 1n }) },
      { name: "a higher fence", wrong: ({ after }) => ({ ...after, fence: after.fence + 1n }) },
    ] satisfies readonly {
      name: string;
      wrong: (places: { before: given.Position; after: given.Position }) => given.Position;
    }[]
  ).map(
    ({ name, wrong }): CaseSpec => ({
      name: `an append after ${name} is lost, and changes nothing`,
      async run(storage) {
        const before = await given.commit(storage, key, given.nothing, { batch: "batch-a", fence: 4n });
        const entries = [given.textEntry("two"), given.textEntry("three")];
        const after = await given.commit(storage, key, before, { entries, batch: "batch-b" });
        await storage.sendCommand(key, { id: "request", bytes: new Uint8Array([1]) });
        const image = await imageOf(storage);
        const refused = given.appendOf(wrong({ before, after }), {
          ...withMessage,
          state: TaskState.COMPLETED,
          statusTimeMs: 2_000_000,
          replica: "r2",
          fence: 9n,
          summary: new Uint8Array([7]),
          handled: ["request"],
        });
        const result = given.lost(await storage.appendTask(key, refused));
        assert.deepEqual(result, { outcome: "lost", head: 3n, batch: "batch-b", replica: "replica-1", fence: 4n });
        assert.deepEqual(await imageOf(storage), image);
      },
    }),
  ),
  {
    name: "an append to a task that doesn't exist is gone",
    async run(storage) {
      const after = { head: 3n, batch: "b", fence: 1n };
      assert.deepEqual(await storage.appendTask(key, given.appendOf(after, withMessage)), { outcome: "gone" });
      assert.equal(await storage.taskExists(key), false);
      assert.equal(await storage.getMessage(given.scope, "lost"), undefined);
    },
  },
  {
    name: "after a takeover the old owner's append is lost, and names the new owner",
    async run(storage) {
      const old = await given.commit(storage, key, given.nothing, { replica: "r1", fence: 1n });
      const taken = await given.commit(storage, key, old, { replica: "r2", fence: 2n, batch: "takeover" });
      const late = given.lost(await storage.appendTask(key, given.appendOf(old, { replica: "r1" })));
      assert.deepEqual(late, { outcome: "lost", head: 2n, batch: "takeover", replica: "r2", fence: 2n });
      // The head alone is not enough: the fence differs.
      const paused = given.lost(
        await storage.appendTask(key, given.appendOf({ ...taken, fence: 1n }, { replica: "r1" })),
      );
      assert.equal(paused.replica, "r2");
      await given.commit(storage, key, taken, { replica: "r2" });
      assert.equal((await given.taskOf(storage, key)).head, 3n);
    },
  },
  {
    name: "the same append sent again is lost, and is in the log once",
    async run(storage) {
      const first = given.appendOf(given.nothing, { batch: "create" });
      given.committed(await storage.appendTask(key, first));
      assert.equal(given.lost(await storage.appendTask(key, first)).batch, "create");
      const second = given.appendOf({ head: 1n, batch: "create", fence: 1n }, { batch: "again" });
      given.committed(await storage.appendTask(key, second));
      assert.equal(given.lost(await storage.appendTask(key, second)).batch, "again");
      const batches = (await given.readAll(storage, key)).map(({ batch }) => batch);
      assert.deepEqual(batches, ["create", "again"]);
    },
  },
  {
    name: "an append changes the header, and keeps the summary unless it has a new one",
    async run(storage) {
      const one = await given.commit(storage, key, given.nothing, {
        summary: new Uint8Array([1]),
        state: TaskState.SUBMITTED,
      });
      const two = await given.commit(storage, key, one, {
        state: TaskState.WORKING,
        statusTimeMs: 2_000_000,
        replica: "r2",
        fence: 8n,
      });
      const kept = await given.taskOf(storage, key);
      given.assertBytes(kept.summary, new Uint8Array([1]));
      assert.deepEqual(
        [kept.state, kept.statusTimeMs, kept.replica, kept.fence, kept.batch],
        [TaskState.WORKING, 2_000_000, "r2", 8n, two.batch],
      );
      await given.commit(storage, key, two, { state: TaskState.COMPLETED, summary: new Uint8Array([2, 2]) });
      const replaced = await given.taskOf(storage, key);
      given.assertBytes(replaced.summary, new Uint8Array([2, 2]));
      assert.equal(replaced.state, TaskState.COMPLETED);
    },
  },
  {
    name: "a deleted task is removed with all its records, and its id can be used again",
    async run(storage) {
      const position = await given.say(storage, key, given.nothing, "m1", 1000);
      await storage.storeSnapshot(key, { sequence: 1n, bytes: new Uint8Array([1]) });
      await storage.sendCommand(key, { id: "request", bytes: new Uint8Array([1]) });
      await given.commit(storage, given.taskKey("other"), given.nothing);
      assert.equal(await storage.deleteTask(key), true);
      assert.equal(await storage.deleteTask(key), false);
      assert.equal(await storage.getTask(key), undefined);
      assert.deepEqual(await storage.readTask(key, 0n, 1000), []);
      assert.equal(await storage.getMessage(given.scope, "m1"), undefined);
      assert.deepEqual((await storage.getConversation(given.scope, "context"))?.messageIds, []);
      assert.equal((await storage.listTasks({ scope: given.scope, limit: 10 })).total, 1);
      assert.deepEqual(await storage.appendTask(key, given.appendOf(position)), { outcome: "gone" });
      await given.commit(storage, key, given.nothing);
      const fresh = await given.taskOf(storage, key, { snapshot: true });
      assert.deepEqual([fresh.head, fresh.commands, fresh.snapshot], [1n, [], undefined]);
    },
  },
  {
    name: "a batch of 256 entries is appended whole",
    async run(storage) {
      const entries = Array.from({ length: 256 }, (_, index) => given.textEntry(`entry ${index}`));
      const position = await given.commit(storage, key, given.nothing, { entries });
      await given.commit(storage, key, position, { entries });
      given.assertEntries(await given.readAll(storage, key), [...entries, ...entries]);
    },
  },
  {
    name: "an entry of 11 MiB and one of exactly 12 MiB read back unchanged",
    async run(storage) {
      const entries = [given.fillerEntry(11 * 1024 * 1024), given.fillerEntry(entryBytesMax)];
      const one = await given.commit(storage, key, given.nothing, { entries: entries.slice(0, 1) });
      const two = await given.commit(storage, key, one, { entries: entries.slice(1) });
      await given.commit(storage, key, two, { entries: [given.textEntry("after")] });
      given.assertEntries(await given.readAll(storage, key), [...entries, given.textEntry("after")]);
      assert.equal((await given.taskOf(storage, key)).logBytes, 23 * 1024 * 1024 + given.textEntry("after").byteLength);
    },
  },
];

const withMessage: given.AppendParts = {
  entries: [given.messageEntry("lost")],
  messages: [{ index: 0, messageId: "lost", timeMs: 1 }],
};

/** Everything that a lost append could have changed. */
async function imageOf(storage: Storage): Promise<unknown> {
  return {
    task: await storage.getTask(key, { snapshot: true }),
    entries: await storage.readTask(key, 0n, 1_000_000),
    history: await storage.getConversation(given.scope, "context"),
    lost: await storage.getMessage(given.scope, "lost"),
    stats: await storage.getConversationStats(),
    total: (await storage.listTasks({ scope: given.scope, state: TaskState.COMPLETED, limit: 1 })).total,
  };
}
