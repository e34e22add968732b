import { describe, expect, it } from "vitest";
import { artifact, authRequired, completed, inputRequired, working } from "../../../src/agent/processor-events.ts";
import * as given from "../../../src/conformance/fixtures.ts";
import { settle } from "../../runtime/manual-clock.ts";
import { FaultyStorage } from "../../storage/faulty-storage.ts";
import { crashed, restarted } from "../crash.ts";
import {
  begun,
  expectRefused,
  kindsOf,
  logOf,
  message,
  reading,
  ScriptedAgent,
  sent,
  setup,
  stateOf,
  statusText,
  textsOf,
} from "../fixtures.ts";

describe("after a crash", () => {
  it("a task that waited for its place is run", async () => {
    let id = "";
    const { storage } = await crashed(
      async ({ manager }, agent) => {
        await begun(manager, "first");
        await agent.turn();
        id = (await begun(manager, "second")).id;
      },
      { maxRunningTasks: 1 },
    );
    const agent = new ScriptedAgent();
    const { manager } = await restarted(storage, agent);
    const turn = await agent.turn();
    expect([turn.text, turn.context.taskId, turn.context.attempt, turn.context.fence]).toEqual(["second", id, 1, 2n]);
    turn.return();
    await settle();
    expect(stateOf((await manager.getTask(id)).task)).toBe("COMPLETED");
  });

  it("a turn that was cut off ends FAILED and says why, with what it had done", async () => {
    let id = "";
    const { storage } = await crashed(async ({ manager }, agent) => {
      id = (await begun(manager, "go")).id;
      await (await agent.turn()).yield(
        artifact({ artifactId: "half", parts: [{ content: { case: "text", value: "x" } }] }),
      );
    });
    const agent = new ScriptedAgent();
    const { manager, faulty } = await restarted(storage, agent);
    const { task } = await manager.getTask(id);
    expect([stateOf(task), statusText(task), task.artifacts.length, agent.turns.length]).toEqual([
      "FAILED",
      "The server failed while the agent worked on this task",
      1,
      0,
    ]);
    expect(kindsOf(await logOf(faulty, id)).slice(-2)).toEqual(["takeover", "status:FAILED"]);
  });

  it("a last append of the dead server that arrives during the takeover doesn't prevent it", async () => {
    let id = "";
    const { storage, agent: before } = await crashed(async ({ manager }, agent) => {
      id = (await begun(manager, "go")).id;
      await agent.turn();
    });
    const faulty = new FaultyStorage(storage);
    faulty.fail({ methods: ["appendTask"], fault: "held", times: 1 });
    const { manager } = await setup(new ScriptedAgent(), { faulty });
    await settle(5);
    expect(faulty.held).toBe(1);
    await before.turns[0]?.yield(working("late"));
    await settle(5);
    faulty.release();
    await settle(5);
    expect(stateOf((await manager.getTask(id)).task)).toBe("FAILED");
    expect(kindsOf(await logOf(faulty, id)).slice(-3)).toEqual(["status:WORKING", "takeover", "status:FAILED"]);
  });

  it("it is run again where the agent can, with its steps, its attempt and a larger fence", async () => {
    let id = "";
    let runs = 0;
    const step = async () => {
      runs++;
      return { charged: true };
    };
    const { storage, agent: before } = await crashed(async ({ manager }, agent) => {
      id = (await begun(manager, "go")).id;
      await (await agent.turn()).context.step("charge", step);
    });
    const agent = new ScriptedAgent({ onLost: "resume" });
    const { manager } = await restarted(storage, agent);
    const turn = await agent.turn();
    expect([turn.text, turn.context.attempt, turn.context.fence > (before.turns[0]?.context.fence ?? 0n)]).toEqual([
      "go",
      2,
      true,
    ]);
    expect([await turn.context.step("charge", step), runs]).toEqual([{ charged: true }, 1]);
    turn.return();
    await settle();
    expect(stateOf((await manager.getTask(id)).task)).toBe("COMPLETED");
  });

  it("a cancel that was asked for is done", async () => {
    let id = "";
    const { storage } = await crashed(async ({ manager }, agent) => {
      id = (await begun(manager, "go")).id;
      await agent.turn();
      manager.cancelTask(id).catch(() => undefined);
    });
    const agent = new ScriptedAgent({ onLost: "resume" });
    const { manager } = await restarted(storage, agent);
    expect([stateOf((await manager.getTask(id)).task), agent.turns.length]).toEqual(["CANCELED", 0]);
  });

  it("a message accepted before the agent asked, whose turn hadn't begun, gets its turn", async () => {
    const waiting = message("two");
    let id = "";
    const { storage } = await crashed(async ({ manager, faulty }, agent) => {
      id = (await begun(manager, "one")).id;
      const turn = await agent.turn();
      waiting.taskId = id;
      await begun(manager, waiting);
      await turn.yield(inputRequired("?"));
      await settle();
      faulty.fail({ methods: "appendTask", fault: "held" });
      turn.return();
      await settle();
    });
    const agent = new ScriptedAgent();
    const { manager, faulty } = await restarted(storage, agent);
    const turn = await agent.turn();
    // Sent again it joins.
    const answer = sent(manager, waiting);
    await settle();
    expect([turn.text, kindsOf(await logOf(faulty, id)).slice(-3)]).toEqual([
      "two",
      ["takeover", "status:WORKING", "turn"],
    ]);
    turn.return();
    expect(stateOf(await answer)).toBe("COMPLETED");
  });

  it("a message for a turn that waited for a credential gets its own turn, and the one that was cut off isn't run again", async () => {
    let id = "";
    const { storage } = await crashed(async ({ manager }, agent) => {
      id = (await begun(manager, "one")).id;
      await (await agent.turn()).yield(authRequired("sign in"));
      await begun(manager, message("two", { taskId: id }));
    });
    const agent = new ScriptedAgent({ onLost: "resume" });
    const { manager } = await restarted(storage, agent);
    const turn = await agent.turn();
    expect([turn.text, turn.context.attempt]).toEqual(["two", 1]);
    turn.return();
    await settle();
    const { task } = await manager.getTask(id);
    expect([stateOf(task), textsOf(task.history), agent.turns.length]).toEqual([
      "COMPLETED",
      ["one", "sign in", "two"],
      1,
    ]);
  });

  it("a cancel that was asked for while the task waited for its client is done", async () => {
    let id = "";
    const { storage } = await crashed(async ({ manager }, agent) => {
      const asks = sent(manager, "go");
      await (await agent.turn()).yield(authRequired("sign in"));
      id = (await asks).id;
      manager.cancelTask(id).catch(() => undefined);
      await settle();
    });
    const { manager } = await restarted(storage, new ScriptedAgent());
    expect(stateOf((await manager.getTask(id)).task)).toBe("CANCELED");
  });

  it("a task that waits for input stays, and takes the answer", async () => {
    let id = "";
    const { storage } = await crashed(async ({ manager }, agent) => {
      id = (await begun(manager, "one")).id;
      const turn = await agent.turn();
      await turn.yield(inputRequired("?"));
      turn.return();
    });
    const agent = new ScriptedAgent();
    const { manager } = await restarted(storage, agent);
    expect(stateOf((await manager.getTask(id)).task)).toBe("INPUT_REQUIRED");
    const answer = sent(manager, message("two", { taskId: id }));
    const turn = await agent.turn();
    expect([turn.text, turn.context.fence]).toEqual(["two", 2n]);
    await turn.yield(completed("done"));
    expect([stateOf(await answer), textsOf((await answer).history)]).toEqual(["COMPLETED", ["one", "?", "two"]]);
  });

  it("messages that waited are run after the turn that is run again", async () => {
    let id = "";
    const { storage } = await crashed(async ({ manager }, agent) => {
      id = (await begun(manager, "one")).id;
      await agent.turn();
      await begun(manager, message("two", { taskId: id }));
    });
    const agent = new ScriptedAgent({ onLost: "resume" });
    const { manager } = await restarted(storage, agent);
    const first = await agent.turn();
    expect([first.text, first.context.attempt]).toEqual(["one", 2]);
    first.return();
    const second = await agent.turn(1);
    expect([second.text, second.context.attempt]).toEqual(["two", 1]);
    second.return();
    await settle();
    expect(stateOf((await manager.getTask(id)).task)).toBe("COMPLETED");
  });

  it("the one that was only slow is refused, its turn told that it is lost, and it shows what holds", async () => {
    let id = "";
    const {
      storage,
      first,
      agent: before,
    } = await crashed(async ({ manager }, agent) => {
      id = (await begun(manager, "go")).id;
      await agent.turn();
    });
    const { manager } = await restarted(storage, new ScriptedAgent());
    const failed = await manager.getTask(id);
    const turn = before.turns[0];
    await turn?.yield(working("still here"));
    await settle();
    expect([stateOf(failed.task), turn?.told]).toEqual(["FAILED", "lost"]);
    expect((await first.manager.getTask(id)).task).toEqual(failed.task);
    await expectRefused(first.manager.cancelTask(id), "TASK_NOT_CANCELABLE");
  });

  it("a reader with a cursor goes on where it was", async () => {
    let id = "";
    const { storage } = await crashed(async ({ manager }, agent) => {
      id = (await begun(manager, "go")).id;
      await (await agent.turn()).yield(working("half"));
    });
    const agent = new ScriptedAgent({ onLost: "resume" });
    const { manager } = await restarted(storage, agent);
    const reader = reading(manager.watchTask(id, 4n));
    await (await agent.turn()).yield(completed("whole"));
    await reader.ended;
    expect(reader.seen).toEqual(["status:COMPLETED(whole)"]);
  });
});

