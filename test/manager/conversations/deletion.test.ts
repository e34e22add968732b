import { create } from "@bufbuild/protobuf";
import { describe, expect, it, vi } from "vitest";
import { CleanupExpiredConversationsRequestSchema } from "../../../gen/taskmanager/v1/conversation_pb.ts";
import { artifact, inputRequired, working } from "../../../src/agent/processor-events.ts";
import { TaskHub } from "../../../src/stream/task-hub.ts";
import { settle } from "../../runtime/manual-clock.ts";
import {
  answering,
  begun,
  callerOf,
  collected,
  expectRefused,
  idleTimers,
  isSettledNow,
  message,
  reading,
  request,
  ScriptedAgent,
  sent,
  setup,
  silent,
  stateOf,
} from "../fixtures.ts";

const scope = { tenant: "", owner: "" };

async function interrupted() {
  const scripted = new ScriptedAgent();
  const all = await setup(scripted);
  const first = sent(all.manager, message("one", { contextId: "c" }));
  const turn = await scripted.turn();
  await turn.yield(inputRequired("?"));
  turn.return();
  const { id } = await first;
  await settle();
  return { ...all, scripted, id };
}

it("shows the task at every sequence, each a step further than the one before", async () => {
  const scripted = new ScriptedAgent();
  const { manager } = await setup(scripted);
  const answer = sent(manager, "go");
  const turn = await scripted.turn();
  await turn.yield(working("busy"));
  await turn.yield(artifact({ artifactId: "a", parts: [{ content: { case: "text", value: "x" } }] }));
  turn.return();
  const { id } = await answer;
  const { head } = await manager.getTaskAt(id, 1n);
  const states: string[] = [];
  for (let sequence = 1n; sequence <= head; sequence++) {
    const { task } = await manager.getTaskAt(id, sequence);
    states.push(`${stateOf(task)}/${task.artifacts.length}`);
  }
  expect(states).toEqual(["SUBMITTED/0", "WORKING/0", "WORKING/0", "WORKING/0", "WORKING/1", "COMPLETED/1"]);
  expect((await manager.getTaskAt(id, head)).task).toEqual((await manager.getTask(id)).task);
  await expectRefused(manager.getTaskAt("nope", 1n), "TASK_NOT_FOUND");
});

it("removes a task that has ended, once, and nothing finds it any more", async () => {
  const { manager, id } = await interrupted();
  await manager.cancelTask(id);
  expect([
    await manager.taskExists(id),
    await manager.deleteTask(id),
    await manager.deleteTask(id),
    await manager.taskExists(id),
  ]).toEqual([true, true, false, false]);
  await expectRefused(manager.getTask(id), "TASK_NOT_FOUND");
  await expectRefused(manager.cancelTask(id), "TASK_NOT_FOUND");
  await expectRefused(manager.getTaskAt(id, 1n), "TASK_NOT_FOUND");
  await expectRefused(collected(manager.watchTask(id, 0n)), "TASK_NOT_FOUND");
  await expectRefused(sent(manager, message("more", { taskId: id })), "TASK_NOT_FOUND");
});

describe("the message of a removed task, sent again,", () => {
  it.each([
    ["an agent that makes tasks", silent(async () => {})],
    ["one that is asked first", answering(async () => undefined)],
  ])("makes a new task under another id, and joins that one from then on: %s", async (_, processor) => {
    const { manager } = await setup(processor, { options: { messageIds: "strict" } });
    const once = message("go");
    const { id } = await sent(manager, once);
    expect(await manager.deleteTask(id)).toBe(true);
    const again = await sent(manager, once);
    expect([again.id === id, stateOf(again), await manager.taskExists(id)]).toEqual([false, "COMPLETED", false]);
    expect((await sent(manager, once)).id).toBe(again.id);
  });

  it.each([
    ["claimMessage", answering(async () => undefined)],
    ["appendTask", silent(async () => {})],
  ] as const)("is never made under the removed id, even if the removal comes while it is joining (%s)", async (method, processor) => {
    const { manager, faulty } = await setup(processor);
    const once = message("go");
    const { id } = await sent(manager, once);
    faulty.fail({ methods: method, fault: "answer-held", times: 1 });
    const again = sent(manager, once);
    await settle();
    expect(faulty.held).toBe(1);
    expect(await manager.deleteTask(id)).toBe(true);
    faulty.release();
    expect((await again).id).not.toBe(id);
    expect(await manager.taskExists(id)).toBe(false);
  });
});

