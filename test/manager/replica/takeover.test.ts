import { describe, expect, it } from "vitest";
import { inputRequired } from "../../../src/agent/processor-events.ts";
import { settle } from "../../runtime/manual-clock.ts";
import { FaultyStorage } from "../../storage/faulty-storage.ts";
import { crashed } from "../crash.ts";
import { begun, expectRefused, isSettledNow, message, ScriptedAgent, sent, setup, stateOf } from "../fixtures.ts";

describe("a call that comes before a task was taken over", () => {
  async function unrecovered(agent: ScriptedAgent) {
    let id = "";
    const { storage } = await crashed(async ({ manager }, before) => {
      id = (await begun(manager, "one")).id;
      await before.turn();
    });
    const faulty = new FaultyStorage(storage);
    faulty.fail({ methods: "claimTasks", fault: "held" });
    const second = await setup(agent, { faulty });
    return { ...second, id };
  }

  it("a message to a turn that was cut off waits for it to be run again", async () => {
    const agent = new ScriptedAgent({ onLost: "resume" });
    const { manager, faulty, id } = await unrecovered(agent);
    const answer = sent(manager, message("two", { taskId: id }));
    await settle();
    faulty.heal();
    faulty.release();
    await settle();
    const first = await agent.turn();
    expect([first.text, first.context.attempt]).toEqual(["one", 2]);
    first.return();
    (await agent.turn(1)).return();
    expect(stateOf(await answer)).toBe("COMPLETED");
    expect(agent.turns).toHaveLength(2);
  });

  it("a message to a turn that was cut off for good is refused, and the task FAILED", async () => {
    const agent = new ScriptedAgent();
    const { manager, faulty, id } = await unrecovered(agent);
    await expectRefused(sent(manager, message("two", { taskId: id })), "UNSUPPORTED_OPERATION");
    faulty.heal();
    faulty.release();
    await settle();
    expect([stateOf((await manager.getTask(id)).task), agent.turns.length]).toEqual(["FAILED", 0]);
  });

  it("a cancel cancels", async () => {
    const { manager, id } = await unrecovered(new ScriptedAgent());
    expect(stateOf(await manager.cancelTask(id))).toBe("CANCELED");
  });

  it("taking over leaves alone what runs here by then", async () => {
    let id = "";
    const { storage } = await crashed(async ({ manager }, before) => {
      id = (await begun(manager, "one")).id;
      const turn = await before.turn();
      await turn.yield(inputRequired("?"));
      turn.return();
      // Accepted, and the server died before its turn began.
      await settle();
    });
    const faulty = new FaultyStorage(storage);
    faulty.fail({ methods: "claimTasks", fault: "answer-held" });
    const agent = new ScriptedAgent();
    const { manager } = await setup(agent, { faulty });
    const answer = sent(manager, message("two", { taskId: id }));
    const turn = await agent.turn();
    faulty.heal();
    faulty.release();
    await settle();
    expect([turn.told, await isSettledNow(answer)]).toEqual([undefined, false]);
    turn.return();
    expect(stateOf(await answer)).toBe("COMPLETED");
  });

  it("doesn't run the agent before the takeover is durable", async () => {
    let id = "";
    const { storage } = await crashed(async ({ manager }, before) => {
      id = (await begun(manager, "one")).id;
      const turn = await before.turn();
      await turn.yield(inputRequired("?"));
      turn.return();
    });
    const faulty = new FaultyStorage(storage);
    const agent = new ScriptedAgent();
    const { manager } = await setup(agent, { faulty });
    faulty.fail({ methods: "appendTask", fault: "held", times: 1 });
    const answer = sent(manager, message("two", { taskId: id }));
    await settle();
    expect([faulty.held, agent.turns.length]).toEqual([1, 0]);
    faulty.release();
    (await agent.turn()).return();
    expect(stateOf(await answer)).toBe("COMPLETED");
  });
});
