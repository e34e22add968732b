import { timestampMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, test } from "vitest";
import {
  decideCancel,
  decideEvent,
  decideLost,
  decideMessage,
  decideTakeover,
  decideTurn,
  decideTurnAgain,
  decideTurnEnd,
  decideTurnStopped,
  type LostRules,
} from "../../src/domain/decide.ts";
import type { TaskFold } from "../../src/domain/fold.ts";
import {
  AUTH_REQUIRED,
  COMPLETED,
  cancel,
  FAILED,
  INPUT_REQUIRED,
  idle,
  message,
  messageOf,
  nowMs,
  options,
  running,
  says,
  shortOf,
  stampAt,
  status,
  taskAfter,
  turn,
} from "./decide-fixtures.ts";

describe("a task whose replica died", () => {
  const cases: readonly { name: string; fold: TaskFold; fail: readonly string[]; resume: readonly string[] }[] = [
    { name: "before its first turn", fold: taskAfter(), fail: [], resume: [] },
    { name: "during a turn", fold: taskAfter(turn), fail: ["FAILED+message"], resume: [] },
    {
      name: "during a turn while a message waits",
      fold: taskAfter(turn, message("second")),
      fail: ["FAILED+message"],
      resume: [],
    },
    { name: "with a wish to cancel", fold: taskAfter(turn, cancel), fail: ["CANCELED"], resume: ["CANCELED"] },
    {
      name: "with a wish to cancel, at a question",
      fold: taskAfter(turn, status(AUTH_REQUIRED, "sign in"), cancel),
      fail: ["CANCELED"],
      resume: ["CANCELED"],
    },
    { name: "at a question", fold: taskAfter(turn, status(INPUT_REQUIRED, "what?")), fail: [], resume: [] },
    { name: "after its end", fold: taskAfter(turn, status(COMPLETED)), fail: [], resume: [] },
    {
      name: "between a question's answer and its turn",
      fold: taskAfter(turn, status(INPUT_REQUIRED, "what?"), message("a", idle)),
      fail: [],
      resume: [],
    },
    {
      name: "between a question's answer and its turn, the turn that asked still at its last steps",
      fold: taskAfter(turn, status(INPUT_REQUIRED, "what?"), message("a", running)),
      fail: ["FAILED+message"],
      resume: [],
    },
  ];
  const rules = { failed: "server", attemptsMax: 5 } as const;
  test.for(cases)("$name", ({ fold, fail, resume }) => {
    expect(shortOf(decideLost(fold, { ...rules, onLost: "fail" }, stampAt()))).toEqual(fail);
    expect(shortOf(decideLost(fold, { ...rules, onLost: undefined }, stampAt()))).toEqual(fail);
    expect(shortOf(decideLost(fold, { ...rules, onLost: "resume" }, stampAt()))).toEqual(resume);
  });

  /** What the client of a task that was given up is told: the text, and the reason in the message's metadata. */
  const told = (fold: TaskFold, how: Partial<LostRules>) => {
    const [entry] = decideLost(fold, { ...rules, onLost: "fail", ...how }, stampAt());
    const message = entry?.body.case === "statusUpdate" ? entry.body.value.status?.message : undefined;
    return [message?.parts[0]?.content.value, message?.metadata];
  };
  test.for([
    ["server", "The server failed while the agent worked on this task", "SERVER_FAILED"],
    ["storage", "The storage failed while the agent worked on this task", "STORAGE_FAILED"],
    ["task-manager", "The task manager failed while the agent worked on this task", "TASK_MANAGER_FAILED"],
  ] as const)("is told that it was the %s that failed", ([failed, text, reason]) => {
    expect(told(taskAfter(turn), { failed })).toEqual([text, { "a2a-task-manager/reason": reason }]);
  });

  const lostOnce = (fold: TaskFold) => decideTurnAgain(fold, true, stampAt());
  test("a turn in which servers failed as often as allowed is given up, whatever the agent declares", () => {
    const fourth = taskAfter(turn, lostOnce, lostOnce, lostOnce);
    expect(decideLost(fourth, { ...rules, onLost: "resume" }, stampAt())).toEqual([]);
    const fifth = taskAfter(turn, lostOnce, lostOnce, lostOnce, lostOnce);
    expect(told(fifth, { onLost: "resume" })).toEqual([
      "The server failed 5 times while the agent worked on this task",
      { "a2a-task-manager/reason": "TOO_MANY_ATTEMPTS" },
    ]);
    // Losses to the storage don't count: no message is their cause.
    expect(decideLost(fifth, { ...rules, failed: "storage", onLost: "resume" }, stampAt())).toEqual([]);
    expect(told(taskAfter(turn), { onLost: "resume", attemptsMax: 1 })[1]).toEqual({
      "a2a-task-manager/reason": "TOO_MANY_ATTEMPTS",
    });
  });
  test("the failures of one turn don't count for the next", () => {
    const next = taskAfter(turn, lostOnce, lostOnce, lostOnce, lostOnce, message("second"), turn);
    expect(next.turn).toMatchObject({ attempt: 1, losses: 0 });
    expect(decideLost(next, { ...rules, onLost: "resume" }, stampAt())).toEqual([]);
  });

  const stoppedBy = (called: boolean, touched: boolean) => (fold: TaskFold) =>
    decideTurnStopped(fold, { called, touched }, stampAt());
  const shutdown = ["The server was shut down while the agent worked on this task", "SERVER_SHUTDOWN"];
  test.for([
    { name: "before the agent was called", called: false, touched: false, again: ["fail", undefined, "resume"] },
    { name: "before it had shown anything", called: true, touched: false, again: [undefined, "resume"] },
    { name: "after it had shown something", called: true, touched: true, again: ["resume"] },
  ] as const)("a turn that a shutdown stopped $name", ({ called, touched, again }) => {
    const fold = taskAfter(turn, stoppedBy(called, touched));
    for (const onLost of ["fail", undefined, "resume"] as const) {
      const [text, metadata] = told(fold, { onLost, attemptsMax: 1 });
      const runsAgain = (again as readonly unknown[]).includes(onLost);
      expect([onLost, text, metadata]).toEqual(
        runsAgain ? [onLost, undefined, undefined] : [onLost, shutdown[0], { "a2a-task-manager/reason": shutdown[1] }],
      );
    }
    expect(shortOf(decideTurnAgain(fold, false, stampAt()))).toEqual([`turn 1 attempt ${called ? 2 : 1}`]);
  });
  test("a turn that runs again after a shutdown, and whose server then fails, was lost to a failure", () => {
    const again = (fold: TaskFold) => decideTurnAgain(fold, false, stampAt());
    expect(told(taskAfter(turn, stoppedBy(true, false), again), {})[1]).toEqual({
      "a2a-task-manager/reason": "SERVER_FAILED",
    });
  });
  test("nothing is left of a turn that is over", () => {
    expect(stoppedBy(true, true)(taskAfter())).toEqual([]);
    expect(stoppedBy(true, true)(taskAfter(turn, status(COMPLETED)))).toEqual([]);
    expect(stoppedBy(true, true)(taskAfter(turn, status(INPUT_REQUIRED, "what?"), message("a", idle)))).toEqual([]);
  });
});

