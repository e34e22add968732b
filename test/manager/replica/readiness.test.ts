import { describe, expect, it } from "vitest";
import { ReadinessTracker, storageSilenceMs } from "../../../src/manager/replica/readiness.ts";
import { createTaskManager } from "../../../src/manager/task-manager.ts";
import { createMemoryStorage } from "../../../src/storage/memory/storage.ts";
import { ManualClock, settle } from "../../runtime/manual-clock.ts";
import { FaultyStorage } from "../../storage/faulty-storage.ts";
import { isSettledNow, ScriptedAgent, setup } from "../fixtures.ts";

const never = new AbortController().signal;

describe("a task manager", () => {
  it("is ready from its start on, for as long as the storage answers", async () => {
    const { manager, clock } = await setup(new ScriptedAgent());
    expect(manager.readiness.state).toBe("ready");
    await clock.advance(10 * storageSilenceMs);
    expect(manager.readiness.state).toBe("ready");
  });

  it.each([
    "held",
    "unavailable",
  ] as const)("isn't once the storage has not answered for 10 s (%s), and is at its next answer", async (fault) => {
    const { manager, clock, faulty } = await setup(new ScriptedAgent());
    faulty.fail({ methods: "heartbeat", fault });
    const silent = manager.readiness.changed(never);
    await clock.advance(storageSilenceMs - 1_001);
    expect([manager.readiness.state, await isSettledNow(silent)]).toEqual(["ready", false]);
    await clock.advance(1_001);
    expect(manager.readiness.state).toBe("storage-silent");
    await silent;
    const again = manager.readiness.changed(never);
    faulty.heal();
    faulty.release();
    await clock.advanceUntil(again);
    expect(manager.readiness.state).toBe("ready");
  });

  it("isn't at the first heartbeat after the database was removed, and is when it has come back", async () => {
    const { manager, clock, faulty } = await setup(new ScriptedAgent());
    faulty.fail({ methods: "heartbeat", fault: "lost", times: 1 });
    const beats = faulty.callsOf("heartbeat").length;
    await clock.advanceUntil(manager.readiness.changed(never));
    expect(manager.readiness.state).toBe("storage-lost");
    expect(faulty.callsOf("heartbeat")).toHaveLength(beats + 1);
    await clock.advanceUntil(manager.readiness.changed(never));
    expect(manager.readiness.state).toBe("ready");
    expect(faulty.callsOf("heartbeat")).toHaveLength(beats + 2);
  });

  it("is never ready again once it goes down, and leaves no timer", async () => {
    const clock = new ManualClock();
    const faulty = new FaultyStorage(createMemoryStorage());
    const manager = await createTaskManager(new ScriptedAgent(), faulty.storage, {}, { clock });
    const told = manager.readiness.changed(never);
    const closed = manager[Symbol.asyncDispose]();
    expect(manager.readiness.state).toBe("draining");
    await told;
    await closed;
    await settle();
    expect([manager.readiness.state, clock.waiting]).toEqual(["draining", 0]);
  });
});

describe("who waits for a change", () => {
  it("can be told not to wait any longer", async () => {
    const tracker = new ReadinessTracker(new ManualClock());
    const abort = new AbortController();
    const waiting = tracker.changed(abort.signal);
    expect(await isSettledNow(waiting)).toBe(false);
    abort.abort();
    await waiting;
    await tracker.changed(abort.signal);
  });
});
