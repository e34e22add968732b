import { expect, test } from "vitest";
import { TaskState } from "../../gen/lf/a2a/v1/a2a_pb.ts";
import { taskOf } from "../../src/domain/fold.ts";
import { createTask } from "../../src/log/create-task.ts";
import { createAnswerMs, createRetryMs } from "../../src/log/limits.ts";
import { loadTask } from "../../src/log/load-task.ts";
import { createMemoryStorage } from "../../src/storage/memory/storage.ts";
import type { MessageClaim, Storage } from "../../src/storage/storage.ts";
import { ManualClock, settle } from "../runtime/manual-clock.ts";
import { type Fault, FaultyStorage, randomOf } from "../storage/faulty-storage.ts";
import { contextId, createdEntry, key, newId, wholeLog } from "./log-fixtures.ts";

const owner = { replica: "replica", fence: 1n };

function claimFor(taskId: string, changes: Partial<MessageClaim> = {}): MessageClaim {
  return { messageId: "first", contentHash: "hash", taskId, windowMs: 60_000, ...changes };
}

function createIn(storage: Storage, clock: ManualClock, claim?: MessageClaim, taskId = key.taskId) {
  return createTask(storage, { ...key, taskId }, createdEntry(), {
    contextId,
    owner,
    clock,
    newId,
    ...(claim && { claim }),
  });
}

function unknown(code: string) {
  return { outcome: "unknown", error: { name: "StorageError", code, outcome: "unknown" } };
}

test("a task is created, and what is given back is what the log has", async () => {
  const storage = createMemoryStorage();
  const result = await createIn(storage, new ManualClock(), claimFor(key.taskId));
  const [entry] = await wholeLog(storage);
  expect(result).toMatchObject({
    outcome: "created",
    batch: entry?.batch,
    otherContent: false,
    created: { sequence: 1n, bytes: entry?.bytes.byteLength },
  });
  const loaded = await loadTask(storage, key);
  expect(loaded && taskOf(loaded.fold)).toEqual(result.outcome === "created" && taskOf(result.fold));
  expect(loaded?.fold).toMatchObject({
    taskId: key.taskId,
    contextId,
    history: [{ taskId: key.taskId, contextId }],
    waiting: [{ sequence: 1n }],
  });
  expect(loaded?.stored).toMatchObject({ ...owner, state: TaskState.SUBMITTED, head: 1n });
});

test.for([
  { name: "that was lost after it had happened", fault: "executed-unknown" },
  { name: "that was lost before it could happen", fault: "lost-unknown" },
  { name: "that never came about", fault: "unavailable" },
] satisfies readonly { name: string; fault: Fault }[])("an append $name still creates one task", async ({ fault }) => {
  const faulty = new FaultyStorage(createMemoryStorage());
  const clock = new ManualClock();
  faulty.fail({ methods: "appendTask", fault, times: 2 });
  const result = await clock.advanceUntil(createIn(faulty.storage, clock, claimFor(key.taskId)));
  expect(result.outcome).toBe("created");
  expect((await wholeLog(faulty.storage)).length).toBe(1);
  expect(new Set(faulty.callsOf("appendTask").map(({ args }) => args[1])).size).toBe(1);
});

test("the reads that settle an open try are tried again, too", async () => {
  const faulty = new FaultyStorage(createMemoryStorage());
  const clock = new ManualClock();
  faulty.fail({ methods: "appendTask", fault: "executed-unknown", times: 1 });
  faulty.fail({ methods: "readTask", fault: "unavailable", times: 2 });
  faulty.fail({ methods: "getTask", fault: "unavailable", times: 2 });
  expect((await clock.advanceUntil(createIn(faulty.storage, clock))).outcome).toBe("created");
});

test("an open try that wasn't the one that made the task is no creation", async () => {
  const memory = createMemoryStorage();
  const faulty = new FaultyStorage(memory);
  const clock = new ManualClock();
  faulty.fail({ methods: "appendTask", fault: "lost-unknown", times: 1 });
  const mine = createIn(faulty.storage, clock);
  await settle();
  expect((await createIn(memory, clock)).outcome).toBe("created");
  expect(await clock.advanceUntil(mine)).toEqual({ outcome: "exists" });
  expect((await wholeLog(memory)).length).toBe(1);
});

test("while the outcome is open, its time over, nothing is decided: the outcome is unknown", async () => {
  const memory = createMemoryStorage();
  const faulty = new FaultyStorage(memory);
  const clock = new ManualClock();
  faulty.fail({ methods: "appendTask", fault: "executed-unknown", times: 1 });
  faulty.fail({ methods: "appendTask", fault: "unavailable" });
  const startMs = clock.now();
  expect(await clock.advanceUntil(createIn(faulty.storage, clock))).toMatchObject(unknown("unavailable"));
  expect(clock.now() - startMs).toBeLessThan(createRetryMs + 5_001);
  expect(await memory.taskExists(key)).toBe(true);
});

