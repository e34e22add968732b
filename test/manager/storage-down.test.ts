import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { ListTasksRequestSchema } from "../../gen/lf/a2a/v1/a2a_pb.ts";
import { inputRequired, working } from "../../src/agent/processor-events.ts";
import { createTaskManager, type TaskManager } from "../../src/manager/task-manager.ts";
import { createMemoryStorage } from "../../src/storage/memory/storage.ts";
import { ManualClock, settle } from "../runtime/manual-clock.ts";
import { type Fault, FaultyStorage } from "../storage/faulty-storage.ts";
import {
  agent,
  answering,
  brief,
  collected,
  expectRefused,
  idleTimers,
  message,
  messageIn,
  reading,
  request,
  ScriptedAgent,
  sent,
  setup,
  silent,
  stateOf,
} from "./fixtures.ts";

const asking = agent(async function* () {
  yield inputRequired("?");
});

const calls: readonly [string, (manager: TaskManager, id: string) => Promise<unknown>][] = [
  ["sendMessage", (manager) => manager.sendMessage(request("x"))],
  ["sendMessage to a task", (manager, id) => manager.sendMessage(request(message("x", { taskId: id })))],
  ["sendStreamingMessage", (manager) => collected(manager.sendStreamingMessage(request("x")))],
  [
    "sendStreamingMessage to a task",
    (manager, id) => collected(manager.sendStreamingMessage(request(message("x", { taskId: id })))),
  ],
  ["getTask", (manager, id) => manager.getTask(id)],
  ["listTasks", (manager) => manager.listTasks(create(ListTasksRequestSchema))],
  [
    "listTasks with artifacts",
    (manager) => manager.listTasks(create(ListTasksRequestSchema, { includeArtifacts: true })),
  ],
  ["cancelTask", (manager, id) => manager.cancelTask(id)],
  ["subscribeToTask", (manager, id) => collected(manager.subscribeToTask(id))],
  ["watchTask", (manager, id) => collected(manager.watchTask(id, 0n))],
  ["getTaskAt", (manager, id) => manager.getTaskAt(id, 1n)],
  ["taskExists", (manager, id) => manager.taskExists(id)],
  ["deleteTask", (manager, id) => manager.deleteTask(id)],
];

/** What calls come to that are not answered while the storage works: the task waits for input. */
const outcomes: Readonly<Record<string, string>> = {
  subscribeToTask: "still open",
  watchTask: "still open",
  deleteTask: "STILL_RUNNING",
};

describe.each<[Fault, string]>([
  ["unavailable", "UNAVAILABLE"],
  ["lost-unknown", "UNAVAILABLE"],
  ["closed", "UNAVAILABLE"],
  ["corrupt", "DATA_LOSS"],
])("over a storage whose calls fail as %s", (fault, reason) => {
  it.each(calls)(`%s says ${reason}, waits for nothing more, and works again with the storage`, async (name, call) => {
    const { manager, faulty, clock } = await setup(asking);
    const { id } = await sent(manager, "x");
    await settle(5);
    faulty.fail({
      fault,
      methods: ["appendTask", "getTask", "readTask", "taskExists", "listTasks", "deleteTask", "claimMessage"],
    });
    const refused = call(manager, id);
    await expect(clock.advanceUntil(refused)).rejects.toMatchObject({ name: "TaskError", reason });
    // A task that may exist is looked for.
    const looks = fault === "lost-unknown" && /^send\w*Message$/.test(name) ? 1 : 0;
    expect(clock.waiting).toBe(idleTimers + looks);
    faulty.heal();
    expect(stateOf((await manager.getTask(id)).task)).toBe("INPUT_REQUIRED");
    const again = await clock.advanceUntil(call(manager, id), 1_000).then(
      () => "answered",
      (error) => error.reason ?? error.message,
    );
    expect(again).toMatch(outcomes[name] ?? "answered");
  });
});

it("tells what went wrong to the log, and to clients only that something did", async () => {
  const { manager, faulty } = await setup(asking);
  const { id } = await sent(manager, "x");
  faulty.fail({ fault: "unavailable" });
  await expect(manager.getTask(id)).rejects.toMatchObject({
    message: "The storage is not available",
    cause: expect.objectContaining({ name: "StorageError" }),
  });
});

