import { describe, expect, it } from "vitest";
import { TaskState } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import type { MessageProcessor, TaskContext } from "../../../src/agent/message-processor.ts";
import { artifact, completed, inputRequired, status, working } from "../../../src/agent/processor-events.ts";
import type { ProcessorEvent } from "../../../src/domain/processor-event.ts";
import { settle } from "../../runtime/manual-clock.ts";
import {
  agent,
  begun,
  expectRefused,
  kindsOf,
  logOf,
  message,
  ScriptedAgent,
  sent,
  setup,
  silent,
  stateOf,
  statusText,
  textsOf,
} from "../fixtures.ts";

const text = (value: string) => [{ content: { case: "text" as const, value } }];

describe("time limits", () => {
  it.each([
    ["the whole turn", { turnTimeoutMs: 1_000, turnIdleTimeoutMs: 60_000 }, 1_000, "took longer than 1 s"],
    ["its silence", { turnTimeoutMs: 60_000, turnIdleTimeoutMs: 2_000 }, 2_000, "yielded nothing for 2 s"],
  ])("a time limit on %s: the agent gets the signal, has its grace time, and the task is FAILED and says so", async (_, limits, ms, why) => {
    const scripted = new ScriptedAgent();
    const { manager, clock } = await setup(scripted, { options: { ...limits, cancelGraceMs: 500 } });
    const answer = sent(manager, "go");
    const turn = await scripted.turn();
    await clock.advance(ms - 1);
    expect(turn.told).toBeUndefined();
    await clock.advance(1);
    expect(turn.told).toBe("timed-out");
    await clock.advance(500);
    expect([stateOf(await answer), statusText(await answer)]).toEqual(["FAILED", `The agent was stopped: it ${why}`]);
  });

  it("the time limit on silence begins anew with every event", async () => {
    const scripted = new ScriptedAgent();
    const { manager, clock } = await setup(scripted, { options: { turnIdleTimeoutMs: 1_000 } });
    await begun(manager, "go");
    const turn = await scripted.turn();
    for (let index = 0; index < 5; index++) {
      await clock.advance(900);
      await turn.yield(working());
    }
    expect(turn.told).toBeUndefined();
    await clock.advance(1_000);
    expect(turn.told).toBe("timed-out");
  });
});

describe("slots", () => {
  it("as many tasks run as there are slots; the others are SUBMITTED until one ends, in order of arrival", async () => {
    const scripted = new ScriptedAgent();
    const { manager } = await setup(scripted, { options: { maxRunningTasks: 2 } });
    const tasks = [];
    for (const name of ["a", "b", "c", "d"]) tasks.push(await begun(manager, name));
    await settle();
    expect(scripted.turns.map((turn) => turn.text)).toEqual(["a", "b"]);
    expect(stateOf((await manager.getTask(tasks[2]?.id ?? "")).task)).toBe("SUBMITTED");
    scripted.turns[1]?.return();
    await settle();
    expect(scripted.turns.map((turn) => turn.text)).toEqual(["a", "b", "c"]);
    scripted.turns[0]?.return();
    scripted.turns[2]?.return();
    expect((await scripted.turn(3)).text).toBe("d");
  });

  it.each([
    ["one after the other", false],
    ["all at once", true],
  ])("a task sent %s while the queue is full is refused and leaves nothing", async (_, together) => {
    const scripted = new ScriptedAgent();
    const { manager, faulty } = await setup(scripted, { options: { maxRunningTasks: 1, maxQueuedTasks: 2 } });
    const outcomes: string[] = [];
    const one = async (index: number) => {
      outcomes.push(
        await begun(manager, `m${index}`).then(
          () => "taken",
          (error: { reason: string }) => error.reason,
        ),
      );
    };
    const all: Promise<void>[] = [];
    for (let index = 0; index < 10; index++) {
      const call = one(index);
      all.push(call);
      await (together ? undefined : call);
    }
    await Promise.all(all);
    expect(outcomes.filter((outcome) => outcome === "taken")).toHaveLength(3);
    expect(outcomes.filter((outcome) => outcome === "TOO_MANY")).toHaveLength(7);
    expect(await faulty.storage.getConversationStats()).toMatchObject({ totalConversations: 3, totalMessages: 3 });
  });

  it("a known message joins its task while the queue is full, and an unknown one leaves no claim", async () => {
    const scripted = new ScriptedAgent();
    const { manager, faulty } = await setup(scripted, {
      options: { maxRunningTasks: 1, maxQueuedTasks: 1, messageIds: "strict" },
    });
    const first = message("first");
    const { id } = await begun(manager, first);
    await begun(manager, "second");
    expect((await begun(manager, first)).id).toBe(id);
    const refused = message("third", { messageId: "third" });
    await expectRefused(begun(manager, refused), "TOO_MANY");
    // The same id with other content, too.
    await expectRefused(begun(manager, message("other", { messageId: first.messageId })), "TOO_MANY");
    (await scripted.turn()).return();
    await scripted.turn(1);
    expect(await faulty.storage.getConversationStats()).toMatchObject({ totalConversations: 2 });
    // Strict message ids would refuse it if the refused one had left a claim.
    expect(textsOf((await begun(manager, message("third again", { messageId: "third" }))).history)).toEqual([
      "third again",
    ]);
  });

  it("an answer to a question is refused while the queue is full, and leaves nothing", async () => {
    const scripted = new ScriptedAgent();
    const { manager, faulty } = await setup(scripted, { options: { maxRunningTasks: 1, maxQueuedTasks: 0 } });
    const asks = sent(manager, "asks");
    const turn = await scripted.turn();
    await turn.yield(inputRequired("?"));
    turn.return();
    const { id } = await asks;
    await begun(manager, "runs");
    const running = await scripted.turn(1);
    const before = await logOf(faulty, id);
    await expectRefused(begun(manager, message("answer", { taskId: id })), "TOO_MANY");
    expect(await logOf(faulty, id)).toEqual(before);
    // One for the task that runs needs no further place.
    await begun(manager, message("more", { taskId: running.context.taskId }));
    running.return();
    (await scripted.turn(2)).return();
    await settle();
    const answer = sent(manager, message("answer", { taskId: id }));
    (await scripted.turn(3)).return();
    expect(stateOf(await answer)).toBe("COMPLETED");
  });
});