test.for([
  "unavailable",
  "lost-unknown",
] as const)("an append that fails for ever (%s) is given up in time", async (fault) => {
  const faulty = new FaultyStorage(createMemoryStorage());
  const clock = new ManualClock();
  faulty.fail({ methods: "appendTask", fault });
  const creating = clock.advanceUntil(createIn(faulty.storage, clock)).catch((error: unknown) => error);
  expect(await creating).toMatchObject(
    fault === "unavailable" ? { name: "StorageError", outcome: "none" } : unknown("unavailable"),
  );
  expect(faulty.callsOf("appendTask").length).toBeGreaterThan(3);
  expect(clock.waiting).toBe(0);
});

test.for([
  "missing",
  "invalid",
  "corrupt",
  "closed",
] as const)("an append that is %s is not tried again", async (fault) => {
  const faulty = new FaultyStorage(createMemoryStorage());
  faulty.fail({ methods: "appendTask", fault });
  await expect(createIn(faulty.storage, new ManualClock())).rejects.toMatchObject({ code: fault, outcome: "none" });
  expect(faulty.callsOf("appendTask").length).toBe(1);
  const open = new FaultyStorage(createMemoryStorage());
  const clock = new ManualClock();
  open.fail({ methods: "appendTask", fault: "executed-unknown", times: 1 });
  open.fail({ methods: "appendTask", fault });
  // A try before it is still open.
  expect(await clock.advanceUntil(createIn(open.storage, clock))).toMatchObject(unknown(fault));
});

test.for([
  "held",
  "answer-held",
] as const)("an append that is never answered (%s) is unknown in time", async (fault) => {
  const faulty = new FaultyStorage(createMemoryStorage());
  const clock = new ManualClock();
  faulty.fail({ methods: "appendTask", fault, times: 1 });
  const startMs = clock.now();
  const result = await clock.advanceUntil(createIn(faulty.storage, clock));
  expect([result, clock.now() - startMs]).toMatchObject([unknown("unavailable"), createAnswerMs]);
  let settled = false;
  void (result.outcome === "unknown" ? result.settled : undefined)?.then(() => {
    settled = true;
  });
  await settle();
  expect(settled).toBe(false);
  faulty.release();
  await settle();
  expect([settled, clock.waiting, faulty.callsOf("appendTask").length]).toEqual([true, 0, 1]);
});

test("an append that fails by a bug is unknown", async () => {
  const faulty = new FaultyStorage(createMemoryStorage());
  faulty.fail({ methods: "appendTask", fault: "executed-broken" });
  expect(await createIn(faulty.storage, new ManualClock())).toMatchObject({
    outcome: "unknown",
    error: { name: "TypeError" },
  });
});

test("a task of that id is there already", async () => {
  const storage = createMemoryStorage();
  await createIn(storage, new ManualClock());
  expect(await createIn(storage, new ManualClock())).toEqual({ outcome: "exists" });
});

test("a message that made another task before is a duplicate, and makes none", async () => {
  const storage = createMemoryStorage();
  await createIn(storage, new ManualClock(), claimFor(key.taskId));
  expect(await createIn(storage, new ManualClock(), claimFor("second"), "second")).toMatchObject({
    outcome: "duplicate",
    claim: { taskId: key.taskId },
  });
  expect(await storage.taskExists({ ...key, taskId: "second" })).toBe(false);
});

test("other content under the same id makes another task with a word on it, or none where ids are strict", async () => {
  const storage = createMemoryStorage();
  await createIn(storage, new ManualClock(), claimFor(key.taskId));
  const strict = claimFor("strict", { contentHash: "other", strict: true });
  expect(await createIn(storage, new ManualClock(), strict, "strict")).toEqual({ outcome: "reused" });
  expect(await storage.taskExists({ ...key, taskId: "strict" })).toBe(false);
  const other = claimFor("other", { contentHash: "other" });
  expect(await createIn(storage, new ManualClock(), other, "other")).toMatchObject({
    outcome: "created",
    otherContent: true,
  });
});

test("of many that create the same task at once, whatever fails, one does", async () => {
  for (let seed = 0; seed < 60; seed++) {
    const memory = createMemoryStorage();
    const random = randomOf(seed);
    const results = await Promise.all(
      Array.from({ length: 4 }, (_, caller) => {
        const faulty = new FaultyStorage(memory);
        const clock = new ManualClock();
        faulty.failAtRandom({
          seed: seed * 10 + caller,
          probability: random() * 0.5,
          faults: ["unavailable", "executed-unknown", "lost-unknown"],
          methods: ["appendTask"],
        });
        return clock.advanceUntil(createIn(faulty.storage, clock, claimFor(key.taskId)));
      }),
    );
    const outcomes = results.map(({ outcome }) => outcome).toSorted();
    expect(outcomes, `Seed ${seed}`).toEqual(["created", "exists", "exists", "exists"]);
    const created = results.find((result) => result.outcome === "created");
    expect(created, `Seed ${seed}`).toMatchObject({ batch: (await wholeLog(memory))[0]?.batch });
  }
});
