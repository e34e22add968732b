import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { ArtifactSchema, TaskState } from "../../gen/lf/a2a/v1/a2a_pb.ts";
import { decideEvent, decideTakeover, decideTurn, decideTurnEnd } from "../../src/domain/decide.ts";
import type { PlacedEntry } from "../../src/domain/entry.ts";
import { FoldError, taskOf } from "../../src/domain/fold.ts";
import { batchBytesMax, batchEntriesMax } from "../../src/domain/limits.ts";
import { decodeEntry, encodeEntry } from "../../src/log/entry-codec.ts";
import { appendRetryMs } from "../../src/log/limits.ts";
import { loadTask } from "../../src/log/load-task.ts";
import { TaskWriter } from "../../src/log/task-writer.ts";
import { createMemoryStorage } from "../../src/storage/memory/storage.ts";
import type { Snapshot, TaskAppend } from "../../src/storage/storage.ts";
import { ManualClock, settle } from "../runtime/manual-clock.ts";
import { FaultyStorage } from "../storage/faulty-storage.ts";
import {
  chunkEntry,
  contextId,
  createdTask,
  key,
  loggedTexts,
  newId,
  openWriter,
  takeOver,
  textOf,
  texts,
  wholeLog,
  writerOptions,
} from "./log-fixtures.ts";

const stamp = { nowMs: 1_800_000_000_000, newId };

function faultyStorage() {
  const memory = createMemoryStorage();
  const faulty = new FaultyStorage(memory);
  const batches = () => faulty.callsOf("appendTask").map(({ args }) => (args[1] as TaskAppend).batch.entries.length);
  return { memory, faulty, storage: faulty.storage, batches };
}

/** What a promise has come to so far: its value or error, or "open". */
async function stateOf(promise: Promise<unknown>): Promise<unknown> {
  let state: unknown = "open";
  promise.then(
    () => {
      state = "resolved";
    },
    (error: unknown) => {
      state = error;
    },
  );
  await settle();
  return state;
}

test("what is yielded in one go is one append", async () => {
  const { memory, storage, batches } = faultyStorage();
  const writer = await openWriter(storage, { healthy: memory });
  writer.append(decideTurn(writer.tentative, stamp));
  for (const text of texts(20)) {
    writer.append([chunkEntry(text)], "bounded");
    await writer.room();
  }
  const last = writer.append(decideTurnEnd(writer.tentative, { kind: "returned" }, stamp));
  await writer.whenCommitted(last);
  expect(batches()).toEqual([23]);
  expect(writer.idle).toBe(true);
});

test("what collects while an append is under way goes as the next one", async () => {
  const { memory, faulty, storage, batches } = faultyStorage();
  const writer = await openWriter(storage, { healthy: memory });
  faulty.fail({ methods: "appendTask", fault: "held", times: 2 });
  writer.append([chunkEntry("e0")]);
  await settle();
  expect(faulty.held).toBe(1);
  for (const text of ["e1", "e2", "e3"]) {
    writer.append([chunkEntry(text)]);
    await settle();
  }
  expect(writer.idle).toBe(false);
  faulty.release();
  await settle();
  writer.append([chunkEntry("e4")]);
  await settle();
  faulty.release();
  await writer.whenCommitted(writer.tentative.sequence);
  expect(batches()).toEqual([1, 3, 1]);
  expect(await loggedTexts(memory)).toEqual(["(created)", "e0", "e1", "e2", "e3", "e4"]);
});

test("an append has at most 256 entries", async () => {
  const { memory, storage, batches } = faultyStorage();
  const writer = await openWriter(storage, { healthy: memory });
  const last = writer.append(texts(600).map(chunkEntry));
  await writer.whenCommitted(last);
  expect(batches()).toEqual([batchEntriesMax, batchEntriesMax, 88]);
  expect(await loggedTexts(memory)).toEqual(["(created)", ...texts(600)]);
});

test("an append has at most 4 MiB, but for a single entry that is larger", async () => {
  const { memory, storage, batches, faulty } = faultyStorage();
  const writer = await openWriter(storage, { healthy: memory });
  const third = "x".repeat(Math.floor(batchBytesMax / 3));
  const large = "x".repeat(batchBytesMax + 1);
  const last = writer.append([third, third, third, large, "a", "b"].map(chunkEntry));
  await writer.whenCommitted(last);
  expect(batches()).toEqual([2, 1, 1, 2]);
  const sizes = faulty
    .callsOf("appendTask")
    .map(({ args }) => (args[1] as TaskAppend).batch.entries.reduce((sum, entry) => sum + entry.byteLength, 0));
  expect(sizes.map((size) => size <= batchBytesMax)).toEqual([true, true, false, true]);
});

