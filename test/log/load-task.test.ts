import { expect, test } from "vitest";
import { decideTurn } from "../../src/domain/decide.ts";
import { emptyFold, evolve, taskOf } from "../../src/domain/fold.ts";
import { decodeEntry } from "../../src/log/entry-codec.ts";
import { loadTask, loadTaskAt, readEntries } from "../../src/log/load-task.ts";
import { encodeSnapshot } from "../../src/log/snapshot.ts";
import { createMemoryStorage } from "../../src/storage/memory/storage.ts";
import type { Storage, StoredEntry } from "../../src/storage/storage.ts";
import { FaultyStorage } from "../storage/faulty-storage.ts";
import { chunkEntry, contextId, createdTask, key, newId, openWriter, texts, wholeLog } from "./log-fixtures.ts";

const stamp = { nowMs: 1_800_000_000_000, newId };
const dataLoss = { reason: "DATA_LOSS" };

/** A storage with a task of some entries, appended in several batches, and no snapshot. */
async function taskOfEntries(count: number, chunkBytes = 10): Promise<Storage> {
  const storage = createMemoryStorage();
  const faulty = new FaultyStorage(storage);
  faulty.fail({ methods: "storeSnapshot", fault: "unavailable" });
  const writer = await openWriter(faulty.storage);
  writer.append(decideTurn(writer.tentative, stamp));
  for (let place = 3; place < count; place++) {
    const sequence = writer.append([chunkEntry(`${place}-${"x".repeat(chunkBytes)}`)]);
    if (place % 3 === 0) await writer.whenCommitted(sequence);
  }
  await writer.whenCommitted(writer.tentative.sequence);
  return storage;
}