it("doesn't make a manager, and says UNAVAILABLE", async () => {
  for (const methods of ["setRetention", "register", "listReplicas"] as const) {
    const clock = new ManualClock();
    const faulty = new FaultyStorage(createMemoryStorage());
    faulty.fail({ fault: "unavailable", methods });
    await expectRefused(clock.advanceUntil(createTaskManager(asking, faulty.storage, {}, { clock })), "UNAVAILABLE");
    await settle();
    expect(clock.waiting, methods).toBe(0);
  }
});

it.each<Fault>([
  "unavailable",
  "executed-unknown",
  "lost-unknown",
])("a bare answer whose keeping is %s is refused; the message sent again is answered", async (fault) => {
  const { manager, faulty } = await setup(
    answering(async () => ({ parts: [{ content: { case: "text", value: "hi" } }] })),
  );
  const once = message("x");
  faulty.fail({ methods: "storeMessages", fault, times: 1 });
  await expectRefused(manager.sendMessage(request(once)), "UNAVAILABLE");
  const answer = messageIn(await manager.sendMessage(request(once)));
  expect((await manager.conversations.getMessage(once.messageId, { tenant: "", owner: "" }))?.contextId).toBe(
    answer.contextId,
  );
  expect(await manager.conversations.stats({ tenant: "", owner: "" })).toMatchObject({
    totalConversations: 1,
    totalMessages: 2,
  });
});

it("a stream that a failing read ends goes on after its cursor, with nothing lost or doubled", async () => {
  const scripted = new ScriptedAgent();
  const { manager, faulty } = await setup(scripted);
  const answer = sent(manager, "go");
  const turn = await scripted.turn();
  const { taskId } = turn.context;
  await turn.context.committed();
  for (let index = 0; index < 20; index++) await turn.yield(working(`${index} ${"x".repeat(100_000)}`));
  turn.return();
  await answer;
  await settle();
  // Nothing of it is in memory any more, and the log has several pages.
  let failures = 0;
  for (let seed = 1; seed <= 8; seed++) {
    faulty.failAtRandom({
      seed,
      probability: 0.5,
      faults: ["unavailable"],
      methods: ["readTask", "getTask", "taskExists"],
    });
    const seen: string[] = [];
    let cursor = 0n;
    for (let ended = false; !ended; ) {
      const subscriber = manager.watchTask(taskId, cursor);
      try {
        for await (const event of subscriber) {
          seen.push(brief(event).slice(0, 20));
          cursor = subscriber.cursor;
        }
        ended = true;
      } catch (error) {
        if ((error as { reason?: string }).reason !== "UNAVAILABLE") throw error;
        failures++;
      }
    }
    expect(seen).toEqual([
      "task:SUBMITTED",
      "status:WORKING",
      ...Array.from({ length: 20 }, (_, index) => `status:WORKING(${index} x`.padEnd(20, "x")),
      "status:COMPLETED",
    ]);
  }
  expect(failures).toBeGreaterThan(8);
});

it("short failures are bridged: senders, readers and the agent see none of it", async () => {
  const scripted = new ScriptedAgent();
  const { manager, faulty, clock } = await setup(scripted);
  faulty.failAtRandom({
    seed: 3,
    probability: 0.7,
    faults: ["unavailable", "executed-unknown", "lost-unknown"],
    methods: ["appendTask"],
  });
  const streamed = reading(manager.sendStreamingMessage(request("go")));
  const turn = await clock.advanceUntil(scripted.turn());
  const answer = manager.getTask(turn.context.taskId);
  for (let index = 0; index < 10; index++) {
    await turn.yield(working(`w${index}`));
    await clock.advanceUntil(turn.context.committed());
  }
  turn.return();
  await clock.advanceUntil(streamed.ended);
  expect(streamed.seen.slice(-11)).toEqual([
    ...Array.from({ length: 10 }, (_, index) => `status:WORKING(w${index})`),
    "status:COMPLETED",
  ]);
  expect(await answer).toBeDefined();
  expect(faulty.callsOf("appendTask").filter(({ fault }) => fault !== undefined).length).toBeGreaterThan(5);
});

it("an access that can't be noted costs nobody anything", async () => {
  const { manager, faulty, lines } = await setup(silent(async () => {}));
  faulty.fail({ methods: "updateConversationAccess", fault: "unavailable" });
  const { id } = await sent(manager, "x");
  expect(stateOf((await manager.getTask(id)).task)).toBe("COMPLETED");
  await settle();
  expect(lines.map(({ level, text }) => `${level}: ${text}`)).toContain(
    "warn: Failed to record an access to a conversation",
  );
});
