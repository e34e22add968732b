import { describe, expect, it } from "vitest";
import { working } from "../../../src/agent/processor-events.ts";
import { settle } from "../../runtime/manual-clock.ts";
import {
  begun,
  expectRefused,
  idleTimers,
  kindsOf,
  logOf,
  message,
  reading,
  ScriptedAgent,
  sent,
  setup,
  stateOf,
  statusText,
} from "../fixtures.ts";

describe("a task whose making was never confirmed", () => {
  it("is made once, and run once, where a later try tells", async () => {
    const scripted = new ScriptedAgent();
    const { manager, faulty, clock } = await setup(scripted);
    faulty.fail({ methods: "appendTask", fault: "executed-unknown", times: 1 });
    faulty.fail({ methods: "appendTask", fault: "unavailable", times: 3 });
    const answer = sent(manager, "go");
    const turn = await clock.advanceUntil(scripted.turn());
    turn.return();
    expect(stateOf(await answer)).toBe("COMPLETED");
    expect([scripted.turns.length, (await faulty.storage.getConversationStats()).totalConversations]).toEqual([1, 1]);
  });

  it("is refused after 10 s; the same message, sent again at once, joins it", async () => {
    const scripted = new ScriptedAgent();
    const { manager, faulty, clock } = await setup(scripted);
    faulty.fail({ methods: "appendTask", fault: "executed-unknown", times: 1 });
    faulty.fail({ methods: "appendTask", fault: "unavailable" });
    const once = message("go");
    const refused = sent(manager, once);
    await expectRefused(clock.advanceUntil(refused, 15_000 + 5_000), "UNAVAILABLE");
    faulty.heal();
    const answer = sent(manager, once);
    (await scripted.turn()).return();
    expect(stateOf(await answer)).toBe("COMPLETED");
    expect([scripted.turns.length, (await faulty.storage.getConversationStats()).totalConversations]).toEqual([1, 1]);
  });
});

describe("a running task whose storage is away for longer than its appends are tried", () => {
  async function lost(agent: ScriptedAgent) {
    const all = await setup(agent);
    const { id } = await begun(all.manager, "go");
    const turn = await agent.turn();
    await settle();
    const blocked = sent(all.manager, message("go on", { taskId: id })).catch(
      (error: { reason: string }) => error.reason,
    );
    await settle();
    all.faulty.fail({ fault: "unavailable" });
    await turn.yield(working("unheard"));
    await all.clock.advance(130_000);
    return { ...all, id, turn, blocked };
  }

  it("tells the turn that it is lost, and those who wait that the storage is away", async () => {
    const { turn, blocked } = await lost(new ScriptedAgent());
    expect([turn.told, await blocked]).toEqual(["lost", "UNAVAILABLE"]);
  });

  it("ends the task by itself once the storage is back, with an honest reason", async () => {
    const { manager, faulty, clock, id } = await lost(new ScriptedAgent());
    faulty.heal();
    const reader = reading(manager.watchTask(id));
    await clock.advance(10_000);
    await reader.ended;
    const { task } = await manager.getTask(id);
    expect([stateOf(task), statusText(task)]).toEqual([
      "FAILED",
      "The storage failed while the agent worked on this task",
    ]);
    expect(clock.waiting).toBe(idleTimers);
  });

  it("runs the turn again where the agent can, then what waited", async () => {
    const agent = new ScriptedAgent({ onLost: "resume" });
    const { manager, faulty, clock, id } = await lost(agent);
    faulty.heal();
    await clock.advance(10_000);
    const again = await agent.turn(1);
    expect([again.text, again.context.attempt]).toEqual(["go", 2]);
    again.return();
    (await agent.turn(2)).return();
    await settle();
    expect(stateOf((await manager.getTask(id)).task)).toBe("COMPLETED");
    expect(kindsOf(await logOf(faulty, id)).filter((kind) => kind === "status:COMPLETED")).toHaveLength(1);
  });

  it("can be canceled as soon as the storage is back", async () => {
    const { manager, faulty, id } = await lost(new ScriptedAgent());
    faulty.heal();
    expect(stateOf(await manager.cancelTask(id))).toBe("CANCELED");
  });

  it("leaves nothing running when the server ends meanwhile", async () => {
    const { manager, clock } = await lost(new ScriptedAgent());
    await clock.advanceUntil(Promise.resolve(manager[Symbol.asyncDispose]()));
    expect(clock.waiting).toBe(0);
  });
});

