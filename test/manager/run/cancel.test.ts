import { describe, expect, it } from "vitest";
import { artifact, completed, inputRequired, working } from "../../../src/agent/processor-events.ts";
import { settle } from "../../runtime/manual-clock.ts";
import {
  begun,
  expectRefused,
  idleTimers,
  isSettledNow,
  kindsOf,
  logOf,
  message,
  reading,
  ScriptedAgent,
  sent,
  setup,
  stateOf,
} from "../fixtures.ts";

async function running(options = {}) {
  const scripted = new ScriptedAgent();
  const all = await setup(scripted, { options });
  const task = await begun(all.manager, "go");
  const turn = await scripted.turn();
  return { ...all, scripted, id: task.id, turn };
}

describe("a running task", () => {
  it("the agent of a canceled task gets the signal, may yield last events in its grace time, and the task ends CANCELED (R55)", async () => {
    const { manager, faulty, id, turn } = await running();
    const canceled = manager.cancelTask(id, undefined, { metadata: { why: "test" } });
    await settle();
    expect([turn.told, await isSettledNow(canceled)]).toEqual(["canceled", false]);
    await turn.yield(artifact({ artifactId: "last", parts: [{ content: { case: "text", value: "x" } }] }));
    turn.return();
    const { task } = await canceled;
    expect([stateOf(task), task.artifacts.map(({ artifactId }) => artifactId)]).toEqual(["CANCELED", ["last"]]);
    expect(kindsOf(await logOf(faulty, id)).slice(-3)).toEqual([
      "cancelRequested",
      "artifactUpdate",
      "status:CANCELED",
    ]);
  });

  it("the agent gets the signal only after the cancel is durable", async () => {
    const { manager, faulty, id, turn } = await running();
    await settle();
    faulty.fail({ methods: "appendTask", fault: "held", times: 1 });
    const canceled = manager.cancelTask(id);
    await settle();
    expect([faulty.held, turn.told]).toEqual([1, undefined]);
    faulty.release();
    await settle();
    expect(turn.told).toBe("canceled");
    turn.return();
    expect(stateOf(await canceled)).toBe("CANCELED");
  });

  it("an agent that ignores the signal is abandoned after the grace time, and nothing it yields is taken any more", async () => {
    const { manager, faulty, clock, id, turn } = await running({ cancelGraceMs: 2_000 });
    const canceled = manager.cancelTask(id);
    await clock.advance(1_999);
    expect(await isSettledNow(canceled)).toBe(false);
    await clock.advance(1);
    expect(stateOf(await canceled)).toBe("CANCELED");
    const before = await logOf(faulty, id);
    turn.yield(working("too late")).catch(() => undefined);
    await expect(turn.context.step("late", async () => 1)).rejects.toThrow();
    await settle();
    expect(await logOf(faulty, id)).toEqual(before);
    expect(clock.waiting).toBe(idleTimers);
  });

  it("a task that completes in its grace time stays COMPLETED, and the cancel is refused (R56)", async () => {
    const { manager, id, turn } = await running();
    const canceled = manager.cancelTask(id);
    await settle();
    await turn.yield(completed("made it"));
    await expectRefused(canceled, "TASK_NOT_CANCELABLE");
    expect(stateOf((await manager.getTask(id)).task)).toBe("COMPLETED");
    turn.return();
  });

  it.each([
    ["throws", (turn: { throw(error: unknown): void }) => turn.throw(new Error("aborted"))],
    ["returns", (turn: { return(): void }) => turn.return()],
  ])("a task whose agent %s after the signal is CANCELED, not FAILED or COMPLETED", async (_, end) => {
    const { manager, id, turn } = await running();
    const canceled = manager.cancelTask(id);
    await settle();
    end(turn);
    expect(stateOf(await canceled)).toBe("CANCELED");
  });

  it("a task is canceled once, however often cancel is called meanwhile (R57)", async () => {
    const { manager, faulty, id, turn } = await running();
    const all = [manager.cancelTask(id), manager.cancelTask(id), (await manager.getTask(id)).cancel()];
    await settle();
    turn.return();
    expect((await Promise.all(all)).map(stateOf)).toEqual(["CANCELED", "CANCELED", "CANCELED"]);
    const kinds = kindsOf(await logOf(faulty, id));
    expect([
      kinds.filter((kind) => kind === "cancelRequested").length,
      kinds.filter((kind) => kind === "status:CANCELED").length,
    ]).toEqual([1, 1]);
  });

  it("a task that is being canceled takes no message", async () => {
    const { manager, id, turn } = await running();
    const canceled = manager.cancelTask(id);
    await expectRefused(sent(manager, message("more", { taskId: id })), "UNSUPPORTED_OPERATION");
    turn.return();
    expect(stateOf(await canceled)).toBe("CANCELED");
  });

  it("a task canceled as its turn returns is either CANCELED or not cancelable, never both", async () => {
    for (let delay = 0; delay < 30; delay++) {
      const { manager, faulty, id, turn } = await running();
      turn.return();
      for (let tick = 0; tick < delay; tick++) await Promise.resolve();
      const outcome = await manager.cancelTask(id).then(stateOf, (error: { reason: string }) => error.reason);
      const kinds = kindsOf(await logOf(faulty, id));
      const state = outcome === "TASK_NOT_CANCELABLE" ? "status:COMPLETED" : "status:CANCELED";
      expect([["CANCELED", "TASK_NOT_CANCELABLE"].includes(outcome), kinds.at(-1)]).toEqual([true, state]);
    }
  });

  it("a cancel wakes blocked senders and readers", async () => {
    const scripted = new ScriptedAgent();
    const { manager } = await setup(scripted);
    const blocked = sent(manager, "go");
    const turn = await scripted.turn();
    const { taskId } = turn.context;
    const waiting = sent(manager, message("later", { taskId }));
    const reader = reading(manager.subscribeToTask(taskId));
    await settle();
    const canceled = manager.cancelTask(taskId);
    await settle();
    turn.return();
    await canceled;
    expect([await blocked, await waiting].map(stateOf)).toEqual(["CANCELED", "CANCELED"]);
    await reader.ended;
    expect(reader.seen.at(-1)).toBe("status:CANCELED");
    expect(scripted.turns).toHaveLength(1);
  });
});