describe("tasks of the dead that appear while their successor lives", () => {
  it("a creation that was on its way when its server was buried is run, without a restart", async () => {
    const { storage, first } = await crashed(async ({ manager, faulty }) => {
      faulty.fail({ methods: "appendTask", fault: "held" });
      begun(manager, "late").catch(() => undefined);
    });
    const agent = new ScriptedAgent();
    const { clock } = await restarted(storage, agent);
    await clock.advance(60_000);
    first.faulty.release(1);
    await clock.advance(10_000);
    const turn = await agent.turn();
    expect([turn.text, turn.context.fence]).toEqual(["late", 2n]);
    turn.return();
  });

  it("what a paused server accepts before it learns that it was replaced gets an owner and an end", async () => {
    const { storage, first, agent: before } = await crashed(async () => {});
    const agent = new ScriptedAgent();
    const { manager, clock, faulty } = await restarted(storage, agent);
    // What waited in its sockets comes before its next heartbeat.
    const ids = (await Promise.all([1, 2, 3].map(() => begun(first.manager, "go")))).map(({ id }) => id);
    for (let turn = 0; turn < 3; turn++) await before.turn(turn);
    await settle(5);
    await first.clock.advance(1_000);
    expect(first.manager.readiness.state).toBe("replaced");
    await clock.advance(10_000);
    const tasks = await Promise.all(ids.map(async (id) => (await manager.getTask(id)).task));
    expect(tasks.map((task) => [stateOf(task), statusText(task)])).toEqual(
      ids.map(() => ["FAILED", "The server failed while the agent worked on this task"]),
    );
    expect(await faulty.storage.listRunners({ limit: 10 })).toEqual([]);
  });

  it("a look that fails is logged, and the next one finds them", async () => {
    const { storage, first } = await crashed(async ({ manager, faulty }) => {
      faulty.fail({ methods: "appendTask", fault: "held" });
      begun(manager, "late").catch(() => undefined);
    });
    const agent = new ScriptedAgent();
    const { clock, faulty, lines } = await restarted(storage, agent);
    for (const methods of ["listRunners", "listReplicas", "claimTasks"] as const)
      faulty.fail({ methods, fault: "unavailable", times: 1 });
    first.faulty.release(1);
    await clock.advance(30_000);
    (await agent.turn()).return();
    const told = lines.filter(({ text }) => text === "Failed to look for the tasks of dead servers");
    expect(told.map(({ level }) => level)).toEqual(["warn", "warn", "warn"]);
  });

  it("a living replica's tasks are left alone, and those of one that joins during the look", async () => {
    const agent = new ScriptedAgent();
    const { clock, faulty } = await setup(agent);
    const other = { tenant: "", owner: "", taskId: "theirs" };
    await faulty.storage.register("living");
    await given.commit(faulty.storage, other, given.nothing, { replica: "living" });
    faulty.fail({ methods: "listReplicas", fault: "held", times: 1 });
    await clock.advance(6_000);
    expect(faulty.held).toBe(1);
    await faulty.storage.register("late");
    await given.commit(faulty.storage, { ...other, taskId: "late" }, given.nothing, { replica: "late" });
    faulty.release();
    await clock.advance(20_000);
    const owners = (await faulty.storage.listTasks({ scope: other, limit: 10 })).tasks.map(({ replica }) => replica);
    expect(owners.toSorted()).toEqual(["late", "living"]);
  });
});