it("a task whose every append the storage refuses is taken up ever more rarely, and ends once it accepts them", async () => {
  const agent = new ScriptedAgent();
  const { manager, faulty, clock } = await setup(agent);
  const { id } = await begun(manager, "go");
  const turn = await agent.turn();
  await settle();
  faulty.fail({ methods: "appendTask", fault: "invalid" });
  const before = faulty.callsOf("appendTask").length;
  await turn.yield(working("unheard"));
  await clock.advance(60_000);
  // Doubled from 25 ms up to 5 s, at least half of each: 8 tries in the first 6 s, then at most 22.
  expect(faulty.callsOf("appendTask").length - before).toBeLessThan(40);
  faulty.heal();
  await clock.advance(5_000);
  expect(stateOf(await manager.getTask(id))).toBe("FAILED");
  expect(clock.waiting).toBe(idleTimers);
});

describe("a run that is lost to an error of the task manager's own", () => {
  const honest = "The task manager failed while the agent worked on this task";

  it.each(["broken", "executed-broken"] as const)("(an append %s) ends FAILED and says so", async (fault) => {
    const agent = new ScriptedAgent();
    const { manager, faulty, clock } = await setup(agent);
    const { id } = await begun(manager, "go");
    const turn = await agent.turn();
    await settle();
    faulty.fail({ methods: "appendTask", fault, times: 1 });
    await turn.yield(working("half"));
    await clock.advance(1_000);
    const { task } = await manager.getTask(id);
    expect([turn.told, stateOf(task), statusText(task)]).toEqual(["lost", "FAILED", honest]);
    expect(clock.waiting).toBe(idleTimers);
  });

  it("is run again by an agent that resumes, and no more than so many times", async () => {
    const agent = new ScriptedAgent({ onLost: "resume" });
    const { manager, faulty, clock } = await setup(agent);
    const { id } = await begun(manager, "go");
    for (let attempt = 0; attempt < 3; attempt++) {
      const turn = await agent.turn(attempt);
      await clock.advance(1_000);
      faulty.fail({ methods: "appendTask", fault: "broken", times: 1 });
      await turn.yield(working("half"));
      await clock.advance(10_000);
    }
    const { task } = await manager.getTask(id);
    expect([stateOf(task), statusText(task), agent.turns.length]).toEqual(["FAILED", honest, 3]);
  });

  it("before its turn began is run as if nothing had happened", async () => {
    const agent = new ScriptedAgent();
    const { manager, faulty, clock } = await setup(agent);
    faulty.fail({ methods: "appendTask", fault: "broken", skip: 1, times: 1 });
    const { id } = await begun(manager, "go");
    await clock.advance(1_000);
    (await agent.turn(1)).return();
    await settle();
    expect([stateOf(await manager.getTask(id)), clock.waiting]).toEqual(["COMPLETED", idleTimers]);
  });
});

it("a task that is lost again in the step that takes it up is not forgotten", async () => {
  const agent = new ScriptedAgent();
  const { manager, faulty, clock } = await setup(agent);
  const { id } = await begun(manager, "go");
  const turn = await agent.turn();
  await settle();
  faulty.fail({ methods: "appendTask", fault: "corrupt", times: 5 });
  await turn.yield(working("unheard"));
  await clock.advance(20_000);
  expect([stateOf(await manager.getTask(id)), clock.waiting]).toEqual(["FAILED", idleTimers]);
});