for (const { name, fill } of [
  { name: "256 entries", fill: texts(batchEntriesMax).map(chunkEntry) },
  { name: "4 MiB", fill: [chunkEntry("x".repeat(batchBytesMax))] },
]) {
  test(`there is no room behind ${name}, until they are on their way`, async () => {
    const { memory, faulty, storage } = faultyStorage();
    const writer = await openWriter(storage, { healthy: memory });
    faulty.fail({ methods: "appendTask", fault: "held" });
    writer.append([chunkEntry("first")]);
    await settle();
    expect(await stateOf(writer.room())).toBe("resolved");
    writer.append(fill);
    const rooms = [writer.room(), writer.room()];
    expect(await Promise.all(rooms.map(stateOf))).toEqual(["open", "open"]);
    faulty.release();
    expect(await Promise.all(rooms.map(stateOf))).toEqual(["resolved", "resolved"]);
    // The next is collected while the full one is under way.
    expect(faulty.held).toBe(1);
    expect(await stateOf(writer.room())).toBe("resolved");
  });
}

test("waiting for room ends when the writer is lost", async () => {
  const { memory, faulty, storage } = faultyStorage();
  const writer = await openWriter(storage, { healthy: memory });
  faulty.fail({ methods: "appendTask", fault: "held" });
  writer.append([chunkEntry("first")]);
  await settle();
  writer.append(texts(batchEntriesMax).map(chunkEntry));
  const room = writer.room();
  expect(await stateOf(room)).toBe("open");
  await takeOver(memory);
  faulty.release();
  await expect(room).rejects.toMatchObject({ reason: "UNAVAILABLE" });
  await expect(writer.room()).rejects.toMatchObject({ reason: "UNAVAILABLE" });
});

test("whenCommitted resolves only for what is durable, after onCommitted, in order", async () => {
  const { memory, faulty, storage } = faultyStorage();
  const events: string[] = [];
  const writer = await openWriter(storage, {
    healthy: memory,
    onCommitted: (entries) => events.push(...entries.map(({ entry }) => textOf(entry))),
  });
  expect(await stateOf(writer.whenCommitted(1n))).toBe("resolved");
  faulty.fail({ methods: "appendTask", fault: "answer-held", times: 1 });
  const [second, third] = [writer.append([chunkEntry("e0")]), writer.append([chunkEntry("e1")])];
  for (const sequence of [third, second]) void writer.whenCommitted(sequence).then(() => events.push(`${sequence}`));
  await settle();
  // In the log, but not known to be.
  expect(await loggedTexts(memory)).toEqual(["(created)", "e0", "e1"]);
  expect([writer.committed.sequence, writer.tentative.sequence, events]).toEqual([1n, 3n, []]);
  faulty.release();
  await settle();
  expect(events).toEqual(["e0", "e1", "3", "2"]);
  expect(writer.committed.sequence).toBe(3n);
});

test("an event or a task that is too large changes nothing", async () => {
  const { memory, storage, batches } = faultyStorage();
  const one = encodeEntry(chunkEntry("x".repeat(1000))).byteLength;
  const created = await createdTask(memory);
  const writer = new TaskWriter(
    writerOptions(storage, created, { limits: { eventBytesMax: one, taskBytesMax: created.created.bytes + 2 * one } }),
  );
  const refused = expect.objectContaining({ reason: "TOO_LARGE" });
  const before = () => ({
    task: taskOf(writer.tentative),
    sequence: writer.tentative.sequence,
    logBytes: writer.logBytes,
    idle: writer.idle,
  });
  const empty = before();
  expect(() => writer.append([chunkEntry("small"), chunkEntry("x".repeat(1001))], "bounded")).toThrow(refused);
  expect(() =>
    writer.append(
      [1, 2, 3].map(() => chunkEntry("x".repeat(1000))),
      "bounded",
    ),
  ).toThrow(refused);
  expect(before()).toEqual(empty);
  writer.append(
    [1, 2].map(() => chunkEntry("x".repeat(1000))),
    "bounded",
  );
  const full = before();
  expect(() => writer.append([chunkEntry("")], "bounded")).toThrow(refused);
  expect(before()).toEqual(full);
  // A full task still ends.
  await writer.whenCommitted(writer.append(decideTurnEnd(writer.tentative, { kind: "failed", text: "full" }, stamp)));
  expect(batches()).toEqual([3]);
  expect(writer.committed.status.state).toBe(TaskState.FAILED);
});

