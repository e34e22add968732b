import { describe, expect, it } from "vitest";
import { artifact } from "../../../src/agent/processor-events.ts";
import { createMemoryStorage } from "../../../src/storage/memory/storage.ts";
import { eventually } from "../../runner/eventually.ts";
import { ManualClock, settle } from "../../runtime/manual-clock.ts";
import { FaultyStorage } from "../../storage/faulty-storage.ts";
import { expectRefused, message, request, ScriptedAgent, sent, setup, silent, stateOf } from "../fixtures.ts";
import { alice, caller, talk } from "../talk.ts";

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const dayMs = 24 * hourMs;
const jumps = [-dayMs, -hourMs, hourMs, dayMs];

describe.each(jumps)("The wall clock jumps by %i ms", (jumpMs) => {
  it("and a task that is polled is noted as accessed as before", async () => {
    const { manager, faulty, clock } = await talk({ conversationTtlMs: hourMs });
    const { id } = await sent(manager, message("x"), caller);
    await manager.getTask(id, caller);
    clock.jump(jumpMs);
    const before = faulty.callsOf("updateConversationAccess").length;
    for (let poll = 0; poll < 60; poll++) {
      await clock.advance(minuteMs);
      await manager.getTask(id, caller);
    }
    expect(faulty.callsOf("updateConversationAccess").length - before).toBe(60);
  });

  it("and nothing is lost that was used within the TTL", async () => {
    const { manager, conversations, clock, say } = await talk({
      conversationTtlMs: hourMs,
      cleanupIntervalMs: minuteMs,
    });
    await say("c", "x");
    await clock.advance(hourMs / 2);
    clock.jump(jumpMs);
    // The sweeper has its rounds, and the conversation goes on under its old id.
    await clock.advance(hourMs / 3);
    await say("c", "y");
    clock.jump(-jumpMs);
    await clock.advance(hourMs / 3);
    await say("c", "z");
    expect((await conversations.get("c", alice)).messageIds).toHaveLength(6);
    await manager[Symbol.asyncDispose]();
  });

  it("and a message that is sent again within its window joins its first send", async () => {
    const { manager, clock } = await talk({ duplicateWindowMs: 10 * minuteMs });
    const once = message("x");
    const { id } = await sent(manager, once, caller);
    clock.jump(jumpMs);
    await clock.advance(9 * minuteMs);
    expect((await sent(manager, once, caller)).id).toBe(id);
  });

  it("and a task that asks holds its conversation as before", async () => {
    const options = { conversationTtlMs: hourMs, interruptedTtlMs: 5 * dayMs, cleanupIntervalMs: minuteMs };
    const { manager, clock } = await talk(options);
    const { id } = await sent(manager, message("ask"), caller);
    clock.jump(5 * jumpMs);
    await clock.advance(2 * hourMs);
    expect(stateOf((await manager.getTask(id, caller)).task)).toBe("INPUT_REQUIRED");
  });

  it("and a turn that speaks is not ended for its silence, and one that is silent is", async () => {
    const scripted = new ScriptedAgent();
    const { manager, clock } = await setup(scripted, { options: { turnIdleTimeoutMs: minuteMs } });
    const task = sent(manager, message("go"));
    const turn = await scripted.turn();
    await clock.advance(minuteMs / 2);
    await turn.yield(artifact({ artifactId: "a", parts: [{ content: { case: "text", value: "x" } }] }));
    clock.jump(jumpMs);
    await clock.advance(minuteMs / 2);
    expect(turn.context.signal.aborted).toBe(false);
    await clock.advance(minuteMs / 2);
    expect(turn.context.signal.aborted).toBe(true);
    turn.return();
    expect(stateOf(await task)).toBe("FAILED");
  });

  it("and an append is tried for as long as before", async () => {
    const { manager, clock, faulty } = await talk();
    faulty.fail({ methods: "appendTask", fault: "unavailable" });
    let refused: unknown;
    manager.sendMessage(request(message("x")), caller).catch((error: unknown) => {
      refused = error;
    });
    await settle();
    clock.jump(jumpMs);
    await clock.advance(5_000);
    expect(refused).toBeUndefined();
    await clock.advance(15_000);
    expect(refused).toMatchObject({ reason: "UNAVAILABLE" });
  });
});

it.each([
  -minuteMs,
  -hourMs,
  -dayMs,
])("a second message stands behind the first, though the clock was set back by %i ms", async (jumpMs) => {
  const { conversations, clock, manager, messages } = await talk();
  await sent(manager, message("ask", { contextId: "c", messageId: "first" }), caller);
  clock.jump(jumpMs);
  await sent(manager, message("x", { contextId: "c", messageId: "second" }), caller);
  await sent(manager, message("x", { contextId: "c", messageId: "third" }), caller);
  const ids = (await messages("c")).messages.map(({ messageId }) => messageId);
  expect(ids.filter((id) => ["first", "second", "third"].includes(id))).toEqual(["first", "second", "third"]);
  expect((await conversations.get("c", alice)).messageIds).toHaveLength(6);
});

it.each([
  -minuteMs,
  -hourMs,
])("a poller by status time misses nothing, though the clock was set back by %i ms", async (jumpMs) => {
  const { clock, manager } = await talk();
  const first = await sent(manager, message("x"), caller);
  clock.jump(jumpMs);
  await clock.advance(1_000);
  const second = await sent(manager, message("x"), caller);
  expect(Number(second.status?.timestamp?.seconds)).toBeGreaterThanOrEqual(Number(first.status?.timestamp?.seconds));
});

it("sweeps pause while the clocks have run apart, say so, and go on one TTL later", async () => {
  const clock = new ManualClock();
  const faulty = new FaultyStorage(createMemoryStorage({}, clock));
  const { lines } = await setup(
    silent(async () => {}),
    { options: { conversationTtlMs: hourMs, cleanupIntervalMs: minuteMs }, faulty, clock },
  );
  const rounds = () => faulty.callsOf("cleanupExpiredConversations").length;
  const warnings = () => lines.filter(({ level }) => level === "warn").map(({ fields }) => fields);
  // A tenth of the TTL is no reason to pause.
  clock.jump(hourMs / 10 - 1_000);
  await clock.advance(hourMs);
  expect([rounds() >= 59, warnings()]).toEqual([true, []]);
  clock.jump(hourMs / 5);
  const before = rounds();
  await clock.advance(hourMs);
  expect([rounds(), warnings()]).toEqual([before, [{ apartMs: hourMs / 5, pausedMs: hourMs }]]);
  await eventually("sweeps go on", async () => {
    await clock.advance(minuteMs);
    return rounds() > before;
  });
});

it("sweeps go on though the clock jumps all the time, and remove what is expired by each of its offsets", async () => {
  const { clock, conversations, faulty, lines, say } = await talk({
    conversationTtlMs: hourMs,
    cleanupIntervalMs: minuteMs,
  });
  await say("c", "x");
  const ages = () => faulty.callsOf("cleanupExpiredConversations").map(({ args }) => args[0]);
  const pass = async () => {
    clock.jump(hourMs / 5);
    await clock.advance(hourMs / 3);
  };
  await pass();
  await pass();
  expect(ages()).toEqual([]);
  expect((await conversations.get("c", alice)).messageIds).toHaveLength(2);
  await eventually("it is removed", async () => {
    await pass();
    return lines.some(({ text }) => text === "Removed expired conversations");
  });
  expect(Math.min(...ages().map(Number))).toBeGreaterThan(1.2 * hourMs);
  await expectRefused(conversations.get("c", alice), "CONVERSATION_NOT_FOUND");
});