test("a clock that jumps back never makes an entry earlier than the one before", () => {
  const back = stampAt(nowMs - 60_000);
  const fold = taskAfter(turn, message("second"));
  const decided = [
    ...decideTurn(fold, back),
    ...decideTurnAgain(fold, true, back),
    ...decideTurnStopped(fold, { called: true, touched: true }, back),
    ...decideEvent(fold, { statusUpdate: { state: FAILED, message: says("x") } }, back),
    ...decideEvent(fold, { statusUpdate: { state: COMPLETED, message: says("x") } }, back),
    ...decideEvent(fold, { artifactUpdate: { artifact: says("x") } }, back),
    ...decideTurnEnd(fold, { kind: "failed", text: "x" }, back),
    ...decideTurnEnd(fold, { kind: "canceled" }, back),
    ...decideCancel(fold, true, undefined, back),
    ...decideCancel(fold, false, undefined, back),
    ...decideLost(fold, { onLost: "fail", failed: "server", attemptsMax: 5 }, back),
    decideTakeover(fold, "other", 2n, back),
  ];
  const accepted = decideMessage(fold, messageOf("third"), options, running, back);
  const entries = [...decided, ...(accepted.kind === "accept" ? accepted.entries : [])];
  expect(entries.length).toBe(13);
  expect(new Set(entries.map(({ timeMs }) => timeMs))).toEqual(new Set([BigInt(nowMs)]));
  const statusTimes = entries.flatMap(({ body }) =>
    body.case === "statusUpdate" && body.value.status?.timestamp ? timestampMs(body.value.status.timestamp) : [],
  );
  expect(new Set(statusTimes)).toEqual(new Set([nowMs]));
});
