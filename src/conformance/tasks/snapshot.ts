import { strict as assert } from "node:assert";
import type { Snapshot, Storage } from "../../storage/storage.ts";
import type { CaseSpec } from "../conformance-case.ts";
import * as given from "../fixtures.ts";

const key = given.taskKey("task");

export const snapshotCases: readonly CaseSpec[] = [
  {
    name: "a snapshot is returned only if requested",
    async run(storage) {
      await makeTask(storage);
      assert.equal(await snapshotOf(storage), undefined);
      await storage.storeSnapshot(key, { sequence: 2n, bytes: new Uint8Array([2]) });
      const snapshot = await snapshotOf(storage);
      assert.equal(snapshot?.sequence, 2n);
      given.assertBytes(snapshot?.bytes, new Uint8Array([2]));
      assert.equal((await given.taskOf(storage, key)).snapshot, undefined);
      assert.equal((await given.taskOf(storage, key, { snapshot: false })).snapshot, undefined);
    },
  },
  {
    name: "a snapshot is replaced only by a later one, up to the head",
    async run(storage) {
      await makeTask(storage);
      const seen: unknown[] = [];
      for (const [sequence, byte] of [
        [6n, 1],
        [3n, 2],
        [2n, 3],
        [3n, 4],
        [6n, 5],
        [5n, 6],
      ] as const) {
        await storage.storeSnapshot(key, { sequence, bytes: new Uint8Array([byte]) });
        const snapshot = await snapshotOf(storage);
        seen.push(snapshot && [snapshot.sequence, snapshot.bytes[0]]);
      }
      assert.deepEqual(seen, [undefined, [3n, 2], [3n, 2], [3n, 2], [3n, 2], [5n, 6]]);
    },
  },
  {
    name: "an append keeps the snapshot",
    async run(storage) {
      const position = await makeTask(storage);
      await storage.storeSnapshot(key, { sequence: 5n, bytes: new Uint8Array([5]) });
      await given.commit(storage, key, position, { entries: [given.textEntry("six")] });
      assert.equal((await snapshotOf(storage))?.sequence, 5n);
      given.assertBytes((await snapshotOf(storage))?.bytes, new Uint8Array([5]));
    },
  },
  {
    name: "a snapshot of a task that doesn't exist is ignored",
    async run(storage) {
      await storage.storeSnapshot(key, { sequence: 1n, bytes: new Uint8Array([1]) });
      assert.equal(await storage.getTask(key, { snapshot: true }), undefined);
      await makeTask(storage);
      assert.equal(await snapshotOf(storage), undefined);
    },
  },
  {
    name: "a snapshot of 20 MiB comes back whole, and is replaced by a small one",
    async run(storage) {
      await makeTask(storage);
      const large = given.fillerEntry(20 * 1024 * 1024);
      await storage.storeSnapshot(key, { sequence: 2n, bytes: large });
      given.assertBytes((await snapshotOf(storage))?.bytes, large);
      await storage.storeSnapshot(key, { sequence: 4n, bytes: new Uint8Array([4]) });
      given.assertBytes((await snapshotOf(storage))?.bytes, new Uint8Array([4]));
    },
  },
  {
    name: "of snapshots that are stored at once, the latest stays",
    async run(storage) {
      await makeTask(storage);
      await Promise.all(
        [3n, 5n, 1n, 4n, 2n].map((sequence) =>
          storage.storeSnapshot(key, { sequence, bytes: new Uint8Array([Number(sequence)]) }),
        ),
      );
      assert.equal((await snapshotOf(storage))?.sequence, 5n);
      given.assertBytes((await snapshotOf(storage))?.bytes, new Uint8Array([5]));
    },
  },
];

async function makeTask(storage: Storage): Promise<given.Position> {
  const entries = Array.from({ length: 5 }, (_, index) => given.textEntry(`${index}`));
  return given.commit(storage, key, given.nothing, { entries });
}

async function snapshotOf(storage: Storage): Promise<Snapshot | undefined> {
  return (await given.taskOf(storage, key, { snapshot: true })).snapshot;
}
