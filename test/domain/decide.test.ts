import { describe, expect, test } from "vitest";
import { Role, type TaskState } from "../../gen/lf/a2a/v1/a2a_pb.ts";
import {
  agentMessage,
  decideCancel,
  decideCreate,
  decideEvent,
  decideMessage,
  decideTurnAgain,
  decideTurnEnd,
} from "../../src/domain/decide.ts";
import { type TaskFold, taskOf } from "../../src/domain/fold.ts";
import { waitingMessagesMax } from "../../src/domain/limits.ts";
import type { ProcessorEvent } from "../../src/domain/processor-event.ts";
import { isInterrupted, isSettled, isTerminal, mayFollow, stateNames } from "../../src/domain/task-state.ts";
import {
  AUTH_REQUIRED,
  CANCELED,
  COMPLETED,
  cancel,
  evolveAll,
  FAILED,
  INPUT_REQUIRED,
  idle,
  message,
  messageOf,
  nowMs,
  options,
  REJECTED,
  reason,
  running,
  SUBMITTED,
  says,
  shortOf,
  stampAt,
  status,
  taskAfter,
  turn,
  UNSPECIFIED,
  WORKING,
} from "./decide-fixtures.ts";

describe("the state machine", () => {
  const all = [
    UNSPECIFIED,
    SUBMITTED,
    WORKING,
    COMPLETED,
    FAILED,
    CANCELED,
    INPUT_REQUIRED,
    REJECTED,
    AUTH_REQUIRED,
    99 as TaskState,
  ];
  const goesOn = [WORKING, COMPLETED, FAILED, CANCELED, INPUT_REQUIRED, REJECTED, AUTH_REQUIRED];
  const cases: readonly { from: TaskState; to: readonly TaskState[]; settled: boolean; interrupted: boolean }[] = [
    { from: UNSPECIFIED, to: goesOn, settled: false, interrupted: false },
    { from: SUBMITTED, to: goesOn, settled: false, interrupted: false },
    { from: WORKING, to: goesOn, settled: false, interrupted: false },
    { from: INPUT_REQUIRED, to: goesOn, settled: true, interrupted: true },
    { from: AUTH_REQUIRED, to: goesOn, settled: true, interrupted: true },
    { from: COMPLETED, to: [], settled: true, interrupted: false },
    { from: FAILED, to: [], settled: true, interrupted: false },
    { from: CANCELED, to: [], settled: true, interrupted: false },
    { from: REJECTED, to: [], settled: true, interrupted: false },
  ];
  test.for(cases)("what may follow $from", ({ from, to, settled, interrupted }) => {
    expect(all.filter((state) => mayFollow(from, state))).toEqual(all.filter((state) => to.includes(state)));
    expect([isSettled(from), isInterrupted(from), isTerminal(from)]).toEqual([
      settled,
      interrupted,
      settled && !interrupted,
    ]);
  });
});

describe("creating", () => {
  test("stores the message without the ids that the log's key has, and leaves the caller's as it was", () => {
    const sent = messageOf("first", { contextId: "context", taskId: "task" });
    const { body, timeMs } = decideCreate("context", sent, options, stampAt());
    expect(timeMs).toBe(BigInt(nowMs));
    expect(body.value).toMatchObject({
      task: { id: "", contextId: "context", status: { state: SUBMITTED }, history: [{ taskId: "", contextId: "" }] },
      options,
    });
    expect(sent).toMatchObject({ contextId: "context", taskId: "task" });
  });
});

