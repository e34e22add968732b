import { expect, test } from "vitest";
import type { PlacedEntry } from "../../src/domain/entry.ts";
import { decodeEntry } from "../../src/log/entry-codec.ts";
import type { TaskWriter } from "../../src/log/task-writer.ts";
import { createMemoryStorage } from "../../src/storage/memory/storage.ts";
import { feedBytesMax } from "../../src/stream/limits.ts";
import type { TaskFeed } from "../../src/stream/task-hub.ts";
import { TaskHub } from "../../src/stream/task-hub.ts";
import { TaskReader } from "../../src/stream/task-reader.ts";
import {
  chunkEntry,
  contextId,
  createdEntry,
  createdTask,
  key,
  openWriter,
  takeOver,
  textOf,
  texts,
  wholeLog,
} from "../log/log-fixtures.ts";
import { settle } from "../runtime/manual-clock.ts";
import { FaultyStorage } from "../storage/faulty-storage.ts";

const open = new AbortController().signal;

interface Stage {
  readonly memory: ReturnType<typeof createMemoryStorage>;
  /** What readers see. */
  readonly faulty: FaultyStorage;
  /** What the writer writes to. */
  readonly writing: FaultyStorage;
  readonly hub: TaskHub;
  readonly feed: TaskFeed;
  readonly writer: TaskWriter;
  reader(cursor: number): TaskReader;
  append(...names: string[]): Promise<void>;
}

/** A task with its writer on this replica. */
async function setUp(): Promise<Stage> {
  const memory = createMemoryStorage();
  const faulty = new FaultyStorage(memory);
  const writing = new FaultyStorage(memory);
  const hub = new TaskHub();
  const feed = hub.open(key);
  const writer = await openWriter(writing.storage, {
    healthy: memory,
    onCommitted: (entries) => feed.publish(entries),
    onLost: () => feed.wake(),
  });
  return {
    memory,
    faulty,
    writing,
    hub,
    feed,
    writer,
    reader: (cursor) => new TaskReader(faulty.storage, feed, contextId, BigInt(cursor)),
    append: async (...names) => writer.whenCommitted(writer.append(names.map(chunkEntry))),
  };
}

const sequences = (entries: readonly PlacedEntry[]) => entries.map(({ sequence }) => Number(sequence));

/** A call of `next` and what it has come to so far. */
function watched(reader: TaskReader, signal = open): { readonly state: unknown } {
  const watch: { state: unknown } = { state: "open" };
  reader.next(signal).then(
    (entries) => {
      watch.state = sequences(entries);
    },
    (error: unknown) => {
      watch.state = error;
    },
  );
  return watch;
}

test("a reader at the head waits, and gets what is appended, from memory", async () => {
  const { faulty, reader, append } = await setUp();
  const next = watched(reader(1));
  await settle();
  expect(next.state).toBe("open");
  const reads = faulty.calls.length;
  await append("e0", "e1");
  await settle();
  expect(next.state).toEqual([2, 3]);
  expect(faulty.calls.length).toBe(reads);
});

test("a reader that comes late gets the log, then memory", async () => {
  const { faulty, reader, append } = await setUp();
  await append("e0");
  await append("e1");
  const late = reader(0);
  expect(sequences(await late.next(open))).toEqual([1, 2, 3]);
  await append("e2");
  expect(sequences(await late.next(open))).toEqual([4]);
  expect(faulty.callsOf("readTask").length).toBe(1);
});

test("a commit that lands while a read is under way is seen by its reader and by one that joins", async () => {
  const { faulty, reader, append } = await setUp();
  faulty.fail({ methods: "readTask", fault: "answer-held", times: 1 });
  // It looks, and finds nothing; its answer is slow.
  const first = watched(reader(1));
  await settle();
  expect(faulty.held).toBe(1);
  await append("e0");
  const second = watched(reader(1));
  await settle();
  expect(second.state).toEqual([2]);
  faulty.release();
  await settle();
  expect(first.state).toEqual([2]);
});

test("the same where the commit comes from elsewhere, and only a wake-up tells of it", async () => {
  const { memory, faulty, feed, reader } = await setUp();
  faulty.fail({ methods: "readTask", fault: "answer-held", times: 1 });
  const first = watched(reader(1));
  await settle();
  await takeOver(memory);
  feed.wake();
  // It must not join the read from before the wake-up, which was told "nothing".
  const second = watched(reader(1));
  await settle();
  expect(second.state).toEqual([2]);
  expect(first.state).toBe("open");
  faulty.release();
  await settle();
  expect(first.state).toEqual([2]);
});