it("an error that the agent met, in a call of its own too, fails the task without a word of it", async () => {
  const { manager } = await setup(silent(({ getTask }) => getTask("secret-id")));
  const task = await sent(manager, "go");
  expect([stateOf(task), statusText(task)]).toEqual(["FAILED", "The agent failed"]);
});

describe("what can't be appended is thrown at the yield, and the turn may go on", () => {
  const cases: readonly [string, ProcessorEvent, string][] = [
    ["SUBMITTED", status(TaskState.SUBMITTED), "INVALID_AGENT_RESPONSE"],
    ["UNSPECIFIED", status(TaskState.UNSPECIFIED), "INVALID_AGENT_RESPONSE"],
    ["an unknown state", status(99 as TaskState), "INVALID_AGENT_RESPONSE"],
    ["an artifact without parts", artifact({ artifactId: "a", parts: [] }), "INVALID_AGENT_RESPONSE"],
    [
      "a message without parts",
      { statusUpdate: { state: TaskState.WORKING, message: { parts: [] } } },
      "INVALID_AGENT_RESPONSE",
    ],
    [
      "metadata that JSON can't hold",
      { statusUpdate: { state: TaskState.WORKING, metadata: { x: Number.NaN } } },
      "INVALID_AGENT_RESPONSE",
    ],
    ["an event that is too large", artifact({ artifactId: "a", parts: text("secret".repeat(1000)) }), "TOO_LARGE"],
    ["nothing at all", undefined as unknown as ProcessorEvent, "INVALID_AGENT_RESPONSE"],
    ["an event of no kind", {} as ProcessorEvent, "INVALID_AGENT_RESPONSE"],
    ["an artifact that is none", { artifactUpdate: { artifact: null as unknown as object } }, "INVALID_AGENT_RESPONSE"],
  ];

  it.each(cases)("%s", async (_, event, reason) => {
    const scripted = new ScriptedAgent();
    const { manager } = await setup(scripted, { options: { maxEventBytes: 4096 } });
    const answer = sent(manager, "go");
    const turn = await scripted.turn();
    await expectRefused(turn.yield(event), reason as never);
    await turn.yield(completed("all the same"));
    expect([stateOf(await answer), (await answer).artifacts.length]).toEqual(["COMPLETED", 0]);
  });

  it.each(cases)("%s, uncaught: the task is FAILED, and the contents stay inside", async (_, event) => {
    const { manager } = await setup(
      agent(async function* () {
        yield event;
      }),
      { options: { maxEventBytes: 4096 } },
    );
    const task = await sent(manager, "go");
    expect([stateOf(task), statusText(task).includes("secret")]).toEqual(["FAILED", false]);
  });

  it("anything after a terminal status", async () => {
    const scripted = new ScriptedAgent();
    const { manager, faulty } = await setup(scripted);
    const answer = sent(manager, "go");
    const turn = await scripted.turn();
    await turn.yield(completed("done"));
    await expectRefused(turn.yield(working("more")), "INVALID_AGENT_RESPONSE");
    turn.throw(new Error("late"));
    const { id } = await answer;
    await settle();
    expect(kindsOf(await logOf(faulty, id)).at(-1)).toBe("status:COMPLETED");
  });

  it("what makes the task too large; it can still end", async () => {
    const scripted = new ScriptedAgent();
    const { manager } = await setup(scripted, { options: { maxEventBytes: 4096, maxTaskBytes: 8192 } });
    const answer = sent(manager, "go");
    const turn = await scripted.turn();
    const chunk = artifact({ artifactId: "a", parts: text("x".repeat(3000)) }, { append: true });
    await turn.yield(chunk);
    await turn.yield(chunk);
    await expectRefused(turn.yield(chunk), "TOO_LARGE");
    await expectRefused(begun(manager, message("x".repeat(3000), { taskId: turn.context.taskId })), "TOO_LARGE");
    turn.return();
    expect(stateOf(await answer)).toBe("COMPLETED");
  });
});

describe("an agent that fails", () => {
  const broken: readonly [string, (context: TaskContext) => unknown][] = [
    [
      "throws later",
      async function* () {
        await Promise.reject(new Error("secret"));
        yield* [];
      },
    ],
    [
      "throws in the call itself",
      () => {
        throw new Error("secret");
      },
    ],
    ["returns nothing", () => undefined],
    ["returns a promise", async () => {}],
    ["returns a plain iterable", () => [working("x")]],
    [
      "throws what is no error",
      () => {
        throw "secret";
      },
    ],
    [
      "has an iterator without throw",
      () => ({
        [Symbol.asyncIterator]: () => ({ next: async () => ({ done: false, value: status(TaskState.SUBMITTED) }) }),
      }),
    ],
    ["gives results that are none", () => ({ [Symbol.asyncIterator]: () => ({ next: async () => undefined }) })],
  ];

  it.each(broken)("%s: FAILED, its words in the log and nowhere else", async (_, processMessage) => {
    const { manager, lines } = await setup({ processMessage } as unknown as MessageProcessor);
    const task = await sent(manager, "go");
    expect([stateOf(task), statusText(task).includes("secret")]).toEqual(["FAILED", false]);
    expect(lines.some(({ level }) => level === "error")).toBe(true);
  });
});
