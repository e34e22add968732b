import { fromJson, type JsonObject } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import { artifact, inputRequired } from "../../../src/agent/processor-events.ts";
import type { ManagerOptions } from "../../../src/manager/options.ts";
import { createMemoryStorage } from "../../../src/storage/memory/storage.ts";
import { ManualClock, settle } from "../../runtime/manual-clock.ts";
import { FaultyStorage } from "../../storage/faulty-storage.ts";
import {
  answering,
  begun,
  callerOf,
  collected,
  expectRefused,
  isSettledNow,
  kindsOf,
  logOf,
  message,
  reading,
  request,
  ScriptedAgent,
  sent,
  setup,
  silent,
  stateOf,
  statusText,
  textsOf,
} from "../fixtures.ts";

const anonymous = { tenant: "", owner: "" };

async function manyTasks(manager: Awaited<ReturnType<typeof setup>>["manager"]): Promise<number> {
  return (await manager.conversations.stats(anonymous)).totalMessages;
}

describe("the same new message again joins the first (R29)", () => {
  it("while the first is on its way in: blocking and streaming alike, one task, one run", async () => {
    const scripted = new ScriptedAgent();
    const { manager, faulty } = await setup(scripted);
    faulty.fail({ methods: "appendTask", fault: "held", times: 1 });
    const once = message("go");
    const blocking = [sent(manager, once), sent(manager, once), begun(manager, once)];
    const streams = [
      reading(manager.sendStreamingMessage(request(once))),
      reading(manager.sendStreamingMessage(request(once))),
    ];
    await settle();
    faulty.release();
    const turn = await scripted.turn();
    await settle();
    await turn.yield(artifact({ artifactId: "a", parts: [{ content: { case: "text", value: "x" } }] }));
    turn.return();
    const tasks = await Promise.all(blocking);
    await Promise.all(streams.map(({ ended }) => ended));
    expect(new Set(tasks.map(({ id }) => id))).toEqual(new Set([turn.context.taskId]));
    for (const { seen } of streams)
      expect([seen[0]?.startsWith("task:"), ...seen.slice(-2)]).toEqual([true, "artifact:a", "status:COMPLETED"]);
    expect([scripted.turns.length, await manyTasks(manager)]).toEqual([1, 1]);
  });

  it("while its task works: it waits for the same end", async () => {
    const scripted = new ScriptedAgent();
    const { manager } = await setup(scripted);
    const once = message("go");
    const first = sent(manager, once);
    const turn = await scripted.turn();
    await settle();
    const again = sent(manager, once);
    expect(await isSettledNow(again)).toBe(false);
    turn.return();
    expect((await again).id).toBe((await first).id);
    expect(scripted.turns).toHaveLength(1);
  });

  it("after its task ended or asked: it is answered at once, streams end at once", async () => {
    const scripted = new ScriptedAgent();
    const { manager } = await setup(scripted);
    const once = message("go");
    const first = sent(manager, once);
    const turn = await scripted.turn();
    await turn.yield(inputRequired("?"));
    turn.return();
    const { id } = await first;
    expect(stateOf(await sent(manager, once))).toBe("INPUT_REQUIRED");
    expect(await collected(manager.sendStreamingMessage(request(once)))).toEqual(["task:INPUT_REQUIRED"]);
    await manager.cancelTask(id);
    expect([stateOf(await sent(manager, once)), await collected(manager.sendStreamingMessage(request(once)))]).toEqual([
      "CANCELED",
      ["task:CANCELED"],
    ]);
    expect(scripted.turns).toHaveLength(1);
  });

  it("whatever the configuration: that is no part of the message", async () => {
    const { manager } = await setup(silent(async () => {}));
    const once = message("go");
    const { id } = await sent(manager, once);
    expect((await begun(manager, once)).id).toBe(id);
  });

  it("in whatever order its client wrote the members of its objects: protobuf's maps have none", async () => {
    const { manager, lines } = await setup(silent(async () => {}));
    const withObject = (object: JsonObject) => {
      const data = fromJson(ValueSchema, { list: [object] });
      return message("go", {
        messageId: "ordered",
        metadata: { object },
        parts: [{ content: { case: "data", value: data }, metadata: object }],
      });
    };
    const { id } = await sent(manager, withObject({ a: 1, b: { c: 2, d: 3 } }));
    expect((await sent(manager, withObject({ b: { d: 3, c: 2 }, a: 1 }))).id).toBe(id);
    expect(lines.filter(({ level }) => level === "warn")).toEqual([]);
    // The values count.
    expect((await sent(manager, withObject({ a: 1, b: { c: 3, d: 2 } }))).id).not.toBe(id);
  });
});

