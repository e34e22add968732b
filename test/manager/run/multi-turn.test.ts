import { describe, expect, it } from "vitest";
import { TaskState } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import {
  authRequired,
  completed,
  inputRequired,
  rejected,
  status,
  textOf,
  working,
} from "../../../src/agent/processor-events.ts";
import { settle } from "../../runtime/manual-clock.ts";
import {
  agent,
  begun,
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

async function interrupted(last = inputRequired("question?"), agent = new ScriptedAgent()) {
  const all = await setup(agent);
  const first = sent(all.manager, "one");
  const turn = await agent.turn();
  await turn.yield(last);
  turn.return();
  const task = await first;
  await settle();
  return { ...all, scripted: agent, task };
}

describe("a follow-up", () => {
  it.each([
    ["INPUT_REQUIRED", inputRequired("question?")],
    ["AUTH_REQUIRED", authRequired("question?")],
  ])("to a task in %s is its next turn, in the task's context (R25, R78, R81, R88)", async (_, last) => {
    const { manager, scripted, task } = await interrupted(last);
    const answer = sent(manager, message("answer", { taskId: task.id }));
    const turn = await scripted.turn(1);
    expect([turn.text, turn.context.contextId, turn.context.taskId, turn.context.attempt]).toEqual([
      "answer",
      task.contextId,
      task.id,
      1,
    ]);
    expect(await isSettledNow(answer)).toBe(false);
    await turn.yield(completed("done"));
    const ended = await answer;
    expect([ended.id, stateOf(ended), textsOf(ended.history)]).toEqual([
      task.id,
      "COMPLETED",
      ["one", "question?", "answer"],
    ]);
  });

  it("that names another context is refused, the field named (R79)", async () => {
    const { manager, task } = await interrupted();
    await expect(sent(manager, message("answer", { taskId: task.id, contextId: "other" }))).rejects.toMatchObject({
      reason: "INVALID_REQUEST",
      violations: [{ field: "message.context_id" }],
    });
    expect(textsOf((await manager.getTask(task.id)).task.history)).toEqual(["one"]);
  });

  it.each([
    ["COMPLETED", completed("x")],
    ["FAILED", status(TaskState.FAILED, "x")],
    ["CANCELED", status(TaskState.CANCELED, "x")],
    ["REJECTED", rejected("x")],
  ])("to a %s task is refused, and leaves no entry (R23, R84)", async (_, last) => {
    const { manager, faulty, task, scripted } = await interrupted(last);
    const before = await logOf(faulty, task.id);
    await expectRefused(sent(manager, message("more", { taskId: task.id })), "UNSUPPORTED_OPERATION");
    await expectRefused(
      sent(manager, message("more", { taskId: task.id, contextId: task.contextId })),
      "UNSUPPORTED_OPERATION",
    );
    expect([await logOf(faulty, task.id), scripted.turns.length]).toEqual([before, 1]);
  });

  it("answers a question while the agent still tidies up, and stands behind it in the history", async () => {
    const scripted = new ScriptedAgent();
    const { manager } = await setup(scripted);
    const first = sent(manager, "one");
    const turn = await scripted.turn();
    await turn.yield(inputRequired("question?"));
    const { id } = await first;
    const answer = sent(manager, message("answer", { taskId: id }));
    await settle();
    turn.return();
    (await scripted.turn(1)).return();
    expect(textsOf((await answer).history)).toEqual(["one", "question?", "answer"]);
  });
});

describe("messages during a turn", () => {
  it("messages during a turn become turns of their own, in order", async () => {
    const scripted = new ScriptedAgent();
    const { manager } = await setup(scripted);
    const first = sent(manager, "one");
    const turn = await scripted.turn();
    const later = ["two", "three"].map((text) => sent(manager, message(text, { taskId: turn.context.taskId })));
    await settle();
    expect(scripted.turns).toHaveLength(1);
    turn.return();
    expect((await scripted.turn(1)).text).toBe("two");
    // The first sender has its answer once a later turn begins.
    expect(stateOf(await first)).toBe("WORKING");
    expect(await isSettledNow(Promise.all(later))).toBe(false);
    scripted.turns[1]?.return();
    expect((await scripted.turn(2)).text).toBe("three");
    await settle();
    scripted.turns[2]?.return();
    expect((await Promise.all(later)).map(stateOf)).toEqual(["WORKING", "COMPLETED"]);
  });

  it("go on after a turn that completes: its last word is history, the task isn't over", async () => {
    const scripted = new ScriptedAgent();
    const { manager, faulty } = await setup(scripted);
    const { id } = await begun(manager, "one");
    const turn = await scripted.turn();
    const second = sent(manager, message("two", { taskId: id }));
    await settle();
    await turn.yield(completed("first done"));
    turn.return();
    const next = await scripted.turn(1);
    await next.yield(completed("all done"));
    const task = await second;
    expect([stateOf(task), textsOf(task.history)]).toEqual(["COMPLETED", ["one", "two", "first done"]]);
    expect(kindsOf(await logOf(faulty, id)).filter((kind) => kind === "status:COMPLETED")).toHaveLength(1);
  });

  it("at most 16 messages wait for their turn: the next is refused and leaves nothing", async () => {
    const scripted = new ScriptedAgent();
    const { manager, faulty } = await setup(scripted);
    const { id } = await begun(manager, "one");
    const turn = await scripted.turn();
    for (let index = 0; index < 16; index++) await begun(manager, message(`m${index}`, { taskId: id }));
    await expectRefused(begun(manager, message("too many", { taskId: id })), "TOO_MANY");
    turn.return();
    for (let index = 1; index <= 16; index++) (await scripted.turn(index)).return();
    await settle();
    expect(scripted.turns.map(({ text }) => text)).toEqual([
      "one",
      ...Array.from({ length: 16 }, (_, index) => `m${index}`),
    ]);
    expect(kindsOf(await logOf(faulty, id)).at(-1)).toBe("status:COMPLETED");
  });

  it("are refused where the agent takes none, and taken once it waits", async () => {
    const scripted = new ScriptedAgent({ whileWorking: "reject" });
    const { manager } = await setup(scripted);
    const first = sent(manager, "one");
    const turn = await scripted.turn();
    await expectRefused(begun(manager, message("two", { taskId: turn.context.taskId })), "UNSUPPORTED_OPERATION");
    await turn.yield(inputRequired("?"));
    turn.return();
    const { id } = await first;
    const second = sent(manager, message("two", { taskId: id }));
    (await scripted.turn(1)).return();
    expect(textsOf((await second).history)).toEqual(["one", "?", "two"]);
  });

  it("are taken at INPUT_REQUIRED by such an agent, even while it tidies up", async () => {
    const scripted = new ScriptedAgent({ whileWorking: "reject" });
    const { manager } = await setup(scripted);
    const first = sent(manager, "one");
    const turn = await scripted.turn();
    await turn.yield(inputRequired("?"));
    const { id } = await first;
    const second = sent(manager, message("two", { taskId: id }));
    await settle();
    turn.return();
    (await scripted.turn(1)).return();
    expect(stateOf(await second)).toBe("COMPLETED");
  });

  it("that fail the task with others waiting answer all who wait", async () => {
    const scripted = new ScriptedAgent();
    const { manager } = await setup(scripted);
    const first = sent(manager, "one");
    const turn = await scripted.turn();
    const second = sent(manager, message("two", { taskId: turn.context.taskId }));
    await settle();
    turn.throw(new Error("boom"));
    expect([await first, await second].map(stateOf)).toEqual(["FAILED", "FAILED"]);
    expect(scripted.turns).toHaveLength(1);
  });

  it("during an open AUTH_REQUIRED turn wait, and the turn goes on by itself (R87, R88)", async () => {
    const scripted = new ScriptedAgent();
    const { manager } = await setup(scripted);
    const first = sent(manager, "one");
    const turn = await scripted.turn();
    await turn.yield(authRequired("sign in"));
    const { id } = await first;
    const second = sent(manager, message("I refuse", { taskId: id }));
    expect(await isSettledNow(second)).toBe(false);
    const { task } = await manager.getTask(id);
    expect([stateOf(task), statusText(task), textsOf(task.history)]).toEqual([
      "AUTH_REQUIRED",
      "sign in",
      ["one", "sign in", "I refuse"],
    ]);
    await turn.yield(working("credential came"));
    turn.return();
    const next = await scripted.turn(1);
    expect(next.text).toBe("I refuse");
    next.return();
    const ended = await second;
    expect([stateOf(ended), textsOf(ended.history)]).toEqual(["COMPLETED", ["one", "sign in", "I refuse"]]);
  });
});

it("has the messages of the whole conversation, this one included, oldest first", async () => {
  const seen: (readonly string[])[] = [];
  const { manager } = await setup(
    silent(async (context) => seen.push(textsOf(await context.history()), textsOf(await context.history(1)))),
  );
  await sent(manager, message("one", { contextId: "c" }));
  await sent(manager, message("two", { contextId: "c" }));
  expect(seen).toEqual([["one"], ["one"], ["one", "two"], ["two"]]);
});

it("has them in the order they were sent, also those of many tasks within a millisecond, answers among them", async () => {
  const { manager, faulty } = await setup(
    agent(async function* ({ message: { parts } }) {
      yield completed(`re ${textOf({ parts })}`);
    }),
  );
  const texts = Array.from({ length: 12 }, (_, index) => `m${index}`);
  for (const text of texts) await sent(manager, message(text, { contextId: "c" }));
  const history = await faulty.storage.listMessagesByContextId({ tenant: "", owner: "" }, "c");
  expect(textsOf(history)).toEqual(texts.flatMap((text) => [text, `re ${text}`]));
});

it("keeps a stream of the first message open over turns that complete while messages wait", async () => {
  const scripted = new ScriptedAgent();
  const { manager } = await setup(scripted);
  const stream = reading(manager.sendStreamingMessage(request("one")));
  const turn = await scripted.turn();
  await begun(manager, message("two", { taskId: turn.context.taskId }));
  await turn.yield(completed("half"));
  turn.return();
  const next = await scripted.turn(1);
  expect(stream.isOver()).toBe(false);
  next.return();
  await stream.ended;
  expect(stream.seen.at(-1)).toBe("status:COMPLETED");
});