describe("a message for a task is refused", () => {
  const cases: readonly {
    name: string;
    fold: TaskFold;
    id?: string;
    context?: string;
    rules?: Parameters<typeof decideMessage>[3];
    reason: string;
  }[] = [
    ...[COMPLETED, FAILED, CANCELED, REJECTED].map((state) => ({
      name: `once it is ${stateNames[state]}`,
      fold: taskAfter(turn, status(state)),
      reason: "UNSUPPORTED_OPERATION",
    })),
    { name: "of another context", fold: taskAfter(), context: "other", reason: "INVALID_REQUEST" },
    {
      name: "of another context before all else",
      fold: taskAfter(turn, status(COMPLETED)),
      id: "first",
      context: "other",
      reason: "INVALID_REQUEST",
    },
    { name: "that is being canceled", fold: taskAfter(turn, cancel), reason: "UNSUPPORTED_OPERATION" },
    {
      name: "during a turn that takes none",
      fold: taskAfter(turn),
      rules: { ...running, whileWorking: "reject" },
      reason: "UNSUPPORTED_OPERATION",
    },
    {
      name: "where as many wait as may",
      fold: taskAfter(turn, ...Array.from({ length: waitingMessagesMax }, (_, index) => message(`m${index}`))),
      reason: "TOO_MANY",
    },
  ];
  test.for(cases)("$name", ({ fold, id = "new", context = "", rules = running, reason: expected }) => {
    const before = taskOf(fold);
    expect(() => decideMessage(fold, messageOf(id, { contextId: context }), options, rules, stampAt())).toThrow(
      reason(expected),
    );
    expect(taskOf(fold)).toEqual(before);
  });
});

describe("a message for a task is accepted", () => {
  const cases: readonly {
    name: string;
    fold: TaskFold;
    rules: Parameters<typeof decideMessage>[3];
    entries: readonly string[];
  }[] = [
    { name: "while it is SUBMITTED", fold: taskAfter(), rules: idle, entries: ["message new"] },
    { name: "during a turn", fold: taskAfter(turn), rules: running, entries: ["message new"] },
    {
      name: "between turns by one that takes none meanwhile",
      fold: taskAfter(turn),
      rules: { ...idle, whileWorking: "reject" },
      entries: ["message new"],
    },
    {
      name: "as the last that may wait",
      fold: taskAfter(turn, ...Array.from({ length: waitingMessagesMax - 1 }, (_, index) => message(`m${index}`))),
      rules: running,
      entries: ["message new"],
    },
    {
      name: "as the answer to a question of one that takes none while it works",
      fold: taskAfter(turn, status(INPUT_REQUIRED, "what?")),
      rules: { ...running, whileWorking: "reject" },
      entries: ["WORKING", "message new"],
    },
    {
      name: "as the answer to a question",
      fold: taskAfter(turn, status(INPUT_REQUIRED, "what?")),
      rules: idle,
      entries: ["WORKING", "message new resumes"],
    },
    {
      name: "as the answer to a question whose turn is at its last steps",
      fold: taskAfter(turn, status(INPUT_REQUIRED, "what?")),
      rules: running,
      entries: ["WORKING", "message new"],
    },
    {
      name: "after a credential came",
      fold: taskAfter(turn, status(AUTH_REQUIRED)),
      rules: idle,
      entries: ["WORKING", "message new resumes"],
    },
  ];
  test.for(cases)("$name", ({ fold, rules, entries }) => {
    const decision = decideMessage(fold, messageOf("new", { contextId: "context" }), options, rules, stampAt());
    expect(decision.kind === "accept" && shortOf(decision.entries)).toEqual(entries);
    evolveAll(fold, decision.kind === "accept" ? decision.entries : []);
    expect(fold.history.at(-1)?.messageId).toBe("new");
    expect(fold.waiting.at(-1)).toMatchObject({
      sequence: fold.sequence,
      historyIndex: fold.history.length - 1,
      options,
    });
  });

  test("and its turn is the next one after those that wait already", () => {
    const fold = taskAfter(turn, message("second"), message("third"));
    const begun = [turn, turn, turn].map((next) => {
      const entries = next(fold);
      evolveAll(fold, entries);
      return shortOf(entries);
    });
    expect(begun).toEqual([["turn 4 attempt 1"], ["turn 5 attempt 1"], []]);
  });
});