it.each([
  ["waits for input", async () => interrupted()],
  [
    "runs",
    async () => {
      const scripted = new ScriptedAgent();
      const all = await setup(scripted);
      const { id } = await begun(all.manager, message("go", { contextId: "c" }));
      await scripted.turn();
      return { ...all, scripted, id };
    },
  ],
])("keeps a task that %s, and its readers", async (_, prepare) => {
  const { manager, id } = await prepare();
  const reader = reading(manager.watchTask(id));
  await expectRefused(manager.deleteTask(id), "STILL_RUNNING");
  await settle();
  expect([await manager.taskExists(id), reader.isOver()]).toEqual([true, false]);
});

it("doesn't remove a conversation while a task of it runs", async () => {
  const scripted = new ScriptedAgent();
  const { manager } = await setup(scripted);
  await begun(manager, message("go", { contextId: "c" }));
  await expectRefused(manager.conversations.delete("c", scope), "STILL_RUNNING");
  (await scripted.turn()).return();
  await settle();
  expect([await manager.conversations.delete("c", scope), await manager.conversations.delete("c", scope)]).toEqual([
    true,
    false,
  ]);
});

it.each([
  [
    "deleted",
    (manager: Awaited<ReturnType<typeof interrupted>>["manager"]) => manager.conversations.delete("c", scope),
  ],
])("ends the readers of tasks whose conversation is %s", async (_, remove) => {
  const { manager, id } = await interrupted();
  const readers = [manager.watchTask(id), manager.subscribeToTask(id)].map(reading);
  const outcomes = Promise.all(readers.map(({ ended }) => ended.catch((error: { reason: string }) => error.reason)));
  await settle();
  expect(await isSettledNow(outcomes)).toBe(false);
  expect(await remove(manager)).toBe(true);
  expect(await outcomes).toEqual(["TASK_NOT_FOUND", "TASK_NOT_FOUND"]);
});

it("never cleans up a conversation that a task holds", async () => {
  const { manager, id } = await interrupted();
  await new Promise((resolve) => setImmediate(resolve));
  const cleanup = create(CleanupExpiredConversationsRequestSchema, { maxAgeMs: 0n });
  expect([await manager.conversations.cleanup(cleanup, scope), await manager.taskExists(id)]).toEqual([0, true]);
});

it("deletes nothing across scopes", async () => {
  const { manager, id } = await interrupted();
  await manager.cancelTask(id);
  const other = callerOf("", "somebody");
  expect([
    await manager.deleteTask(id, other),
    await manager.conversations.delete("c", other),
    await manager.taskExists(id),
  ]).toEqual([false, false, true]);
});

it("holds nothing in memory once all is over: no feed, no timer", async () => {
  const opened = vi.spyOn(TaskHub.prototype, "open");
  const scripted = new ScriptedAgent();
  const { manager, clock, faulty } = await setup(scripted, { options: { maxRunningTasks: 3 } });
  const abort = new AbortController();
  const all: Promise<unknown>[] = [];
  for (let index = 0; index < 20; index++) {
    const streamed = manager.sendStreamingMessage(request("streamed"));
    all.push(
      collected(streamed),
      sent(manager, "sent"),
      manager.sendMessage(request("left"), undefined, { signal: abort.signal }).catch(() => undefined),
    );
  }
  await settle();
  const hub = opened.mock.contexts[0] as TaskHub;
  opened.mockRestore();
  abort.abort();
  faulty.fail({ methods: "getTask", fault: "unavailable", times: 2 });
  all.push(
    ...["a", "b"].map((id) => manager.getTask(id).catch(() => undefined)),
    manager.cancelTask("nope").catch(() => undefined),
  );
  for (let index = 0; index < 60; index++) {
    const turn = await scripted.turn(index);
    await turn.yield(working("x"));
    turn.return();
  }
  await Promise.all(all);
  await settle();
  expect([hub.size, clock.waiting]).toEqual([0, idleTimers]);
});
