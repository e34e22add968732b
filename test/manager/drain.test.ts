import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { ListTasksRequestSchema } from "../../gen/lf/a2a/v1/a2a_pb.ts";
import { completed, inputRequired, working } from "../../src/agent/processor-events.ts";
import { createMemoryStorage } from "../../src/storage/memory/storage.ts";
import { settle } from "../runtime/manual-clock.ts";
import { FaultyStorage } from "../storage/faulty-storage.ts";
import {
  begun,
  expectRefused,
  isSettledNow,
  kindsOf,
  logOf,
  message,
  reading,
  request,
  ScriptedAgent,
  sent,
  setup,
  silent,
  stateOf,
  statusText,
} from "./fixtures.ts";

describe("a task manager that drains", () => {
  it("lets a running turn end, with its stream and the calls that wait for it", async () => {
    const scripted = new ScriptedAgent();
    const { manager, clock } = await setup(scripted);
    const blocked = sent(manager, "go");
    const turn = await scripted.turn();
    const { taskId } = turn.context;
    const watch = reading(manager.watchTask(taskId));
    const drained = manager.drain(60_000);
    await clock.advance(59_000);
    expect([await isSettledNow(drained), turn.told, manager.readiness.state]).toEqual([false, undefined, "draining"]);
    await turn.yield(working("nearly"));
    await turn.yield(completed("done"));
    turn.return();
    await drained;
    expect(stateOf(await blocked)).toBe("COMPLETED");
    await watch.ended;
    expect(watch.seen.slice(-2)).toEqual(["status:WORKING(nearly)", "status:COMPLETED(done)"]);
    await manager[Symbol.asyncDispose]();
    expect(clock.waiting).toBe(0);
  });

  it("takes no message, begins no turn, and still answers everything else", async () => {
    const scripted = new ScriptedAgent();
    const { manager } = await setup(scripted, { options: { maxRunningTasks: 1 } });
    const asked = sent(manager, "asks");
    await (await scripted.turn()).yield(inputRequired("?"));
    (await scripted.turn()).return();
    const { id: waiting } = await asked;
    const { id: running } = await begun(manager, "runs");
    const turn = await scripted.turn(1);
    const { id: queued } = await begun(manager, "queued");
    await begun(manager, message("follows", { taskId: running }));
    const drained = manager.drain(60_000);
    await expectRefused(manager.sendMessage(request("new")), "UNAVAILABLE");
    await expectRefused(manager.sendMessage(request(message("answer", { taskId: waiting }))), "UNAVAILABLE");
    expect(stateOf((await manager.getTask(queued)).task)).toBe("SUBMITTED");
    expect((await manager.listTasks(create(ListTasksRequestSchema))).tasks).toHaveLength(3);
    expect(stateOf(await manager.cancelTask(waiting))).toBe("CANCELED");
    turn.return();
    await drained;
    await settle();
    expect(scripted.turns).toHaveLength(2);
  });

  it("cancels a turn that runs", async () => {
    const scripted = new ScriptedAgent();
    const { manager } = await setup(scripted);
    const { id } = await begun(manager, "go");
    const turn = await scripted.turn();
    const drained = manager.drain(60_000);
    const canceled = manager.cancelTask(id);
    await settle();
    expect(turn.told).toBe("canceled");
    turn.return();
    expect(stateOf(await canceled)).toBe("CANCELED");
    await drained;
  });

  it("goes on when the time is over, and its end aborts the turns that are left", async () => {
    const scripted = new ScriptedAgent();
    const { manager, clock } = await setup(scripted);
    await begun(manager, "go");
    const turn = await scripted.turn();
    const drained = manager.drain(15_000);
    await clock.advance(15_000);
    await drained;
    expect(turn.told).toBe(undefined);
    const disposed = manager[Symbol.asyncDispose]();
    await settle();
    expect(turn.told).toBe("draining");
    turn.return();
    await disposed;
  });

  it("ends at once when nothing runs, and without time for turns", async () => {
    const scripted = new ScriptedAgent();
    const idle = await setup(scripted);
    await idle.manager.drain(60_000);
    expect(idle.manager.readiness.state).toBe("draining");
    const busy = await setup(scripted);
    await begun(busy.manager, "go");
    await scripted.turn();
    await busy.manager.drain(0);
    await expectRefused(busy.manager.sendMessage(request("new")), "UNAVAILABLE");
  });

  it("creates no turn from a message that was on its way in; the next server runs its task", async () => {
    const faulty = new FaultyStorage(createMemoryStorage());
    const scripted = new ScriptedAgent();
    const { manager } = await setup(scripted, { faulty });
    faulty.fail({ methods: ["appendTask"], fault: "held", times: 1 });
    const created = begun(manager, "go");
    await settle();
    expect(faulty.held).toBe(1);
    const drained = manager.drain(60_000);
    faulty.release();
    await drained;
    const { id } = await created;
    await manager[Symbol.asyncDispose]();
    expect([scripted.turns.length, kindsOf(await logOf(faulty, id))]).toEqual([0, ["created"]]);
    const next = await setup(scripted, { faulty });
    (await scripted.turn()).return();
    await settle();
    expect(stateOf((await next.manager.getTask(id)).task)).toBe("COMPLETED");
  });
});