test("a wake-up between the look and the wait is not missed", async () => {
  const { memory, faulty, feed, reader } = await setUp();
  faulty.fail({ methods: "taskExists", fault: "answer-held", times: 1 });
  const next = watched(reader(1));
  await settle();
  expect(faulty.held).toBe(1);
  await takeOver(memory);
  feed.wake();
  faulty.release();
  await settle();
  expect(next.state).toEqual([2]);
});

test("a wake-up that overtakes the answer of an append here is not lost on those that read later", async () => {
  const { memory, writing, writer, feed, reader } = await setUp();
  writing.fail({ methods: "appendTask", fault: "answer-held", times: 1 });
  writer.append([chunkEntry("here")]);
  await settle();
  await takeOver(memory);
  feed.wake();
  writing.release();
  await settle();
  const next = watched(reader(2));
  await settle();
  expect(next.state).toEqual([3]);
});

test("entries of a writer that was given up reach the readers that had looked before they were durable", async () => {
  const { writing, writer, reader } = await setUp();
  writing.fail({ methods: "appendTask", fault: "held", times: 1 });
  writer.append([chunkEntry("e0")]);
  await settle();
  const next = watched(reader(1));
  writer.abandon(new Error("closing"));
  await settle();
  expect(next.state).toBe("open");
  writing.release();
  await settle();
  expect(next.state).toEqual([2]);
});

test("a task that is removed ends the readers that wait for it, and those that read", async () => {
  const { memory, faulty, hub, reader, append } = await setUp();
  const waiting = watched(reader(1));
  await settle();
  faulty.fail({ methods: "readTask", fault: "held", times: 1 });
  const reading = watched(reader(0));
  await settle();
  await memory.deleteTask(key);
  hub.wake(key);
  faulty.release();
  await settle();
  const notFound = expect.objectContaining({ reason: "TASK_NOT_FOUND" });
  expect([waiting.state, reading.state]).toEqual([notFound, notFound]);
  await expect(append("late")).rejects.toMatchObject({ reason: "TASK_NOT_FOUND" });
});

test("what memory still has of a removed task is given, and then its end", async () => {
  const { memory, hub, reader, append } = await setUp();
  await append("e0", "e1");
  await memory.deleteTask(key);
  hub.wake(key);
  const slow = reader(1);
  expect(sequences(await slow.next(open))).toEqual([2, 3]);
  await expect(slow.next(open)).rejects.toMatchObject({ reason: "TASK_NOT_FOUND" });
});

test("an abort ends the wait with nothing, and leaves nobody waiting", async () => {
  const { feed, reader } = await setUp();
  const abort = new AbortController();
  const waiting = watched(reader(1), abort.signal);
  await settle();
  abort.abort();
  await settle();
  expect(waiting.state).toEqual([]);
  expect(await reader(0).next(abort.signal)).toEqual([]);
  const wakes = feed.wakeCount;
  feed.wake();
  expect(feed.wakeCount).toBe(wakes + 1);
});

test("an abort while the log is read ends with that read, and the cursor is right either way", async () => {
  const { faulty, reader } = await setUp();
  const abort = new AbortController();
  faulty.fail({ methods: "readTask", fault: "held", times: 2 });
  const at = [reader(0), reader(1)];
  const watches = at.map((each) => watched(each, abort.signal));
  await settle();
  abort.abort();
  faulty.release();
  await settle();
  expect(watches.map(({ state }) => state)).toEqual([[1], []]);
  expect(watched(at[0] as TaskReader).state).toBe("open");
});

test("a read that fails fails all that share it, and each may go on where it was", async () => {
  const { faulty, feed, reader } = await setUp();
  faulty.fail({ methods: "readTask", fault: "held", times: 1 });
  faulty.fail({ methods: "readTask", fault: "unavailable", times: 1 });
  const held = watched(reader(5));
  const readers = [reader(0), reader(0), reader(0)];
  const results = await Promise.allSettled(readers.map((each) => each.next(open)));
  expect(results.map(({ status }) => status)).toEqual(["rejected", "rejected", "rejected"]);
  expect(faulty.callsOf("readTask").length).toBe(2);
  expect(await Promise.all(readers.map(async (each) => sequences(await each.next(open))))).toEqual([[1], [1], [1]]);
  expect(held.state).toBe("open");
  expect(feed.reads.size).toBe(1);
  faulty.release();
  await settle();
  expect(feed.reads.size).toBe(0);
});

test("a hole in the log ends the reader, and is not passed over", async () => {
  const { memory, feed, append } = await setUp();
  await append("e0", "e1");
  const damaged = new Proxy(memory, {
    get: (target, name) =>
      name === "readTask"
        ? async () => (await wholeLog(target)).filter(({ sequence }) => sequence !== 2n)
        : (Reflect.get(target, name, target) as () => unknown).bind(target),
  });
  await expect(new TaskReader(damaged, feed, contextId, 0n).next(open)).rejects.toMatchObject({ reason: "DATA_LOSS" });
});