it("cancels a task that waits for its place at once, and it never runs", async () => {
  const { manager, scripted, turn } = await running({ maxRunningTasks: 1 });
  const queued = await begun(manager, "second");
  expect(stateOf(queued)).toBe("SUBMITTED");
  expect(stateOf(await manager.cancelTask(queued.id))).toBe("CANCELED");
  turn.return();
  await settle();
  const third = sent(manager, "third");
  const next = await scripted.turn(1);
  expect(next.text).toBe("third");
  next.return();
  await third;
});

it("cancels a task that waits for input at once", async () => {
  const { manager, id, turn } = await running();
  await turn.yield(inputRequired("?"));
  turn.return();
  await settle();
  const reader = reading(manager.subscribeToTask(id));
  await settle();
  expect(stateOf(await manager.cancelTask(id))).toBe("CANCELED");
  await reader.ended;
});

it("joins a cancel that is under way, also where no turn runs and at its very end (R57)", async () => {
  const waits = await running();
  await waits.turn.yield(inputRequired("?"));
  waits.turn.return();
  await settle();
  const { manager, id } = waits;
  expect((await Promise.all([manager.cancelTask(id), manager.cancelTask(id)])).map(stateOf)).toEqual([
    "CANCELED",
    "CANCELED",
  ]);

  const ends = await running();
  const first = ends.manager.cancelTask(ends.id);
  await settle();
  ends.faulty.fail({ methods: "appendTask", fault: "held" });
  ends.turn.return();
  await settle();
  const second = ends.manager.cancelTask(ends.id);
  await settle();
  ends.faulty.release();
  expect((await Promise.all([first, second])).map(stateOf)).toEqual(["CANCELED", "CANCELED"]);
});

it("refuses a task that has ended, CANCELED included, and one that doesn't exist (R56)", async () => {
  const { manager, id, turn } = await running();
  const canceled = manager.cancelTask(id);
  await settle();
  turn.return();
  expect(stateOf(await canceled)).toBe("CANCELED");
  await expectRefused(manager.cancelTask(id), "TASK_NOT_CANCELABLE");
  await expectRefused(manager.cancelTask("nope"), "TASK_NOT_FOUND");
});

it("ends the wait for a cancel with the caller's signal, and the cancel goes on", async () => {
  const { manager, id, turn } = await running();
  const abort = new AbortController();
  const canceled = manager.cancelTask(id, undefined, { signal: abort.signal });
  await settle();
  abort.abort(new Error("deadline"));
  await expect(canceled).rejects.toThrow("deadline");
  turn.return();
  await settle();
  expect(stateOf((await manager.getTask(id)).task)).toBe("CANCELED");
});

it("is refused with metadata larger than an event may be, and does the task no harm", async () => {
  const { manager, id, turn } = await running({ maxEventBytes: 4096 });
  await expectRefused(manager.cancelTask(id, undefined, { metadata: { why: "x".repeat(5_000) } }), "TOO_LARGE");
  await settle();
  expect(turn.told).toBeUndefined();
  turn.return();
  await settle();
  expect(stateOf((await manager.getTask(id)).task)).toBe("COMPLETED");
});
