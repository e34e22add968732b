import type { MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import type { MessageSchema } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { completed } from "../../../src/agent/processor-events.ts";
import { createTaskManager } from "../../../src/manager/task-manager.ts";
import { ManualClock, settle } from "../../runtime/manual-clock.ts";
import { FaultyStorage } from "../../storage/faulty-storage.ts";
import { crashed, restarted } from "../crash.ts";
import { begun, expectRefused, kindsOf, logOf, message, ScriptedAgent, sent, setup, stateOf } from "../fixtures.ts";

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

describe("from the step in which a server learns that it was replaced", () => {
  async function removed() {
    const agent = new ScriptedAgent();
    const all = await setup(agent);
    const { id } = await begun(all.manager, "go");
    const turn = await agent.turn();
    await settle();
    const [own] = await all.faulty.storage.listReplicas();
    await all.faulty.storage.deregister(own?.replica ?? "");
    return { ...all, agent, id, turn };
  }

  it("nothing is appended any more, not even by a turn in its grace time", async () => {
    const { faulty, clock, id, turn } = await removed();
    const before = await logOf(faulty, id);
    await clock.advance(beatMs);
    expect(turn.told).toBe("lost");
    turn.yield(completed("late")).catch(() => undefined);
    turn.return();
    await settle(5);
    expect(kindsOf(await logOf(faulty, id))).toEqual(kindsOf(before));
  });

  it("no call that still waits is answered with success, a creation and a message included", async () => {
    const { manager, faulty, clock, id } = await removed();
    faulty.fail({ methods: "appendTask", fault: "answer-held" });
    const calls = [sent(manager, "new"), begun(manager, message("more", { taskId: id })), manager.cancelTask(id)].map(
      (call) =>
        call.then(
          () => "answered",
          ({ reason }) => reason,
        ),
    );
    await settle(5);
    await clock.advance(beatMs);
    faulty.release();
    expect(await clock.advanceUntil(Promise.all(calls))).toEqual(["UNAVAILABLE", "UNAVAILABLE", "UNAVAILABLE"]);
  });

  it.each<[string, MessageInitShape<typeof MessageSchema> | undefined]>([
    ["a task", undefined],
    ["a bare answer", { parts: [{ content: { case: "text", value: "hello" } }] }],
  ])("a message whose claim is answered late becomes nothing any more, neither %s", async (_, answer) => {
    const { manager, faulty, clock, agent } = await removed();
    Object.assign(agent, { answerMessage: async () => answer });
    faulty.fail({ methods: "claimMessage", fault: "answer-held" });
    const late = begun(manager, "late").catch(({ reason }) => reason);
    await settle();
    await clock.advance(beatMs);
    const writes = () => faulty.callsOf("appendTask").length + faulty.callsOf("storeMessages").length;
    const before = writes();
    faulty.release();
    expect([await clock.advanceUntil(late), writes() - before]).toEqual(["UNAVAILABLE", 0]);
  });

  it("no call is admitted, from the very answer of the heartbeat on", async () => {
    const { manager, faulty, clock } = await removed();
    const appends = faulty.callsOf("appendTask").length;
    const late: Promise<unknown>[] = [];
    manager.readiness.changed(never).then(() => late.push(begun(manager, "late").catch(({ reason }) => reason)));
    await clock.advance(beatMs);
    expect(await Promise.all(late)).toEqual(["UNAVAILABLE"]);
    expect(faulty.callsOf("appendTask").length).toBe(appends);
  });

  it("a beat makes no record again, however often it is sent", async () => {
    const { faulty, clock } = await removed();
    faulty.fail({ methods: "heartbeat", fault: "executed-unknown", times: 2 });
    await clock.advance(10 * beatMs);
    expect(await faulty.storage.listReplicas()).toEqual([]);
  });
});

it("a server that sends a heartbeat while another buries it is not replaced, and the other does not start", async () => {
  const { storage, first } = await crashed(async () => {});
  const faulty = new FaultyStorage(storage);
  faulty.fail({ methods: "deregister", fault: "held", times: 1 });
  const clock = new ManualClock();
  const starting = createTaskManager(new ScriptedAgent(), faulty.storage, {}, { clock }).catch((error) => error);
  await clock.advance(4_000);
  expect(faulty.held).toBe(1);
  await first.clock.advance(beatMs);
  faulty.release();
  expect(await clock.advanceUntil(starting)).toMatchObject({ reason: "UNAVAILABLE" });
  await first.clock.advance(2 * beatMs);
  expect(first.manager.readiness.state).toBe("ready");
  expect(await storage.listReplicas()).toHaveLength(1);
});
