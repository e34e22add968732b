import { describe, expect, it } from "vitest";
import type { StreamResponse } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import {
  artifact,
  authRequired,
  completed,
  failed,
  inputRequired,
  rejected,
  working,
} from "../../../src/agent/processor-events.ts";
import { settle } from "../../runtime/manual-clock.ts";
import {
  agent,
  answering,
  begun,
  brief,
  collected,
  expectRefused,
  message,
  reading,
  request,
  ScriptedAgent,
  sent,
  setup,
  stateOf,
  textsOf,
} from "../fixtures.ts";

const chunk = (text: string) =>
  artifact({ artifactId: "a", parts: [{ content: { case: "text", value: text } }] }, { append: true });

/** The stream of a send and a subscription, both open at a turn that is under way. */
async function openStreams() {
  const scripted = new ScriptedAgent();
  const { manager } = await setup(scripted);
  const stream = reading(manager.sendStreamingMessage(request("go")));
  const turn = await scripted.turn();
  await settle();
  const subscription = reading(manager.subscribeToTask(turn.context.taskId));
  await settle();
  return { manager, turn, stream, subscription };
}

describe("a send's stream", () => {
  it("is one message where the agent answers with one (pattern A, R34)", async () => {
    const { manager } = await setup(answering(async () => ({ parts: [{ content: { case: "text", value: "hi" } }] })));
    const stream = manager.sendStreamingMessage(request("hello"));
    expect(await collected(stream)).toEqual(["message:hi"]);
    expect(stream.closed).toBe(true);
  });

  it("is the task, then its events in order, to its end (pattern B, R35, R36, R67)", async () => {
    const scripted = new ScriptedAgent();
    const { manager } = await setup(scripted);
    const stream = reading(manager.sendStreamingMessage(request("go")));
    const turn = await scripted.turn();
    await turn.yield(working("one"));
    await turn.yield(chunk("two"));
    await turn.yield(completed("three"));
    await stream.ended;
    expect(stream.seen[0]).toMatch(/^task:/);
    expect(stream.seen.filter((event) => event !== "status:WORKING").slice(1)).toEqual([
      "status:WORKING(one)",
      "artifact:a",
      "status:COMPLETED(three)",
    ]);
  });

  it("begins with a task even where all is over already", async () => {
    const { manager, faulty } = await setup(
      agent(async function* () {
        yield completed("quick");
      }),
    );
    faulty.fail({ methods: "appendTask", fault: "answer-held", times: 1 });
    const stream = reading(manager.sendStreamingMessage(request("go")));
    await settle();
    faulty.release();
    await stream.ended;
    expect([stream.seen[0]?.startsWith("task:"), stream.seen.at(-1)?.endsWith("COMPLETED(quick)")]).toEqual([
      true,
      true,
    ]);
  });

  it.each([
    completed("end"),
    failed("end"),
    rejected("end"),
  ])("ends with a terminal state, whichever it is, and so does a subscription: %j (R36, R60)", async (last) => {
    const { turn, stream, subscription } = await openStreams();
    expect([stream.isOver(), subscription.isOver()]).toEqual([false, false]);
    void turn.yield(last);
    await Promise.all([stream.ended, subscription.ended]);
    for (const { seen } of [stream, subscription]) {
      expect(seen[0]).toMatch(/^task:/);
      expect(seen.at(-1)).toMatch(/^status:(COMPLETED|FAILED|REJECTED)\(end\)$/);
    }
  });

  it("ends with CANCELED, and so does a subscription (R36, R60)", async () => {
    const { manager, turn, stream, subscription } = await openStreams();
    const canceled = manager.cancelTask(turn.context.taskId);
    await settle();
    turn.return();
    await Promise.all([canceled, stream.ended, subscription.ended]);
    expect([stream.seen.at(-1), subscription.seen.at(-1)]).toEqual(["status:CANCELED", "status:CANCELED"]);
  });

  it("isn't changed by return_immediately, whether it is of a task or of a message (R20)", async () => {
    const scripted = new ScriptedAgent();
    const { manager } = await setup(scripted);
    const stream = reading(manager.sendStreamingMessage(request("go", { now: true })));
    const turn = await scripted.turn();
    await settle();
    expect(stream.isOver()).toBe(false);
    await turn.yield(completed("end"));
    await stream.ended;
    expect(stream.seen.at(-1)).toBe("status:COMPLETED(end)");
    const { manager: answers } = await setup(
      answering(async () => ({ parts: [{ content: { case: "text", value: "hi" } }] })),
    );
    expect(await collected(answers.sendStreamingMessage(request("hello", { now: true })))).toEqual(["message:hi"]);
  });

  it("has an artifact's chunks as they were made: what is appended, and which is the last (R126)", async () => {
    const { manager } = await setup(
      agent(async function* () {
        for (const flags of [{}, { append: true }, { append: true, lastChunk: true }])
          yield artifact({ artifactId: "a", parts: [{ content: { case: "text", value: "x" } }] }, flags);
        yield completed();
      }),
    );
    const flags: unknown[] = [];
    for await (const { payload } of manager.sendStreamingMessage(request("go"))) {
      if (payload.case === "artifactUpdate") flags.push([payload.value.append, payload.value.lastChunk]);
    }
    expect(flags).toEqual([
      [false, false],
      [true, false],
      [true, true],
    ]);
  });

  it("has the ids of its task and its context in every event, and in what these say, as it happens and read again (R125)", async () => {
    const { manager } = await setup(
      agent(async function* () {
        yield working("one");
        yield chunk("two");
        yield artifact({
          artifactId: "b",
          name: "whole",
          parts: [{ content: { case: "url", value: "https://example.org" } }],
          metadata: { x: 1 },
        });
        yield completed("three");
      }),
    );
    const seen = async (events: AsyncIterable<StreamResponse>) => {
      const ids: string[] = [];
      let id = "";
      for await (const { payload } of events) {
        if (payload.case === "task") id = payload.value.id;
        else if (payload.case === "statusUpdate" || payload.case === "artifactUpdate") {
          const said = payload.case === "statusUpdate" ? payload.value.status?.message : undefined;
          for (const { taskId, contextId } of said === undefined ? [payload.value] : [payload.value, said])
            ids.push(`${taskId} ${contextId}`);
        }
      }
      return { id, ids };
    };
    const { id, ids } = await seen(manager.sendStreamingMessage(request(message("go", { contextId: "c" }))));
    for (const all of [ids, (await seen(manager.watchTask(id, 0n))).ids]) {
      expect(all.length).toBeGreaterThanOrEqual(6);
      expect(new Set(all)).toEqual(new Set([`${id} c`]));
    }
  });

  it("ends at INPUT_REQUIRED, and stays open at AUTH_REQUIRED (R37, R87)", async () => {
    const scripted = new ScriptedAgent();
    const { manager } = await setup(scripted);
    const stream = reading(manager.sendStreamingMessage(request("go")));
    const turn = await scripted.turn();
    await turn.yield(authRequired("sign in"));
    await settle();
    expect([stream.isOver(), stream.seen.at(-1)]).toEqual([false, "status:AUTH_REQUIRED(sign in)"]);
    await turn.yield(working("thanks"));
    await turn.yield(inputRequired("and?"));
    await stream.ended;
    expect(stream.seen.slice(-2)).toEqual(["status:WORKING(thanks)", "status:INPUT_REQUIRED(and?)"]);
    turn.return();
  });

  it("of a follow-up begins with the task, its question answered", async () => {
    const scripted = new ScriptedAgent();
    const { manager } = await setup(scripted);
    const first = sent(manager, "one");
    const turn = await scripted.turn();
    await turn.yield(inputRequired("two?"));
    turn.return();
    const { id } = await first;
    const iterator = manager.sendStreamingMessage(request(message("three", { taskId: id })))[Symbol.asyncIterator]();
    const { value } = await iterator.next();
    expect([value?.payload.case, stateOf(value?.payload.value as never)]).toEqual(["task", "WORKING"]);
    expect(textsOf((value?.payload.value as { history: [] }).history)).toEqual(["one", "two?", "three"]);
    const rest = reading({ [Symbol.asyncIterator]: () => iterator });
    await (await scripted.turn(1)).yield(completed("four"));
    await rest.ended;
    expect(rest.seen.at(-1)).toBe("status:COMPLETED(four)");
  });

  it("of a message that waits for its turn goes past the question of the turn before", async () => {
    const scripted = new ScriptedAgent();
    const { manager } = await setup(scripted);
    const { id } = await begun(manager, "one");
    const turn = await scripted.turn();
    const stream = reading(manager.sendStreamingMessage(request(message("two", { taskId: id }))));
    await settle();
    await turn.yield(inputRequired("first?"));
    turn.return();
    const second = await scripted.turn(1);
    expect(stream.isOver()).toBe(false);
    await second.yield(inputRequired("second?"));
    await stream.ended;
    expect(stream.seen.filter((event) => event.includes("?"))).toEqual([
      "status:INPUT_REQUIRED(first?)",
      "status:INPUT_REQUIRED(second?)",
    ]);
    second.return();
  });
});

