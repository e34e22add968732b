import { describe, expect, it, vi } from "vitest";
import { completed, inputRequired, working } from "../../src/agent/processor-events.ts";
import { TaskHub } from "../../src/stream/task-hub.ts";
import { settle } from "../runtime/manual-clock.ts";
import { begun, brief, collected, isSettledNow, ScriptedAgent, sent, setup } from "./fixtures.ts";

describe("closing", () => {
  it("ends an iteration that waits, at once and for good", async () => {
    const scripted = new ScriptedAgent();
    const { manager } = await setup(scripted);
    const { id } = await begun(manager, "go");
    await settle();
    const stream = manager.watchTask(id);
    const waiting = collected(stream);
    expect(await isSettledNow(waiting)).toBe(false);
    await stream.close();
    expect(await waiting).toEqual(["task:WORKING"]);
    expect([stream.closed, await stream[Symbol.asyncIterator]().next()]).toEqual([
      true,
      { done: true, value: undefined },
    ]);
    await stream.close();
    (await scripted.turn()).return();
  });

  it("before, while and after opening leaves nothing behind", async () => {
    const opened = vi.spyOn(TaskHub.prototype, "open");
    const scripted = new ScriptedAgent();
    const { manager, faulty } = await setup(scripted);
    const first = sent(manager, "go");
    await (await scripted.turn()).yield(inputRequired("?"));
    (await scripted.turn()).return();
    const { id } = await first;
    const hub = opened.mock.contexts[0] as TaskHub;
    opened.mockRestore();
    await manager.watchTask(id).close();
    faulty.fail({ methods: "getTask", fault: "held" });
    const streams = [manager.watchTask(id), manager.subscribeToTask(id), manager.watchTask("nope")];
    await settle();
    const ends = streams.map((stream) => collected(stream).catch(() => []));
    await Promise.all(streams.map((stream) => stream.close()));
    faulty.heal();
    faulty.release();
    await Promise.all(ends);
    await settle();
    for await (const _ of manager.watchTask(id)) break;
    expect(hub.size).toBe(0);
  });

  it("lets several calls of next wait at once, as generators do", async () => {
    const scripted = new ScriptedAgent();
    const { manager } = await setup(scripted);
    const { id } = await begun(manager, "go");
    const turn = await scripted.turn();
    await settle();
    const iterator = manager.watchTask(id)[Symbol.asyncIterator]();
    const calls = [1, 2, 3, 4, 5].map(() => iterator.next());
    await settle();
    await turn.yield(working("a"));
    await turn.yield(working("b"));
    await settle();
    await turn.yield(completed("c"));
    const seen = (await Promise.all(calls)).map(({ done, value }) => (done ? "end" : brief(value)));
    expect(seen).toEqual(["task:WORKING", "status:WORKING(a)", "status:WORKING(b)", "status:COMPLETED(c)", "end"]);
  });
});
