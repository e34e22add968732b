import { strict as assert } from "node:assert";
import type { CaseSpec } from "../conformance-case.ts";
import * as given from "../fixtures.ts";

const key = given.taskKey("task");
const hundred = Array.from({ length: 10 }, () => given.fillerEntry(100));

export const readCases: readonly CaseSpec[] = [
  {
    name: "reading starts in the middle of a batch, and names each entry's batch",
    async run(storage) {
      const one = await given.commit(storage, key, given.nothing, { batch: "one", entries: hundred.slice(0, 3) });
      const two = await given.commit(storage, key, one, { batch: "two", entries: hundred.slice(3, 7) });
      await given.commit(storage, key, two, { batch: "three", entries: hundred.slice(7) });
      const read = await storage.readTask(key, 4n, 10_000);
      given.assertEntries(read, hundred.slice(4));
      assert.deepEqual(
        read.map(({ sequence, batch }) => [sequence, batch]),
        [
          [5n, "two"],
          [6n, "two"],
          [7n, "two"],
          [8n, "three"],
          [9n, "three"],
          [10n, "three"],
        ],
      );
    },
  },
  {
    name: "reading after any sequence returns the rest",
    async run(storage) {
      let position = given.nothing;
      for (const length of [1, 4, 2, 3]) {
        const start = Number(position.head);
        position = await given.commit(storage, key, position, { entries: hundred.slice(start, start + length) });
      }
      for (let after = 0; after <= hundred.length; after++) {
        given.assertEntries(await storage.readTask(key, BigInt(after), 10_000), hundred.slice(after));
      }
    },
  },
  {
    name: "a read returns the entries that fit into the requested bytes, but at least one",
    async run(storage) {
      const one = await given.commit(storage, key, given.nothing, { entries: hundred.slice(0, 4) });
      await given.commit(storage, key, one, { entries: hundred.slice(4) });
      const lengths: number[] = [];
      for (const bytesMax of [0, 1, 99, 100, 199, 200, 450, 999, 1000, 5000]) {
        const read = await storage.readTask(key, 0n, bytesMax);
        given.assertEntries(read, hundred.slice(0, read.length));
        lengths.push(read.length);
      }
      assert.deepEqual(lengths, [1, 1, 1, 1, 1, 2, 4, 9, 10, 10]);
      assert.equal((await storage.readTask(key, 9n, 0)).length, 1);
    },
  },
  {
    name: "a read is empty at the head, beyond it, and for a task that doesn't exist",
    async run(storage) {
      await given.commit(storage, key, given.nothing, { entries: hundred });
      assert.deepEqual(await storage.readTask(key, 10n, 1000), []);
      assert.deepEqual(await storage.readTask(key, 11n, 1000), []);
      assert.deepEqual(await storage.readTask(key, 2n ** 60n, 1000), []);
      assert.deepEqual(await storage.readTask(given.taskKey("none"), 0n, 1000), []);
      assert.equal(await storage.getTask(given.taskKey("none")), undefined);
      assert.equal(await storage.taskExists(given.taskKey("none")), false);
    },
  },
  {
    name: "a task of 40 MB is read in pages",
    async run(storage) {
      const entries = Array.from({ length: 40 }, () => given.fillerEntry(1_000_000));
      let position = given.nothing;
      for (let start = 0; start < entries.length; start += 4) {
        position = await given.commit(storage, key, position, { entries: entries.slice(start, start + 4) });
      }
      const sizes: number[] = [];
      for (let after = 0; after < entries.length; ) {
        const page = await storage.readTask(key, BigInt(after), 6_500_000);
        assert.ok(page.length > 0, "A page before the head is empty");
        given.assertEntries(page, entries.slice(after, after + page.length));
        sizes.push(page.length);
        after += page.length;
      }
      assert.ok(
        sizes.every((size) => size <= 6),
        `A page is larger than asked for: ${sizes}`,
      );
      assert.equal((await given.taskOf(storage, key)).logBytes, 40_000_000);
    },
  },
  {
    name: "a log of 600 small batches and a large one is read whole",
    async run(storage) {
      const entries = Array.from({ length: 601 }, (_, index) => given.fillerEntry(index === 300 ? 300_000 : 200));
      let position = given.nothing;
      for (const entry of entries) {
        position = await given.commit(storage, key, position, { entries: [entry] });
      }
      given.assertEntries(await given.readAll(storage, key, 7000), entries);
      given.assertEntries(await storage.readTask(key, 598n, 7000), entries.slice(598));
      given.assertEntries(await storage.readTask(key, 299n, 300_000 + 200), entries.slice(299, 301));
    },
  },
  {
    name: "returned bytes belong to the caller",
    async run(storage) {
      const entry = given.textEntry("entry");
      // A Buffer's `slice` is not a copy.
      const handedIn = Buffer.from(entry);
      await given.commit(storage, key, given.nothing, { entries: [handedIn], summary: Buffer.from([1, 2]) });
      await storage.storeSnapshot(key, { sequence: 1n, bytes: Buffer.from([3, 4]) });
      await storage.sendCommand(key, { id: "request", bytes: Buffer.from([5, 6]) });
      const task = await given.taskOf(storage, key, { snapshot: true });
      for (const bytes of [
        (await storage.readTask(key, 0n, 100))[0]?.bytes,
        task.summary,
        task.snapshot?.bytes,
        task.commands[0]?.bytes,
      ]) {
        bytes?.fill(0);
      }
      const again = await given.taskOf(storage, key, { snapshot: true });
      given.assertEntries(await storage.readTask(key, 0n, 100), [entry]);
      given.assertBytes(again.summary, new Uint8Array([1, 2]));
      given.assertBytes(again.snapshot?.bytes, new Uint8Array([3, 4]));
      given.assertBytes(again.commands[0]?.bytes, new Uint8Array([5, 6]));
    },
  },
  {
    name: "unknown fields of entries and messages are kept",
    async run(storage) {
      const entry = given.fillerEntry(50);
      await given.commit(storage, key, given.nothing, { entries: [entry] });
      given.assertEntries(await storage.readTask(key, 0n, 100), [entry]);
      const message = given.messageWithUnknownField("m1", "context");
      await storage.storeMessages(given.scope, [message]);
      given.assertMessage(await storage.getMessage(given.scope, "m1"), message);
      given.assertMessage((await storage.listMessagesByContextId(given.scope, "context"))[0], message);
    },
  },
];
