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
  test.for(cases)("$name", ({ fold, fail, resume }) => {
    expect(shortOf(decideLost(fold, "fail", "server", stampAt()))).toEqual(fail);
    expect(shortOf(decideLost(fold, "resume", "server", stampAt()))).toEqual(resume);
  });
  test.for(["server", "storage"] as const)("is told that it was the %s that stopped", (stopped) => {
    const [entry] = decideLost(taskAfter(turn), "fail", stopped, stampAt());
    expect(
      JSON.stringify(entry?.body.value?.valueOf(), (_, value) => (typeof value === "bigint" ? String(value) : value)),
    ).toContain(`The ${stopped} `);
  });
});

test("a clock that jumps back never makes an entry earlier than the one before", () => {
  const back = stampAt(nowMs - 60_000);
  const fold = taskAfter(turn, message("second"));
  const decided = [
    ...decideTurn(fold, back),
    ...decideTurnAgain(fold, back),
    ...decideEvent(fold, { statusUpdate: { state: FAILED, message: says("x") } }, back),
    ...decideEvent(fold, { statusUpdate: { state: COMPLETED, message: says("x") } }, back),
    ...decideEvent(fold, { artifactUpdate: { artifact: says("x") } }, back),
    ...decideTurnEnd(fold, { kind: "failed", text: "x" }, back),
    ...decideTurnEnd(fold, { kind: "canceled" }, back),
    ...decideCancel(fold, true, undefined, back),
    ...decideCancel(fold, false, undefined, back),
    ...decideLost(fold, "fail", "server", back),
    decideTakeover(fold, "other", 2n, back),
  ];
  const accepted = decideMessage(fold, messageOf("third"), options, running, back);
  const entries = [...decided, ...(accepted.kind === "accept" ? accepted.entries : [])];
  expect(entries.length).toBe(12);
  expect(new Set(entries.map(({ timeMs }) => timeMs))).toEqual(new Set([BigInt(nowMs)]));
  const statusTimes = entries.flatMap(({ body }) =>
    body.case === "statusUpdate" && body.value.status?.timestamp ? timestampMs(body.value.status.timestamp) : [],
  );
  expect(new Set(statusTimes)).toEqual(new Set([nowMs]));
});