test("an entry that can't be encoded changes nothing", async () => {
  const { memory, storage, batches } = faultyStorage();
  const writer = await openWriter(storage, { healthy: memory });
  const broken = chunkEntry("broken");
  broken.timeMs = 2n ** 70n;
  expect(() => writer.append([chunkEntry("e0"), broken])).toThrow();
  expect([writer.tentative.sequence, writer.idle]).toEqual([1n, true]);
  await settle();
  expect(batches()).toEqual([]);
});

test("what is folded and told is what is stored, whatever the agent does with its objects afterwards", async () => {
  const { memory, storage } = faultyStorage();
  const told: PlacedEntry[] = [];
  const writer = await openWriter(storage, { healthy: memory, onCommitted: (entries) => told.push(...entries) });
  const buffer = new Uint8Array([1, 2, 3]);
  const artifact = create(ArtifactSchema, {
    artifactId: "a",
    parts: [{ content: { case: "raw", value: buffer } }],
    metadata: { n: [1] },
  });
  const last = writer.append(decideEvent(writer.tentative, { artifactUpdate: { artifact } }, stamp));
  buffer.fill(9);
  artifact.artifactId = "b";
  artifact.parts.pop();
  (artifact.metadata?.n as number[]).push(2);
  const shown = taskOf(writer.tentative);
  await writer.whenCommitted(last);
  const loaded = await loadTask(memory, key);
  expect(loaded && taskOf(loaded.fold)).toEqual(shown);
  expect(loaded && taskOf(loaded.fold)).toEqual(taskOf(writer.committed));
  const [, stored] = await wholeLog(memory);
  expect(told.map(({ entry }) => entry)).toEqual([
    decodeEntry(stored?.bytes as Uint8Array, { taskId: key.taskId, contextId }),
  ]);
});

test("nothing is appended behind a terminal entry", async () => {
  const { memory, storage } = faultyStorage();
  const writer = await openWriter(storage, { healthy: memory });
  const last = writer.append(decideTurnEnd(writer.tentative, { kind: "canceled" }, stamp));
  expect(() => writer.append([chunkEntry("late")])).toThrow(FoldError);
  await writer.whenCommitted(last);
  expect(() => writer.append([chunkEntry("late")])).toThrow(FoldError);
  expect(await loggedTexts(memory)).toEqual(["(created)", "(statusUpdate)"]);
});

test("a task that is taken over is lost: what waits is told, and nothing is sent any more", async () => {
  const { memory, faulty, storage, batches } = faultyStorage();
  const losses: Error[] = [];
  const told: PlacedEntry[] = [];
  const writer = await openWriter(storage, {
    healthy: memory,
    onLost: (error) => losses.push(error),
    onCommitted: (entries) => told.push(...entries),
  });
  await writer.whenCommitted(writer.append([chunkEntry("e0")]));
  faulty.fail({ methods: "appendTask", fault: "held" });
  const first = writer.whenCommitted(writer.append([chunkEntry("e1")]));
  await settle();
  const second = writer.whenCommitted(writer.append([chunkEntry("e2")]));
  const never = writer.whenCommitted(99n);
  await takeOver(memory);
  faulty.release();
  const lost = { reason: "UNAVAILABLE", metadata: { taskId: "task" } };
  for (const promise of [first, second, never, writer.whenCommitted(3n)])
    await expect(promise).rejects.toMatchObject(lost);
  expect(() => writer.append([chunkEntry("e3")])).toThrow(expect.objectContaining(lost));
  expect(await stateOf(writer.whenCommitted(2n))).toBe("resolved");
  await settle();
  expect(losses).toHaveLength(1);
  expect([writer.idle, writer.committed.sequence, batches()]).toEqual([true, 2n, [1, 1]]);
  expect(told.map(({ entry }) => textOf(entry))).toEqual(["e0"]);
  expect(await loggedTexts(memory)).toEqual(["(created)", "e0", "(takeover)"]);
});