describe("is a new message", () => {
  it("with other content under the same id: a new task, and a warning for the operator", async () => {
    const { manager, lines } = await setup(silent(async () => {}));
    const [one, other] = [message("one", { messageId: "same" }), message("other", { messageId: "same" })];
    const ids = [(await sent(manager, one)).id, (await sent(manager, other)).id];
    expect(new Set(ids).size).toBe(2);
    // Both are known from then on.
    expect([(await sent(manager, one)).id, (await sent(manager, other)).id]).toEqual(ids);
    expect(lines.filter(({ level }) => level === "warn").map(({ fields }) => fields)).toEqual([{ messageId: "same" }]);
  });

  it.each([
    ["an agent that answers at once", answering(async () => ({ parts: [{ content: { case: "text", value: "hi" } }] }))],
    ["one that makes tasks", silent(async () => {})],
  ])("not with strict message ids and %s: other content is refused and leaves nothing", async (_, processor) => {
    const { manager } = await setup(processor, { options: { messageIds: "strict" } });
    await manager.sendMessage(request(message("one", { messageId: "same" })));
    const before = await manyTasks(manager);
    await expectRefused(manager.sendMessage(request(message("other", { messageId: "same" }))), "MESSAGE_ID_REUSED");
    expect(await manyTasks(manager)).toBe(before);
  });

  it("once the window is over", async () => {
    const clock = new ManualClock();
    const faulty = new FaultyStorage(createMemoryStorage({}, clock));
    const { manager } = await setup(
      silent(async () => {}),
      { options: { duplicateWindowMs: 1_000 }, clock, faulty },
    );
    const once = message("go");
    const { id } = await sent(manager, once);
    await clock.advance(999);
    expect((await sent(manager, once)).id).toBe(id);
    await clock.advance(2);
    expect((await sent(manager, once)).id).not.toBe(id);
  });

  it("always, where the window is 0; also as a follow-up", async () => {
    const scripted = new ScriptedAgent();
    const { manager, faulty } = await setup(scripted, { options: { duplicateWindowMs: 0 } });
    const once = message("go");
    const [{ id }, { id: other }] = [await begun(manager, once), await begun(manager, once)];
    expect(other).not.toBe(id);
    const more = message("more", { taskId: id });
    await begun(manager, more);
    await begun(manager, more);
    expect(kindsOf(await logOf(faulty, id)).filter((kind) => kind === "message")).toHaveLength(2);
  });

  it("from another owner, or in another tenant", async () => {
    const { manager } = await setup(silent(async () => {}));
    const once = message("go");
    const callers = [callerOf("t", "a"), callerOf("t", "b"), callerOf("u", "a")];
    const tasks = await Promise.all(callers.map((caller) => sent(manager, once, caller)));
    expect(new Set(tasks.map(({ id }) => id)).size).toBe(3);
  });
});

