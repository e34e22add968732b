import { expect, test } from "vitest";
import { TaskState } from "../../gen/lf/a2a/v1/a2a_pb.ts";
import { encodeEntry } from "../../src/log/entry-codec.ts";
import { sendAppend } from "../../src/log/send-append.ts";
import { createMemoryStorage } from "../../src/storage/memory/storage.ts";
import type { TaskAppend } from "../../src/storage/storage.ts";
import { ManualClock, settle } from "../runtime/manual-clock.ts";
import { FaultyStorage } from "../storage/faulty-storage.ts";
import { chunkEntry, createdTask, key, loggedTexts, newId, takeOver } from "./log-fixtures.ts";

async function setUp() {
  const memory = createMemoryStorage();
  const { batch } = await createdTask(memory);
  const append: TaskAppend = {
    after: { head: 1n, batch, fence: 1n },
    batch: { id: newId(), entries: ["e0", "e1"].map((text) => encodeEntry(chunkEntry(text))) },
    header: { state: TaskState.SUBMITTED, statusTimeMs: 0, replica: "replica", fence: 1n },
    messages: [],
    handled: [],
  };
  const faulty = new FaultyStorage(memory);
  const clock = new ManualClock();
  const send = (signal?: AbortSignal) =>
    sendAppend(faulty.storage, key, append, { clock, retryMs: 60_000, ...(signal && { signal: () => signal }) });
  return { memory, faulty, clock, append, send };
}

test("an append whose answer was lost is committed, with the commands that are open now", async () => {
  const { memory, faulty, clock, send } = await setUp();
  await memory.sendCommand(key, { id: "request", bytes: new Uint8Array([1]) });
  faulty.fail({ methods: "appendTask", fault: "executed-unknown", times: 1 });
  expect(await clock.advanceUntil(send())).toMatchObject({
    outcome: "committed",
    head: 3n,
    commands: [{ id: "request" }],
  });
  expect(await loggedTexts(memory)).toEqual(["(created)", "e0", "e1"]);
});

test("it is committed, too, where the log has grown behind it", async () => {
  const { memory, faulty, clock, send } = await setUp();
  faulty.fail({ methods: "appendTask", fault: "executed-unknown", times: 1 });
  const sent = send();
  await settle();
  await takeOver(memory);
  expect(await clock.advanceUntil(sent)).toMatchObject({ outcome: "committed", head: 3n });
});

test("an append that never came about, while another one took its place, is lost", async () => {
  const { memory, faulty, clock, send } = await setUp();
  faulty.fail({ methods: "appendTask", fault: "lost-unknown", times: 1 });
  const sent = send();
  await settle();
  await takeOver(memory);
  expect(await clock.advanceUntil(sent)).toMatchObject({ outcome: "lost", head: 2n, replica: "rival", fence: 2n });
  expect(await loggedTexts(memory)).toEqual(["(created)", "(takeover)"]);
});

test.for([
  "executed-unknown",
  "lost-unknown",
] as const)("an append of a task that is removed meanwhile (%s) is gone", async (fault) => {
  const { memory, faulty, clock, send } = await setUp();
  faulty.fail({ methods: "appendTask", fault, times: 1 });
  const sent = send();
  await settle();
  await memory.deleteTask(key);
  expect(await clock.advanceUntil(sent)).toEqual({ outcome: "gone" });
});

test.for([
  "readTask",
  "getTask",
] as const)("a %s that fails while an open try is settled is tried again", async (method) => {
  const { memory, faulty, clock, send } = await setUp();
  faulty.fail({ methods: "appendTask", fault: "executed-unknown", times: 1 });
  faulty.fail({ methods: method, fault: "unavailable", times: 3 });
  expect(await clock.advanceUntil(send())).toMatchObject({ outcome: "committed", head: 3n });
  expect(faulty.callsOf(method).length).toBe(4);
  expect(await loggedTexts(memory)).toEqual(["(created)", "e0", "e1"]);
});

test("a refusal without an open try is taken as it is, and nothing is read", async () => {
  const { memory, faulty, clock, send } = await setUp();
  await takeOver(memory);
  faulty.fail({ methods: "appendTask", fault: "unavailable", times: 2 });
  expect(await clock.advanceUntil(send())).toMatchObject({ outcome: "lost" });
  expect(faulty.callsOf("readTask").length).toBe(0);
});

test("an abort ends the tries with its reason, and takes the timer back", async () => {
  const { faulty, clock, send } = await setUp();
  faulty.fail({ methods: "appendTask", fault: "unavailable" });
  const abort = new AbortController();
  const sent = send(abort.signal);
  sent.catch(() => undefined);
  await settle();
  abort.abort(new Error("enough"));
  await expect(sent).rejects.toThrow("enough");
  expect([clock.waiting, faulty.callsOf("appendTask").length]).toEqual([0, 1]);
});

test("what is no error of the storage is passed on at once", async () => {
  const { memory, append, clock } = await setUp();
  const broken = { ...memory, appendTask: () => Promise.reject(new TypeError("bug")) } as unknown as typeof memory;
  await expect(sendAppend(broken, key, append, { clock, retryMs: 60_000 })).rejects.toThrow(TypeError);
});