test("a task that is gone is lost as not found", async () => {
  const { memory, storage } = faultyStorage();
  const writer = await openWriter(storage, { healthy: memory });
  await memory.deleteTask(key);
  await expect(writer.whenCommitted(writer.append([chunkEntry("e0")]))).rejects.toMatchObject({
    reason: "TASK_NOT_FOUND",
  });
});

test("a writer that takes over writes under its fence from its first append on", async () => {
  const { memory, faulty, storage } = faultyStorage();
  const old = await openWriter(memory);
  const loaded = await loadTask(memory, key);
  if (loaded === undefined) throw new Error("There is no task");
  const { fold, batch, stored } = loaded;
  const clock = new ManualClock();
  const options = writerOptions(storage, await createdTask(createMemoryStorage()));
  const writer = new TaskWriter({
    ...options,
    fold,
    batch,
    logBytes: stored.logBytes,
    clock,
    owner: { replica: "second", fence: 2n },
  });
  // The first answer is lost: the same condition is sent again.
  faulty.fail({ methods: "appendTask", fault: "executed-unknown", times: 1 });
  await clock.advanceUntil(
    writer.whenCommitted(writer.append([decideTakeover(writer.tentative, "second", 2n, stamp), chunkEntry("e0")])),
  );
  await writer.whenCommitted(writer.append([chunkEntry("e1")]));
  expect(await memory.getTask(key)).toMatchObject({ replica: "second", fence: 2n, head: 4n });
  await expect(old.whenCommitted(old.append([chunkEntry("late")]))).rejects.toMatchObject({ reason: "UNAVAILABLE" });
});

test("an append is sent again, the same, until its time is over; then the writer is lost", async () => {
  const { memory, faulty, storage } = faultyStorage();
  const clock = new ManualClock();
  const writer = await openWriter(storage, { healthy: memory, clock });
  faulty.fail({ methods: "appendTask", fault: "unavailable" });
  const committed = writer.whenCommitted(writer.append([chunkEntry("e0")]));
  committed.catch(() => undefined);
  await clock.advance(appendRetryMs - 1);
  expect(await stateOf(committed)).toBe("open");
  await clock.advance(5_001);
  await expect(committed).rejects.toMatchObject({ name: "StorageError", outcome: "none" });
  const calls = faulty.callsOf("appendTask");
  expect(new Set(calls.map(({ args }) => args[1])).size).toBe(1);
  faulty.heal();
  await clock.advance(600_000);
  expect(faulty.callsOf("appendTask").length).toBe(calls.length);
  expect(clock.waiting).toBe(0);
});

test("a writer that is given up between two tries doesn't try again", async () => {
  const { memory, faulty, storage } = faultyStorage();
  const clock = new ManualClock();
  const writer = await openWriter(storage, { healthy: memory, clock });
  faulty.fail({ methods: "appendTask", fault: "lost-unknown", times: 1 });
  const committed = writer.whenCommitted(writer.append([chunkEntry("e0")]));
  committed.catch(() => undefined);
  await settle();
  expect(clock.waiting).toBe(1);
  writer.abandon(new Error("closing"));
  await clock.advance(600_000);
  await expect(committed).rejects.toThrow("closing");
  expect(faulty.callsOf("appendTask").length).toBe(1);
  expect(await loggedTexts(memory)).toEqual(["(created)"]);
  expect([writer.idle, clock.waiting]).toEqual([true, 0]);
});

test("what was on its way when a writer was given up is told once it is durable", async () => {
  const { memory, faulty, storage } = faultyStorage();
  const told: string[] = [];
  const writer = await openWriter(storage, {
    healthy: memory,
    onCommitted: (entries) => told.push(...entries.map(({ entry }) => textOf(entry))),
  });
  faulty.fail({ methods: "appendTask", fault: "held" });
  const first = writer.whenCommitted(writer.append([chunkEntry("e0")]));
  await settle();
  const second = writer.whenCommitted(writer.append([chunkEntry("e1")]));
  writer.abandon(new Error("closing"));
  writer.abandon(new Error("twice"));
  for (const promise of [first, second]) await expect(promise).rejects.toThrow("closing");
  faulty.release();
  await settle();
  expect(told).toEqual(["e0"]);
  expect(await loggedTexts(memory)).toEqual(["(created)", "e0"]);
});