/** The storage with what `readTask` gives changed. */
function withReads(
  storage: Storage,
  change: (entries: readonly StoredEntry[], after: bigint) => readonly StoredEntry[] | Promise<readonly StoredEntry[]>,
): Storage {
  return new Proxy(storage, {
    get(target, name) {
      if (name === "readTask")
        return async (...args: Parameters<Storage["readTask"]>) => change(await target.readTask(...args), args[1]);
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

test("there is no task", async () => {
  const storage = createMemoryStorage();
  expect(await loadTask(storage, key)).toBeUndefined();
  expect(await loadTaskAt(storage, key, 1n)).toBeUndefined();
});

for (const { name, snapshotAt } of [
  { name: "without a snapshot", snapshotAt: [] },
  { name: "with snapshots", snapshotAt: [7n, 21n] },
]) {
  test(`at every sequence a task is the fold of the log up to there, ${name}`, async () => {
    const storage = await taskOfEntries(30);
    const log = await wholeLog(storage);
    const fold = emptyFold(key.taskId);
    const expected = log.map(({ bytes, sequence }) => {
      evolve(fold, sequence, decodeEntry(bytes, { taskId: key.taskId, contextId }));
      return encodeSnapshot(fold);
    });
    for (const sequence of snapshotAt)
      await storage.storeSnapshot(key, { sequence, bytes: expected[Number(sequence) - 1] as Uint8Array });
    for (const { sequence } of log) {
      const loaded = await loadTaskAt(storage, key, sequence);
      expect(loaded?.head).toBe(30n);
      expect(loaded && encodeSnapshot(loaded.fold)).toEqual(expected[Number(sequence) - 1]);
    }
    const loaded = await loadTask(storage, key);
    expect(loaded).toMatchObject({ head: 30n, batch: log.at(-1)?.batch });
    expect(loaded && encodeSnapshot(loaded.fold)).toEqual(expected.at(-1));
  });
}

test("a sequence outside the log is refused, with the head", async () => {
  const storage = await taskOfEntries(5);
  for (const sequence of [0n, -1n, 6n]) {
    await expect(loadTaskAt(storage, key, sequence)).rejects.toMatchObject({
      reason: "OUT_OF_RANGE",
      metadata: { taskId: key.taskId, head: "5" },
    });
  }
});

test("a log of several pages is read page by page, from the snapshot on", async () => {
  const memory = await taskOfEntries(40, 200_000);
  const faulty = new FaultyStorage(memory);
  const loaded = await loadTask(faulty.storage, key);
  expect(loaded?.fold.sequence).toBe(40n);
  expect(faulty.callsOf("readTask").length).toBeGreaterThan(4);
  const bytes = encodeSnapshot((await loadTaskAt(memory, key, 39n))?.fold ?? emptyFold(""));
  await memory.storeSnapshot(key, { sequence: 39n, bytes });
  const again = new FaultyStorage(memory);
  expect(taskOf((await loadTask(again.storage, key))?.fold ?? emptyFold(""))).toEqual(loaded && taskOf(loaded.fold));
  expect(again.callsOf("readTask").map(({ args }) => args[1])).toEqual([39n]);
});

test("entries appended while a task is loaded are not in it", async () => {
  const memory = createMemoryStorage();
  const writer = await openWriter(memory);
  await writer.whenCommitted(writer.append(texts(3).map(chunkEntry)));
  const storage = withReads(memory, async (_, after) => {
    await writer.whenCommitted(writer.append([chunkEntry("late")]));
    return memory.readTask(key, after, Number.POSITIVE_INFINITY);
  });
  const loaded = await loadTask(storage, key);
  expect([loaded?.head, loaded?.fold.sequence, loaded?.batch]).toEqual([4n, 4n, (await wholeLog(memory))[3]?.batch]);
});

const holes: readonly { name: string; change: (entries: readonly StoredEntry[]) => readonly StoredEntry[] }[] = [
  { name: "an entry is missing", change: (entries) => entries.filter(({ sequence }) => sequence !== 4n) },
  { name: "the first entry is missing", change: (entries) => entries.slice(1) },
  { name: "the last entries are missing", change: (entries) => entries.filter(({ sequence }) => sequence < 5n) },
  { name: "all entries are missing", change: () => [] },
  {
    name: "an entry is there twice",
    change: (entries) => entries.flatMap((entry) => (entry.sequence === 4n ? [entry, entry] : [entry])),
  },
  {
    name: "bytes are no entry",
    change: (entries) =>
      entries.map((entry) => (entry.sequence === 4n ? { ...entry, bytes: new Uint8Array([0xff]) } : entry)),
  },
  {
    name: "bytes are an entry of no known kind",
    change: (entries) =>
      entries.map((entry) => (entry.sequence === 4n ? { ...entry, bytes: new Uint8Array() } : entry)),
  },
  {
    name: "the first entry stands in another one's place, too",
    change: (entries) =>
      entries.map((entry) => (entry.sequence === 4n ? { ...entry, bytes: entries[0]?.bytes as Uint8Array } : entry)),
  },
];
test.for(holes)("a damaged log is never folded over: $name", async ({ change }) => {
  const memory = await taskOfEntries(6);
  const storage = withReads(memory, change);
  await expect(loadTask(storage, key)).rejects.toMatchObject(dataLoss);
  await expect(loadTaskAt(storage, key, 6n)).rejects.toMatchObject(dataLoss);
});

test("a task that is removed between two reads isn't there", async () => {
  const memory = await taskOfEntries(6);
  const storage = withReads(memory, async () => {
    await memory.deleteTask(key);
    return [];
  });
  expect(await loadTask(storage, key)).toBeUndefined();
  const again = await taskOfEntries(20, 200_000);
  let reads = 0;
  const second = withReads(again, async (entries, after) => {
    if (++reads === 1) return entries;
    await again.deleteTask(key);
    return again.readTask(key, after, 1);
  });
  expect(await loadTask(second, key)).toBeUndefined();
  expect(reads).toBe(2);
});

const snapshots: readonly { name: string; bytes: (right: Uint8Array, other: Uint8Array) => Uint8Array }[] = [
  { name: "empty", bytes: () => new Uint8Array() },
  { name: "no protobuf", bytes: () => new Uint8Array([0xff, 0xff]) },
  { name: "cut off", bytes: (right) => right.slice(0, -3) },
  { name: "another task's", bytes: (_, other) => other },
  { name: "of another sequence", bytes: (right) => right },
];
test.for(snapshots)("a snapshot that is $name costs time, not the task", async ({ name, bytes }) => {
  const memory = await taskOfEntries(10);
  const right = (await loadTaskAt(memory, key, 5n))?.fold ?? emptyFold("");
  const other = await createdTask(createMemoryStorage(), undefined, contextId, { ...key, taskId: "other" });
  const expected = (await loadTask(memory, key))?.fold ?? emptyFold("");
  await memory.storeSnapshot(key, {
    sequence: name === "of another sequence" ? 6n : 5n,
    bytes: bytes(encodeSnapshot(right), encodeSnapshot(other.fold)),
  });
  const loaded = await loadTask(memory, key);
  expect(loaded && encodeSnapshot(loaded.fold)).toEqual(encodeSnapshot(expected));
  const at = await loadTaskAt(memory, key, 8n);
  expect(at?.fold.sequence).toBe(8n);
});

test("a snapshot that holds more than it says is not folded onto", async () => {
  const memory = await taskOfEntries(10);
  const eighth = (await loadTaskAt(memory, key, 8n))?.fold ?? emptyFold("");
  await memory.storeSnapshot(key, { sequence: 4n, bytes: encodeSnapshot(eighth) });
  expect((await loadTaskAt(memory, key, 6n))?.fold.sequence).toBe(6n);
});

test("a page of entries begins right after the cursor, with the ids filled in", async () => {
  const memory = await taskOfEntries(6);
  const page = await readEntries(memory, key, contextId, 2n);
  expect(page.map(({ sequence }) => sequence)).toEqual([3n, 4n, 5n, 6n]);
  expect(page[1]?.entry.body.value).toMatchObject({ taskId: key.taskId, contextId });
  expect(page.map(({ bytes }) => bytes)).toEqual(
    (await wholeLog(memory)).slice(2).map(({ bytes }) => bytes.byteLength),
  );
  expect(await readEntries(memory, key, contextId, 6n)).toEqual([]);
});

test("a failing read is passed on as it is", async () => {
  const faulty = new FaultyStorage(await taskOfEntries(6));
  faulty.fail({ methods: "readTask", fault: "unavailable", times: 1 });
  await expect(loadTask(faulty.storage, key)).rejects.toMatchObject({ name: "StorageError", code: "unavailable" });
  expect((await loadTask(faulty.storage, key))?.head).toBe(6n);
});