describe("subscribers", () => {
  it("all get the same events in the same order, whenever and however fast they read (R68, R69)", async () => {
    const scripted = new ScriptedAgent();
    const { manager } = await setup(scripted);
    const { id } = await begun(manager, "go");
    const turn = await scripted.turn();
    await settle();
    const slow = manager.watchTask(id, 0n)[Symbol.asyncIterator]();
    const early = [reading(manager.watchTask(id, 0n)), reading(manager.subscribeToTask(id))];
    for (let index = 0; index < 3000; index++)
      await turn.yield(artifact({ artifactId: `a${index}`, parts: [{ content: { case: "text", value: "x" } }] }));
    const late = reading(manager.watchTask(id, 0n));
    await turn.yield(completed("end"));
    await Promise.all([...early, late].map(({ ended }) => ended));
    const seenSlowly: string[] = [];
    for (let result = await slow.next(); !result.done; result = await slow.next()) seenSlowly.push(brief(result.value));
    expect(seenSlowly).toHaveLength(3003);
    expect(late.seen).toEqual(seenSlowly);
    expect(early[0]?.seen).toEqual(seenSlowly);
    expect(early[1]?.seen.slice(1)).toEqual(seenSlowly.slice(2));
  });

  it("touch neither the task nor one another by hanging up (R70)", async () => {
    const scripted = new ScriptedAgent();
    const { manager } = await setup(scripted);
    const sender = manager.sendStreamingMessage(request("go"));
    await sender[Symbol.asyncIterator]().next();
    const turn = await scripted.turn();
    const other = reading(manager.subscribeToTask(turn.context.taskId));
    await sender.close();
    await settle();
    expect([turn.told, other.isOver()]).toEqual([undefined, false]);
    turn.return();
    await other.ended;
    expect(other.seen.at(-1)).toBe("status:COMPLETED");
  });

  it("are refused by a terminal task and by one that doesn't exist (R61)", async () => {
    const { manager } = await setup(agent(async function* () {}));
    const { id } = await sent(manager, "go");
    const ended = collected(manager.subscribeToTask(id));
    await expect(ended).rejects.toMatchObject({ reason: "UNSUPPORTED_OPERATION" });
    await expectRefused(collected(manager.subscribeToTask("nope")), "TASK_NOT_FOUND");
    await expectRefused(collected(manager.watchTask("nope")), "TASK_NOT_FOUND");
  });

  it("of a task that waits for its place, works or waits for a credential begin with it, and stay (R58)", async () => {
    const scripted = new ScriptedAgent();
    const { manager } = await setup(scripted, { options: { maxRunningTasks: 1 } });
    const first = await begun(manager, "one");
    const turn = await scripted.turn();
    const second = await begun(manager, "two");
    const begins = async (id: string) => {
      const stream = reading(manager.subscribeToTask(id));
      await settle();
      return [...stream.seen, stream.isOver()];
    };
    expect(await begins(second.id)).toEqual(["task:SUBMITTED", false]);
    expect(await begins(first.id)).toEqual(["task:WORKING", false]);
    await turn.yield(authRequired("sign in"));
    await turn.context.committed();
    expect(await begins(first.id)).toEqual(["task:AUTH_REQUIRED", false]);
    turn.return();
    (await scripted.turn(1)).return();
  });

  it("of a task in INPUT_REQUIRED stay for its next turn (R37)", async () => {
    const scripted = new ScriptedAgent();
    const { manager } = await setup(scripted);
    const first = sent(manager, "one");
    await (await scripted.turn()).yield(inputRequired("?"));
    (await scripted.turn()).return();
    const { id } = await first;
    const stream = reading(manager.subscribeToTask(id));
    await settle();
    expect([stream.seen, stream.isOver()]).toEqual([["task:INPUT_REQUIRED"], false]);
    await begun(manager, message("two", { taskId: id }));
    const second = await scripted.turn(1);
    await second.yield(inputRequired("again?"));
    await stream.ended;
    expect(stream.seen.at(-1)).toBe("status:INPUT_REQUIRED(again?)");
    second.return();
  });
});