test("a request is answered by the append that holds its entry, not by one before", async () => {
  const { memory, faulty, storage } = faultyStorage();
  const writer = await openWriter(storage, { healthy: memory });
  await memory.sendCommand(key, { id: "request", bytes: new Uint8Array([1]) });
  faulty.fail({ methods: "appendTask", fault: "held" });
  // The first append ends between the two.
  writer.append(texts(batchEntriesMax - 1).map(chunkEntry));
  writer.append([chunkEntry("before"), chunkEntry("answer")], "unbounded", ["request"]);
  await settle();
  faulty.release();
  await settle();
  expect(faulty.held).toBe(1);
  expect((await memory.getTask(key))?.commands.map(({ id }) => id)).toEqual(["request"]);
  faulty.release();
  await settle();
  expect((await memory.getTask(key))?.commands).toEqual([]);
});

test("the header says what the log says, after every append", async () => {
  const { memory, storage } = faultyStorage();
  const writer = await openWriter(storage, { healthy: memory });
  const steps = [
    () => decideTurn(writer.tentative, stamp),
    () => [chunkEntry("e0")],
    () =>
      decideEvent(
        writer.tentative,
        {
          statusUpdate: {
            state: TaskState.INPUT_REQUIRED,
            message: { parts: [{ content: { case: "text", value: "?" } }] },
          },
        },
        stamp,
      ),
    () => decideTurnEnd(writer.tentative, { kind: "canceled" }, stamp),
  ];
  for (const step of steps) {
    await writer.whenCommitted(writer.append(step()));
    const stored = await memory.getTask(key);
    expect(stored).toMatchObject({
      head: writer.committed.sequence,
      state: writer.committed.status.state,
      statusTimeMs: stamp.nowMs,
    });
    expect(stored?.logBytes).toBe(writer.logBytes);
  }
});

test("snapshots cost at most three times the log over 10,000 entries, and come at growing distances", async () => {
  const { memory, faulty, storage } = faultyStorage();
  const writer = await openWriter(storage, { healthy: memory });
  for (let place = 0; place < 10_000; place += 100) {
    await writer.whenCommitted(writer.append(texts(100, `chunk-${place}-with-some-text-`).map(chunkEntry)));
  }
  await settle();
  const snapshots = faulty.callsOf("storeSnapshot").map(({ args }) => args[1] as Snapshot);
  const bytes = snapshots.reduce((sum, snapshot) => sum + snapshot.bytes.byteLength, 0);
  expect(snapshots.length).toBeGreaterThan(2);
  expect(snapshots.length).toBeLessThan(12);
  expect(bytes).toBeLessThanOrEqual(3 * writer.logBytes);
  const loaded = await loadTask(storage, key);
  expect(loaded?.stored.snapshot?.sequence).toBe(snapshots.at(-1)?.sequence);
  expect(loaded && taskOf(loaded.fold)).toEqual(taskOf(writer.committed));
});

test("a snapshot that can't be stored loses nothing, and the next one is tried only when it is due", async () => {
  const { memory, faulty, storage } = faultyStorage();
  const failures: unknown[] = [];
  const writer = await openWriter(storage, { healthy: memory, onSnapshotFailed: (error) => failures.push(error) });
  faulty.fail({ methods: "storeSnapshot", fault: "corrupt" });
  for (let place = 0; place < 50; place++) await writer.whenCommitted(writer.append([chunkEntry("x".repeat(10_000))]));
  await settle();
  const tries = faulty.callsOf("storeSnapshot").length;
  expect(tries).toBeGreaterThan(1);
  expect(tries).toBeLessThan(6);
  expect(failures.length).toBe(tries);
  const loaded = await loadTask(memory, key);
  expect(loaded?.stored.snapshot).toBeUndefined();
  expect(loaded && taskOf(loaded.fold)).toEqual(taskOf(writer.committed));
});

test("a snapshot that is slow holds up no append, and there is one at a time", async () => {
  const { memory, faulty, storage } = faultyStorage();
  const writer = await openWriter(storage, { healthy: memory });
  faulty.fail({ methods: "storeSnapshot", fault: "held" });
  for (let place = 0; place < 50; place++) await writer.whenCommitted(writer.append([chunkEntry("x".repeat(10_000))]));
  expect([faulty.held, writer.committed.sequence, writer.idle]).toEqual([1, 51n, true]);
  faulty.release();
  await settle();
  expect((await wholeLog(memory)).length).toBe(51);
});