describe("the same message again", () => {
  const join = { ...running, join: true };
  const cases: readonly { name: string; fold: TaskFold; id: string; sequence: bigint }[] = [
    { name: "joins the one that waits", fold: taskAfter(turn, message("second")), id: "second", sequence: 4n },
    { name: "joins the one whose turn runs", fold: taskAfter(turn), id: "first", sequence: 1n },
    {
      name: "joins one that a turn before has answered",
      fold: taskAfter(turn, message("second"), turn),
      id: "first",
      sequence: 0n,
    },
    { name: "joins one of a task that has ended", fold: taskAfter(turn, status(COMPLETED)), id: "first", sequence: 1n },
    { name: "joins one of a task that is being canceled", fold: taskAfter(turn, cancel), id: "first", sequence: 1n },
  ];
  test.for(cases)("$name", ({ fold, id, sequence }) => {
    // Sent again, it may name the context and the task or leave them out.
    for (const sent of [messageOf(id), messageOf(id, { contextId: "context", taskId: "task" })]) {
      expect(decideMessage(fold, sent, options, join, stampAt())).toEqual({ kind: "joined", sequence });
    }
  });

  test("doesn't join with other content, nor where joining is off", () => {
    const fold = taskAfter(turn);
    const other = messageOf("first");
    other.parts.push(...messageOf("more").parts);
    expect(decideMessage(fold, other, options, join, stampAt()).kind).toBe("accept");
    expect(decideMessage(fold, messageOf("first"), options, running, stampAt()).kind).toBe("accept");
  });

  test("doesn't join what the agent said under that id", () => {
    const asks = (fold: TaskFold) =>
      decideEvent(
        fold,
        { statusUpdate: { state: INPUT_REQUIRED, message: { ...says("q"), messageId: "q", role: Role.USER } } },
        stampAt(),
      );
    const fold = taskAfter(turn, asks, message("a", idle));
    expect(decideMessage(fold, messageOf("q"), options, join, stampAt()).kind).toBe("accept");
  });
});

describe("turns", () => {
  test("the first begins with the message that made the task", () => {
    expect(shortOf(turn(taskAfter()))).toEqual(["WORKING", "turn 1 attempt 1"]);
  });
  test("a question doesn't hold up a message that waits already", () => {
    expect(shortOf(turn(taskAfter(turn, message("second"), status(INPUT_REQUIRED, "what?"))))).toEqual([
      "WORKING",
      "turn 4 attempt 1",
    ]);
  });
  test("none begins on nothing, or after the end", () => {
    expect(turn(taskAfter(turn))).toEqual([]);
    expect(turn(taskAfter(turn, message("second"), status(FAILED)))).toEqual([]);
  });
  test("one that was cut off is run again, counted, with the results of its steps", () => {
    const again = (fold: TaskFold) => decideTurnAgain(fold, true, stampAt());
    const fold = taskAfter(turn, message("second"), again);
    expect(fold.turn).toMatchObject({ message: { sequence: 1n }, attempt: 2, losses: 1 });
    expect(shortOf(again(fold))).toEqual(["turn 1 attempt 3"]);
    expect(shortOf(again(taskAfter(turn, status(AUTH_REQUIRED))))).toEqual(["WORKING", "turn 1 attempt 2"]);
    expect(again(taskAfter())).toEqual([]);
    expect(again(taskAfter(turn, status(REJECTED)))).toEqual([]);
  });

  const ends: readonly {
    name: string;
    fold: TaskFold;
    end: Parameters<typeof decideTurnEnd>[1];
    entries: readonly string[];
  }[] = [
    { name: "returned", fold: taskAfter(turn), end: { kind: "returned" }, entries: ["COMPLETED"] },
    {
      name: "returned after a terminal status",
      fold: taskAfter(turn, status(REJECTED)),
      end: { kind: "returned" },
      entries: [],
    },
    {
      name: "returned after a question",
      fold: taskAfter(turn, status(INPUT_REQUIRED)),
      end: { kind: "returned" },
      entries: [],
    },
    {
      name: "returned while a message waits",
      fold: taskAfter(turn, message("second")),
      end: { kind: "returned" },
      entries: [],
    },
    {
      name: "failed",
      fold: taskAfter(turn, message("second")),
      end: { kind: "failed", text: "why" },
      entries: ["FAILED+message"],
    },
    {
      name: "failed after the end",
      fold: taskAfter(turn, status(COMPLETED)),
      end: { kind: "failed", text: "why" },
      entries: [],
    },
    { name: "canceled", fold: taskAfter(turn, cancel), end: { kind: "canceled" }, entries: ["CANCELED"] },
    {
      name: "canceled at a question",
      fold: taskAfter(turn, status(INPUT_REQUIRED)),
      end: { kind: "canceled" },
      entries: ["CANCELED"],
    },
    {
      name: "canceled after the end",
      fold: taskAfter(turn, cancel, status(COMPLETED)),
      end: { kind: "canceled" },
      entries: [],
    },
    { name: "stopped", fold: taskAfter(turn), end: { kind: "stopped" }, entries: [] },
  ];
  test.for(ends)("one that $name ends with $entries", ({ fold, end, entries }) => {
    expect(shortOf(decideTurnEnd(fold, end, stampAt()))).toEqual(entries);
  });
});