test("a hundred readers at one place share one read and one look at whether there is more", async () => {
  const { faulty, memory, feed, append, reader } = await setUp();
  await append("e0");
  const readers = Array.from({ length: 100 }, () => reader(0));
  const pages = await Promise.all(readers.map((each) => each.next(open)));
  expect(new Set(pages).size).toBe(1);
  expect(faulty.callsOf("readTask").length).toBe(1);
  feed.wake();
  const watches = readers.map((each) => watched(each));
  await settle();
  expect(faulty.callsOf("readTask").length).toBe(2);
  expect(faulty.callsOf("taskExists").length).toBe(1);
  await takeOver(memory);
  feed.wake();
  await settle();
  expect(new Set(watches.map(({ state }) => String(state)))).toEqual(new Set(["3"]));
  expect(faulty.callsOf("readTask").length).toBe(3);
});

test("a hundred readers that wait at the head cost the storage nothing when the writer is here", async () => {
  const { faulty, append, reader } = await setUp();
  await append("e0");
  const readers = Array.from({ length: 100 }, () => reader(2));
  for (let round = 0; round < 5; round++) {
    const watches = readers.map((each) => watched(each));
    await append(`more${round}`);
    await settle();
    expect(watches.every(({ state }) => String(state) === String(round + 3))).toBe(true);
  }
  expect(faulty.calls).toEqual([]);
});

test("a reader that is slow holds up neither the writer nor the others", async () => {
  const { faulty, writer, append, reader } = await setUp();
  faulty.fail({ methods: "readTask", fault: "held", times: 1 });
  const slow = reader(0);
  const stuck = watched(slow);
  const fast = reader(1);
  const seen: number[] = [];
  for (let place = 0; place < 3000; place += 100) {
    await append(...texts(100, `${place}-`));
    seen.push(...sequences(await fast.next(open)));
  }
  expect(seen).toEqual(Array.from({ length: 3000 }, (_, index) => index + 2));
  expect([stuck.state, writer.committed.sequence]).toEqual(["open", 3001n]);
  faulty.release();
  await settle();
  const all = [...(stuck.state as number[])];
  while (all.length < 3001) all.push(...sequences(await slow.next(open)));
  expect(all).toEqual(Array.from({ length: 3001 }, (_, index) => index + 1));
});

test("a reader that fell out of memory by bytes goes on in the log, and comes back", async () => {
  const { faulty, append, reader } = await setUp();
  const slow = reader(1);
  const large = "x".repeat(feedBytesMax);
  for (let place = 0; place < 6; place++) await append(`${place}${large}`);
  const seen: number[] = [];
  while (seen.length < 6) seen.push(...sequences(await slow.next(open)));
  expect(seen).toEqual([2, 3, 4, 5, 6, 7]);
  const reads = faulty.callsOf("readTask").length;
  expect(reads).toBeGreaterThan(1);
  await append("small");
  expect(sequences(await slow.next(open))).toEqual([8]);
  expect(faulty.callsOf("readTask").length).toBe(reads);
});

test("memory and log give the same entries", async () => {
  const { memory, feed, append, reader } = await setUp();
  await append("e0", "e1");
  const remembered = await reader(1).next(open);
  const read = await new TaskReader(memory, new TaskHub().open(key), contextId, 1n).next(open);
  expect(remembered.map(({ sequence, bytes, entry }) => ({ sequence, bytes, entry }))).toEqual(read);
  expect(feed.after(1n)).toHaveLength(2);
});

test("a feed that was released and opened again begins with the log", async () => {
  const { memory, faulty, hub, feed, append } = await setUp();
  await append("e0");
  hub.release(feed);
  const again = hub.open(key);
  await takeOver(memory);
  const reader = new TaskReader(faulty.storage, again, contextId, 1n);
  expect(sequences(await reader.next(open))).toEqual([2, 3]);
});

test("a task made again under the same id is read from the log, not from what memory has of the old one", async () => {
  const { memory, feed, append, reader } = await setUp();
  await append("e0", "e1", "e2");
  await memory.deleteTask(key);
  const { created } = await createdTask(memory, createdEntry("again"));
  feed.publish([created]);
  const fresh = reader(0);
  const page = await fresh.next(open);
  expect(sequences(page)).toEqual([1]);
  expect(page.map(({ entry }) => textOf(entry))).toEqual(["(created)"]);
  const [stored] = await wholeLog(memory);
  expect(page[0]?.entry).toEqual(decodeEntry(stored?.bytes as Uint8Array, { taskId: key.taskId, contextId }));
});