/** A server that ends in the first turn of a task, after `prepare`, and the one that is started then. */
async function shutDown(
  onLost: "fail" | "resume" | "undeclared",
  prepare: (turn: Awaited<ReturnType<ScriptedAgent["turn"]>>) => Promise<unknown>,
) {
  const faulty = new FaultyStorage(createMemoryStorage());
  const scripted = new ScriptedAgent({ onLost });
  const first = await setup(scripted, { faulty });
  const { id } = await begun(first.manager, "go");
  const turn = await scripted.turn();
  await settle();
  await prepare(turn);
  await first.clock.advanceUntil(Promise.resolve(first.manager[Symbol.asyncDispose]()));
  const begunMs = first.clock.monotonic();
  const second = await setup(scripted, { faulty, clock: first.clock });
  await settle(5);
  // A server that was shut down leaves nothing to wait for.
  expect(first.clock.monotonic()).toBe(begunMs);
  const { task } = await second.manager.getTask(id);
  return { task, again: scripted.turns[1], kinds: kindsOf(await logOf(faulty, id)) };
}

const failedByShutdown = [
  "FAILED",
  "The server was shut down while the agent worked on this task",
  { "a2a-task-manager/reason": "SERVER_SHUTDOWN" },
  undefined,
];

const nothing = async () => {};
const shows = (turn: { yield: ScriptedTurn["yield"] }) => turn.yield(working("so far"));
type ScriptedTurn = Awaited<ReturnType<ScriptedAgent["turn"]>>;
const step = (turn: ScriptedTurn) => {
  turn.context.step("never ends", () => new Promise<null>(() => {})).catch(() => undefined);
  return settle();
};

describe("a turn that a shutdown cut off", () => {
  it.each([
    ["that had shown nothing runs again if its agent declares nothing", "undeclared", nothing, true],
    ["that had shown something fails if its agent declares nothing", "undeclared", shows, false],
    ["that had begun a step fails if its agent declares nothing", "undeclared", step, false],
    ["that had shown nothing fails if its agent declares so", "fail", nothing, false],
    ["that had shown something runs again if its agent declares so", "resume", shows, true],
  ] as const)("%s", async (_, onLost, prepare, runsAgain) => {
    const { task, again, kinds } = await shutDown(onLost, prepare);
    expect(kinds).toContain("turnStopped");
    expect([stateOf(task), statusText(task), task.status?.message?.metadata, again?.context.attempt]).toEqual(
      runsAgain ? ["WORKING", prepare === shows ? "so far" : "", undefined, 2] : failedByShutdown,
    );
  });

  it("runs as the same attempt if the agent was not called", async () => {
    const faulty = new FaultyStorage(createMemoryStorage());
    const scripted = new ScriptedAgent();
    const { manager } = await setup(scripted, { faulty });
    const { id } = await begun(manager, "one");
    const turn = await scripted.turn();
    await begun(manager, message("two", { taskId: id }));
    const disposed = manager[Symbol.asyncDispose]();
    await settle();
    // The end of the first turn and the beginning of the second are one append.
    await turn.yield(completed("done"));
    turn.return();
    await disposed;
    expect(scripted.turns).toHaveLength(1);
    const next = await setup(scripted, { faulty });
    const second = await scripted.turn(1);
    expect([second.text, second.context.attempt]).toEqual(["two", 1]);
    second.return();
    await settle();
    expect(stateOf((await next.manager.getTask(id)).task)).toBe("COMPLETED");
  });
});

describe("a message that kills its process", () => {
  it("is given up after so many failures, with waits before the later runs", async () => {
    const faulty = new FaultyStorage(createMemoryStorage());
    let runs = 0;
    // A process that dies: its clock stands still, and nothing of its turn arrives any more.
    const deadly = () =>
      silent(
        () => {
          runs++;
          return new Promise(() => {});
        },
        { onLost: "resume" },
      );
    let { manager, clock } = await setup(deadly(), { faulty });
    const { id } = await begun(manager, "go");
    await settle();
    const waitsMs: number[] = [];
    for (let failures = 1; failures <= 5; failures++) {
      const before = runs;
      ({ manager, clock } = await setup(deadly(), { faulty }));
      await settle(5);
      const begunMs = clock.monotonic();
      while (runs === before && stateOf((await manager.getTask(id)).task) === "WORKING") await clock.advance(100);
      waitsMs.push(clock.monotonic() - begunMs);
    }
    const { task } = await manager.getTask(id);
    expect([runs, stateOf(task), statusText(task), task.status?.message?.metadata]).toEqual([
      5,
      "FAILED",
      "The server failed 5 times while the agent worked on this task",
      { "a2a-task-manager/reason": "TOO_MANY_ATTEMPTS" },
    ]);
    // The first run after a failure begins at once; each wait has some jitter.
    const [first = 0, second = 0, third = 0, fourth = 0, gaveUp = 0] = waitsMs;
    expect([first, gaveUp].every((waitMs) => waitMs <= 100)).toBe(true);
    expect([second >= 500, third >= 1000, fourth >= 2000, fourth <= 4_100]).toEqual([true, true, true, true]);
  });
});