describe("the same follow-up again joins the first", () => {
  async function followed(options: ManagerOptions = {}) {
    const scripted = new ScriptedAgent();
    const all = await setup(scripted, { options });
    const one = message("one");
    const first = sent(all.manager, one);
    const turn = await scripted.turn();
    await turn.yield(inputRequired("one?"));
    turn.return();
    const { id } = await first;
    const more = message("two", { taskId: id });
    return { ...all, scripted, id, more, firstId: one.messageId };
  }
  const messagesIn = async (faulty: Parameters<typeof logOf>[0], id: string) =>
    (await logOf(faulty, id)).filter(({ body }) => body.case === "message").length;

  it("at once, while it waits, while it is answered, and when it was: one entry, one turn", async () => {
    const { manager, faulty, scripted, id, more } = await followed();
    const together = [sent(manager, more), sent(manager, more)];
    const turn = await scripted.turn(1);
    together.push(sent(manager, more));
    await settle();
    await turn.yield(inputRequired("two?"));
    turn.return();
    expect((await Promise.all(together)).map(statusText)).toEqual(["two?", "two?", "two?"]);
    expect(statusText(await sent(manager, more))).toBe("two?");
    await manager.cancelTask(id);
    expect(stateOf(await sent(manager, more))).toBe("CANCELED");
    expect([await messagesIn(faulty, id), scripted.turns.length]).toEqual([1, 2]);
  });

  it("in whatever order its client wrote the members of its objects", async () => {
    const { manager, faulty, id } = await followed();
    const more = { messageId: "ordered", taskId: id };
    await begun(manager, message("two", { ...more, metadata: { a: 1, b: 2 } }));
    await begun(manager, message("two", { ...more, metadata: { b: 2, a: 1 } }));
    expect(await messagesIn(faulty, id)).toBe(1);
  });

  it("with other content is another message, and a warning; with strict message ids it is refused and leaves nothing", async () => {
    const { manager, faulty, lines, id, more } = await followed();
    await begun(manager, more);
    await begun(manager, message("other", { taskId: id, messageId: more.messageId }));
    expect(await messagesIn(faulty, id)).toBe(2);
    expect(lines.filter(({ level }) => level === "warn").map(({ fields }) => fields)).toEqual([
      { messageId: more.messageId },
    ]);

    const strict = await followed({ messageIds: "strict" });
    await begun(strict.manager, strict.more);
    for (const messageId of [strict.more.messageId, strict.firstId]) {
      await expectRefused(
        begun(strict.manager, message("other", { taskId: strict.id, messageId })),
        "MESSAGE_ID_REUSED",
      );
    }
    expect(await messagesIn(strict.faulty, strict.id)).toBe(1);
  });

  it("when a later turn runs: it is answered at once with the task as it is", async () => {
    const { manager, scripted, id, more } = await followed();
    const second = sent(manager, more);
    const turn = await scripted.turn(1);
    const third = sent(manager, message("three", { taskId: id }));
    await settle();
    turn.return();
    await scripted.turn(2);
    await second;
    expect([stateOf(await sent(manager, more)), await isSettledNow(third)]).toEqual(["WORKING", false]);
    scripted.turns[2]?.return();
    expect(stateOf(await third)).toBe("COMPLETED");
  });

  it("when its turn is over but not yet durable: nothing is shown from before it was accepted", async () => {
    const { manager, faulty, scripted, id, more } = await followed();
    const last = message("three", { taskId: id });
    faulty.fail({ methods: "appendTask", fault: "held" });
    const waiting: Promise<unknown>[] = [sent(manager, more)];
    await settle();
    waiting.push(sent(manager, last));
    await settle();
    const turn = await scripted.turn(1);
    turn.return();
    await scripted.turn(2);
    const again = sent(manager, more);
    expect(await isSettledNow(again)).toBe(false);
    faulty.heal();
    faulty.release();
    expect(textsOf((await again).history)).toEqual(["one", "one?", "two", "three"]);
    scripted.turns[2]?.return();
    await Promise.all(waiting);
  });

  it("a repeated stream of an earlier turn's message ends at once where the task asks", async () => {
    const { manager, scripted, id, more } = await followed();
    for (const [place, followUp] of [more, message("three", { taskId: id })].entries()) {
      const answer = sent(manager, followUp);
      const turn = await scripted.turn(place + 1);
      await turn.yield(inputRequired("again?"));
      turn.return();
      await answer;
    }
    expect(await collected(manager.sendStreamingMessage(request(more)))).toEqual(["task:INPUT_REQUIRED"]);
  });
});
