import { create } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { ListTasksRequestSchema } from "../../gen/lf/a2a/v1/a2a_pb.ts";
import { completed, inputRequired } from "../../src/agent/processor-events.ts";
import type { TaskManager } from "../../src/manager/task-manager.ts";
import { createMemoryStorage } from "../../src/storage/memory/storage.ts";
import { settle } from "../runtime/manual-clock.ts";
import { FaultyStorage } from "../storage/faulty-storage.ts";
import {
  begun,
  collected,
  expectRefused,
  isSettledNow,
  message,
  reading,
  request,
  ScriptedAgent,
  sent,
  setup,
  stateOf,
} from "./fixtures.ts";

it("tells running turns to drain, waits for them, and leaves no timer behind", async () => {
  const scripted = new ScriptedAgent();
  const { manager, clock } = await setup(scripted);
  const { id } = await begun(manager, "go");
  const turn = await scripted.turn();
  const disposed = manager[Symbol.asyncDispose]();
  await settle();
  expect(turn.told).toBe("draining");
  await turn.yield(completed("just in time"));
  turn.return();
  await disposed;
  await settle();
  expect([clock.waiting, turn.over, typeof id]).toEqual([0, true, "string"]);
});

it("leaves a turn behind that ignores it, once the grace time is over", async () => {
  const scripted = new ScriptedAgent();
  const { manager, clock } = await setup(scripted, { options: { cancelGraceMs: 3_000 } });
  await begun(manager, "go");
  await scripted.turn();
  const disposed = manager[Symbol.asyncDispose]();
  await clock.advance(3_000);
  await disposed;
  expect(clock.waiting).toBe(0);
});

it("keeps what a turn completes meanwhile, and hands the rest to the next server", async () => {
  const faulty = new FaultyStorage(createMemoryStorage());
  const scripted = new ScriptedAgent({ onLost: "resume" });
  const { manager, clock } = await setup(scripted, { faulty });
  const ids = [(await begun(manager, "ends")).id, (await begun(manager, "goes on")).id];
  const [ends, goesOn] = [await scripted.turn(0), await scripted.turn(1)];
  const disposed = manager[Symbol.asyncDispose]();
  await settle();
  await ends.yield(completed("done"));
  goesOn.return();
  await clock.advanceUntil(Promise.resolve(disposed));
  const next = await setup(scripted, { faulty });
  (await scripted.turn(2)).return();
  await settle();
  expect([scripted.turns[2]?.text, scripted.turns[2]?.context.attempt]).toEqual(["goes on", 2]);
  expect(await Promise.all(ids.map(async (id) => stateOf((await next.manager.getTask(id)).task)))).toEqual([
    "COMPLETED",
    "COMPLETED",
  ]);
});

const calls: readonly [string, (manager: TaskManager, id: string) => Promise<unknown>][] = [
  ["sendMessage", (manager) => manager.sendMessage(request("x"))],
  ["sendStreamingMessage", (manager) => collected(manager.sendStreamingMessage(request("x")))],
  ["getTask", (manager, id) => manager.getTask(id)],
  ["listTasks", (manager) => manager.listTasks(create(ListTasksRequestSchema))],
  ["cancelTask", (manager, id) => manager.cancelTask(id)],
  ["subscribeToTask", (manager, id) => collected(manager.subscribeToTask(id))],
  ["watchTask", (manager, id) => collected(manager.watchTask(id))],
  ["getTaskAt", (manager, id) => manager.getTaskAt(id, 1n)],
  ["taskExists", (manager, id) => manager.taskExists(id)],
  ["deleteTask", (manager, id) => manager.deleteTask(id)],
];

it.each(calls)("refuses %s afterwards", async (_, call) => {
  const scripted = new ScriptedAgent();
  const { manager } = await setup(scripted);
  const first = sent(manager, "go");
  (await scripted.turn()).return();
  const { id } = await first;
  await manager[Symbol.asyncDispose]();
  await expectRefused(call(manager, id), "UNAVAILABLE");
  expect(scripted.turns).toHaveLength(1);
});

it("answers those who wait: blocked senders, cancelers and readers", async () => {
  const scripted = new ScriptedAgent();
  const { manager, clock } = await setup(scripted, { options: { maxRunningTasks: 1 } });
  const idle = sent(manager, "asks");
  const asking = await scripted.turn();
  await asking.yield(inputRequired("?"));
  asking.return();
  const { id } = await idle;
  const running = sent(manager, "runs");
  const turn = await scripted.turn(1);
  const waiting = [
    running,
    sent(manager, "queued"),
    sent(manager, message("more", { taskId: turn.context.taskId })),
    reading(manager.subscribeToTask(turn.context.taskId)).ended,
    reading(manager.subscribeToTask(id)).ended,
    reading(manager.watchTask(id)).ended,
  ];
  const outcomes = Promise.all(
    waiting.map((call) =>
      call.then(
        () => "answered",
        (error: { reason: string }) => error.reason,
      ),
    ),
  );
  await settle();
  await clock.advanceUntil(Promise.resolve(manager[Symbol.asyncDispose]()));
  expect(await outcomes).toEqual(waiting.map(() => "UNAVAILABLE"));
});

it("ends in time although the storage never answers, and says so", async () => {
  const faulty = new FaultyStorage(createMemoryStorage());
  const scripted = new ScriptedAgent();
  const { manager, clock, lines } = await setup(scripted, { faulty, options: { cancelGraceMs: 1_000 } });
  const blocked = sent(manager, "go");
  blocked.catch(() => undefined);
  const turn = await scripted.turn();
  await settle();
  faulty.fail({ fault: "held" });
  await turn.yield(completed("never durable"));
  turn.return();
  const disposed = Promise.resolve(manager[Symbol.asyncDispose]());
  await clock.advance(5_999);
  expect(await isSettledNow(disposed)).toBe(false);
  await clock.advance(1);
  await disposed;
  await expectRefused(blocked, "UNAVAILABLE");
  expect(lines.filter(({ level }) => level === "error").map(({ text }) => text)).toEqual([
    "The storage did not answer in time; the task manager closes without it",
  ]);
});

it("waits for a task that is just being made, so that the next server finds it", async () => {
  const storage = createMemoryStorage();
  const faulty = new FaultyStorage(storage);
  const scripted = new ScriptedAgent();
  const { manager, clock } = await setup(scripted, { faulty });
  faulty.fail({ methods: "appendTask", fault: "held", times: 1 });
  const blocked = sent(manager, message("go", { messageId: "once" }));
  blocked.catch(() => undefined);
  await settle();
  const disposed = Promise.resolve(manager[Symbol.asyncDispose]());
  await settle();
  faulty.release();
  await clock.advanceUntil(disposed);
  await expectRefused(blocked, "UNAVAILABLE");
  expect(scripted.turns).toHaveLength(0);
  const next = await setup(scripted, { faulty: new FaultyStorage(storage) });
  (await scripted.turn()).return();
  await settle();
  expect(stateOf(await sent(next.manager, message("go", { messageId: "once" })))).toBe("COMPLETED");
  expect(scripted.turns).toHaveLength(1);
});
