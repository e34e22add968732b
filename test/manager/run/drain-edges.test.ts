import { describe, expect, it } from "vitest";
import type { Message } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { completed, working } from "../../../src/agent/processor-events.ts";
import { createMemoryStorage } from "../../../src/storage/memory/storage.ts";
import { ManualClock, settle } from "../../runtime/manual-clock.ts";
import { FaultyStorage } from "../../storage/faulty-storage.ts";
import { crashed } from "../crash.ts";
import {
  answering,
  begun,
  expectRefused,
  isSettledNow,
  kindsOf,
  logOf,
  message,
  messageIn,
  request,
  ScriptedAgent,
  setup,
  stateOf,
  textsOf,
} from "../fixtures.ts";

describe("a drain, and what is under way when it begins", () => {
  it("ends the look for tasks of dead servers, whose tasks stay for the next one", async () => {
    const { storage } = await crashed(async ({ manager }) => {
      for (let task = 0; task < 3; task++) await begun(manager, "go");
    });
    const faulty = new FaultyStorage(storage);
    const scripted = new ScriptedAgent();
    faulty.fail({ methods: "claimTasks", fault: "held" });
    const { manager, lines } = await setup(scripted, { faulty });
    await settle(5);
    expect(faulty.held).toBe(1);
    const drained = manager.drain(60_000);
    faulty.release();
    await settle(10);
    // It would find the same tasks again and again.
    expect([faulty.held, lines.filter(({ text }) => text.startsWith("Took over"))]).toEqual([0, []]);
    await drained;
    await manager[Symbol.asyncDispose]();
    faulty.heal();
    await setup(scripted, { faulty });
    await settle(5);
    expect((await faulty.storage.listRunners({ limit: 10 })).length).toBe(0);
  });

  it("lets the agent answer a message, as it lets turns end", async () => {
    const { promise: thought, resolve: answer } = Promise.withResolvers<Message>();
    let told = false;
    const { manager } = await setup(
      answering(({ signal }) => {
        signal.addEventListener("abort", () => (told = true));
        return thought;
      }),
    );
    const sending = manager.sendMessage(request("hello"));
    await settle();
    const drained = manager.drain(60_000);
    expect([await isSettledNow(drained), told]).toEqual([false, false]);
    answer(message("hi"));
    expect(textsOf([messageIn(await sending)])).toEqual(["hi"]);
    await drained;
  });

  it("ends the wait for an answer when its time is over", async () => {
    const { manager, clock } = await setup(answering(() => new Promise(() => {})));
    const sending = manager.sendMessage(request("hello"));
    const refused = expectRefused(sending, "UNAVAILABLE");
    await settle();
    const drained = manager.drain(1_000);
    await clock.advance(1_000);
    await drained;
    await manager[Symbol.asyncDispose]();
    await refused;
    expect(clock.waiting).toBe(0);
  });

  it("answers a cancel that became durable only when the turn had been told to end", async () => {
    const scripted = new ScriptedAgent();
    const { manager, faulty, clock } = await setup(scripted);
    const { id } = await begun(manager, "go");
    const turn = await scripted.turn();
    await settle();
    const drained = manager.drain(1_000);
    faulty.fail({ methods: "appendTask", fault: "held", times: 1 });
    const canceled = manager.cancelTask(id);
    await settle();
    await clock.advance(1_000);
    await drained;
    const disposed = manager[Symbol.asyncDispose]();
    await settle();
    expect(turn.told).toBe("draining");
    faulty.release();
    turn.return();
    expect(stateOf(await canceled)).toBe("CANCELED");
    await disposed;
    expect(kindsOf(await logOf(faulty, id)).slice(-2)).toEqual(["cancelRequested", "status:CANCELED"]);
  });

  it("begins no turn even if running ones get no time", async () => {
    const scripted = new ScriptedAgent();
    const { manager } = await setup(scripted, { options: { maxRunningTasks: 1 } });
    await begun(manager, "runs");
    const { id: queued } = await begun(manager, "queued");
    await manager.drain(0);
    (await scripted.turn()).return();
    await settle(5);
    expect([scripted.turns.length, stateOf((await manager.getTask(queued)).task)]).toEqual([1, "SUBMITTED"]);
  });

  it("is over when the task manager is disposed of, also over a storage that doesn't answer", async () => {
    const scripted = new ScriptedAgent();
    const { manager, faulty, clock } = await setup(scripted);
    await begun(manager, "go");
    const turn = await scripted.turn();
    await settle();
    faulty.fail({ methods: "appendTask", fault: "held" });
    const drained = manager.drain(Number.POSITIVE_INFINITY);
    void turn.yield(completed("done"));
    turn.return();
    await settle();
    await clock.advanceUntil(Promise.resolve(manager[Symbol.asyncDispose]()));
    expect(await isSettledNow(drained)).toBe(true);
    faulty.heal();
    faulty.release();
    await settle(10);
    expect(clock.waiting).toBe(0);
  });
});

it("a turn that had shown something in an earlier run is not untouched in a later one", async () => {
  const faulty = new FaultyStorage(createMemoryStorage());
  const clock = new ManualClock();
  const resuming = new ScriptedAgent({ onLost: "resume" });
  const first = await setup(resuming, { faulty, clock });
  const { id } = await begun(first.manager, "go");
  await (await resuming.turn()).yield(working("so far"));
  await clock.advanceUntil(Promise.resolve(first.manager[Symbol.asyncDispose]()));
  const second = await setup(resuming, { faulty, clock });
  expect((await resuming.turn(1)).context.attempt).toBe(2);
  await clock.advanceUntil(Promise.resolve(second.manager[Symbol.asyncDispose]()));
  // The next release of the agent declares nothing any more.
  const third = await setup(new ScriptedAgent({ onLost: "undeclared" }), { faulty, clock });
  await settle(5);
  expect(stateOf((await third.manager.getTask(id)).task)).toBe("FAILED");
});

it("a server that leaves while the next one watches it is not watched any longer", async () => {
  const faulty = new FaultyStorage(createMemoryStorage());
  const clock = new ManualClock();
  await faulty.storage.register("leaves");
  clock.after(400, () => void faulty.storage.deregister("leaves"));
  const begunMs = clock.monotonic();
  await setup(new ScriptedAgent(), { faulty, clock });
  expect(clock.monotonic() - begunMs).toBeLessThanOrEqual(500);
});