describe("a cursor", () => {
  async function ended() {
    const { manager } = await setup(
      agent(async function* () {
        for (const text of ["b", "c"]) yield working(text);
      }),
    );
    const { id } = await sent(manager, "go");
    const { head } = await manager.getTaskAt(id, 1n);
    return { manager, id, head };
  }

  it("of 0 gives everything, n what follows n, and the head nothing; it only grows", async () => {
    const { manager, id, head } = await ended();
    const all: { cursor: bigint; event: string }[] = [];
    const stream = manager.watchTask(id, 0n);
    for await (const event of stream) all.push({ cursor: stream.cursor, event: brief(event) });
    expect(all.map(({ event }) => event)).toEqual([
      "task:SUBMITTED",
      "status:WORKING",
      "status:WORKING(b)",
      "status:WORKING(c)",
      "status:COMPLETED",
    ]);
    expect(all.every(({ cursor }, index) => cursor > (all[index - 1]?.cursor ?? 0n))).toBe(true);
    expect(all.at(-1)?.cursor).toBe(head);
    for (let after = 1n; after <= head; after++) {
      const expected = all.filter(({ cursor }) => cursor > after).map(({ event }) => event);
      expect(await collected(manager.watchTask(id, after))).toEqual(expected);
      expect(await collected(manager.subscribeToTask(id, after))).toEqual(expected);
    }
  });

  it("above the head is out of range, and the error names the head", async () => {
    const { manager, id, head } = await ended();
    const refused = { reason: "OUT_OF_RANGE", metadata: { taskId: id, head: String(head) } };
    await expect(collected(manager.watchTask(id, head + 1n))).rejects.toMatchObject(refused);
    await expect(manager.getTaskAt(id, head + 1n)).rejects.toMatchObject(refused);
    await expect(manager.getTaskAt(id, 0n)).rejects.toMatchObject(refused);
  });
});