describe("what the processor yields", () => {
  test.for([
    { name: "SUBMITTED", event: { statusUpdate: { state: SUBMITTED } } },
    { name: "no state", event: { statusUpdate: { state: UNSPECIFIED } } },
    { name: "a state that there is none of", event: { statusUpdate: { state: 99 as TaskState } } },
    { name: "a message without parts", event: { statusUpdate: { state: WORKING, message: {} } } },
    { name: "a message with an empty part", event: { statusUpdate: { state: WORKING, message: { parts: [{}] } } } },
    {
      name: "a message whose id is too long",
      event: { statusUpdate: { state: WORKING, message: { ...says("x"), messageId: "x".repeat(257) } } },
    },
    { name: "an artifact without parts", event: { artifactUpdate: { artifact: { artifactId: "a" } } } },
    {
      name: "an artifact with an empty part",
      event: { artifactUpdate: { artifact: { artifactId: "a", parts: [{}] } } },
    },
    {
      name: "a status whose metadata is no JSON",
      event: { statusUpdate: { state: WORKING, metadata: { share: Number.NaN } } },
    },
    {
      name: "a chunk whose metadata is no JSON",
      event: { artifactUpdate: { artifact: says("x"), metadata: { share: [Number.POSITIVE_INFINITY] } } },
    },
    {
      name: "an artifact whose id is too long",
      event: { artifactUpdate: { artifact: { artifactId: "é".repeat(129), ...says("x") } } },
    },
  ] satisfies readonly { name: string; event: ProcessorEvent }[])("is refused: $name", ({ event }) => {
    const fold = taskAfter(turn);
    expect(() => decideEvent(fold, event, stampAt())).toThrow(reason("INVALID_AGENT_RESPONSE"));
    expect(fold.sequence).toBe(3n);
  });

  test.for([COMPLETED, FAILED, CANCELED, REJECTED])("is refused: a status after %s", (state) => {
    for (const next of [WORKING, state])
      expect(() => status(next)(taskAfter(turn, status(state)))).toThrow(reason("INVALID_AGENT_RESPONSE"));
  });

  test("is nothing where WORKING says nothing new", () => {
    expect(status(WORKING)(taskAfter(turn))).toEqual([]);
    expect(shortOf(status(WORKING, "half")(taskAfter(turn)))).toEqual(["WORKING+message"]);
    expect(shortOf(status(WORKING)(taskAfter(turn, status(WORKING, "half"))))).toEqual(["WORKING"]);
    expect(shortOf(status(WORKING)(taskAfter(turn, status(INPUT_REQUIRED))))).toEqual(["WORKING"]);
    expect(
      decideEvent(taskAfter(turn), { statusUpdate: { state: WORKING, metadata: { percent: 3 } } }, stampAt()),
    ).toHaveLength(1);
  });

  test("gets the ids it lacks, keeps those it has, and is the agent's", () => {
    const [entry] = status(INPUT_REQUIRED, "what?")(taskAfter(turn));
    expect(entry?.body.value).toMatchObject({
      status: { message: { messageId: "made-0", role: Role.AGENT, taskId: "", contextId: "" } },
    });
    expect(agentMessage({ ...says("x"), messageId: "own", role: Role.USER, taskId: "other" }, stampAt())).toMatchObject(
      {
        messageId: "own",
        role: Role.AGENT,
        taskId: "",
      },
    );
    const made = decideEvent(
      taskAfter(turn),
      { artifactUpdate: { artifact: says("x"), lastChunk: true, metadata: { a: 1 } } },
      stampAt(),
    );
    expect(made[0]?.body.value).toMatchObject({
      artifact: { artifactId: "turn-1.1" },
      append: false,
      lastChunk: true,
      metadata: { a: 1 },
    });
  });

  test("completes between turns: the last word becomes history, and the task goes on", () => {
    const fold = taskAfter(turn, message("second"));
    expect(status(COMPLETED)(fold)).toEqual([]);
    const entries = status(COMPLETED, "done")(fold);
    expect(shortOf(entries)).toEqual(["message made-0"]);
    evolveAll(fold, entries);
    expect(fold.history.map(({ messageId }) => messageId)).toEqual(["first", "second", "made-0"]);
    expect(fold.waiting.map(({ historyIndex }) => historyIndex)).toEqual([1]);
    expect(fold.status.state).toBe(WORKING);
    evolveAll(fold, turn(fold));
    expect(shortOf(status(COMPLETED, "done")(fold))).toEqual(["COMPLETED+message"]);
  });

  test("completes between turns after a question: the question enters the history before the last word", () => {
    const asks = (fold: TaskFold) =>
      decideEvent(
        fold,
        { statusUpdate: { state: INPUT_REQUIRED, message: { ...says("q"), messageId: "q" } } },
        stampAt(),
      );
    const fold = taskAfter(turn, message("second"), asks, status(COMPLETED, "done"));
    expect(fold.history.map(({ messageId }) => messageId)).toEqual(["first", "second", "q", "made-0"]);
    expect(fold.status.state).toBe(WORKING);
    expect(taskAfter(turn, message("second"), asks, status(COMPLETED)).status.state).toBe(WORKING);
  });

  test.for([FAILED, CANCELED, REJECTED])("ends the task as %s even while a message waits", (state) => {
    expect(taskAfter(turn, message("second"), status(state, "no")).status).toMatchObject({
      state,
      message: { role: Role.AGENT },
    });
  });
});

describe("cancel", () => {
  test.for([COMPLETED, FAILED, CANCELED, REJECTED])("is refused once the task is %s", (state) => {
    for (const turnRuns of [true, false]) {
      expect(() => decideCancel(taskAfter(turn, status(state)), turnRuns, undefined, stampAt())).toThrow(
        reason("TASK_NOT_CANCELABLE"),
      );
    }
  });
  test("is recorded once while a turn runs, and done at once otherwise", () => {
    expect(shortOf(cancel(taskAfter(turn)))).toEqual(["cancelRequested"]);
    expect(cancel(taskAfter(turn, cancel))).toEqual([]);
    for (const fold of [
      taskAfter(),
      taskAfter(turn),
      taskAfter(turn, cancel),
      taskAfter(turn, status(INPUT_REQUIRED, "what?")),
    ]) {
      const entries = decideCancel(fold, false, undefined, stampAt());
      expect(shortOf(entries)).toEqual(["CANCELED"]);
    }
  });
  test("keeps the metadata of the wish", () => {
    expect(decideCancel(taskAfter(turn), true, { why: "late" }, stampAt())[0]?.body.value).toMatchObject({
      metadata: { why: "late" },
    });
  });
});
