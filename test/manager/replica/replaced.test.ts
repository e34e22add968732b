import { describe, expect, it } from "vitest";
import { createTaskManager } from "../../../src/manager/task-manager.ts";
import { ManualClock, settle } from "../../runtime/manual-clock.ts";
import { crashed, restarted } from "../crash.ts";
import { begun, expectRefused, ScriptedAgent, sent, stateOf } from "../fixtures.ts";

const never = new AbortController().signal;
const beatMs = 1_000;

describe("a server that was paused while another took its database over", () => {
  async function replaced() {
    let id = "";
    const { storage, first, agent } = await crashed(async ({ manager }, before) => {
      id = (await begun(manager, "go")).id;
      await before.turn();
    });
    const second = await restarted(storage, new ScriptedAgent());
    const told = first.manager.readiness.changed(never);
    await first.clock.advance(beatMs);
    await told;
    return { id, storage, first, agent, second };
  }

  it("a replaced server notices at its first heartbeat, and takes no more work", async () => {
    const { first, agent } = await replaced();
    expect(first.manager.readiness.state).toBe("replaced");
    await expectRefused(sent(first.manager, "more"), "UNAVAILABLE");
    expect(first.lines.filter(({ level }) => level === "error").map(({ text }) => text)).toEqual([
      expect.stringMatching(/^Another server has taken over this database/),
    ]);
    expect((await agent.turn()).context.signal.aborted).toBe(true);
    // Going down changes nothing about why.
    await first.clock.advanceUntil(Promise.resolve(first.manager[Symbol.asyncDispose]()));
    expect(first.manager.readiness.state).toBe("replaced");
  });

  it("a replaced server leaves the database to the other one", async () => {
    const { id, storage, first, second } = await replaced();
    await first.clock.advanceUntil(Promise.resolve(first.manager[Symbol.asyncDispose]()));
    expect(await storage.listReplicas()).toHaveLength(1);
    await second.clock.advance(10 * beatMs);
    expect(second.manager.readiness.state).toBe("ready");
    expect(stateOf((await second.manager.getTask(id)).task)).toBe("FAILED");
    await settle();
    expect(first.clock.waiting).toBe(0);
  });
});

it("a server that is replaced while it still starts does not start", async () => {
  const { storage } = await crashed(async () => {});
  const clock = new ManualClock();
  const starting = createTaskManager(new ScriptedAgent(), storage, {}, { clock, newId: () => "late" }).catch(
    (error: unknown) => error,
  );
  await settle();
  await storage.deregister("late");
  expect(await clock.advanceUntil(starting)).toMatchObject({
    reason: "UNAVAILABLE",
    message: expect.stringContaining("while it started"),
  });
  expect(await storage.listReplicas()).toHaveLength(1);
  await settle();
  expect(clock.waiting).toBe(0);
});
