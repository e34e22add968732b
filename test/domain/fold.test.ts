import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { ArtifactSchema, MessageSchema, Role, TaskState } from "../../gen/lf/a2a/v1/a2a_pb.ts";
import { type Entry, SendOptionsSchema, StepResultSchema } from "../../gen/taskmanager/storage/v1/records_pb.ts";
import {
  decideCancel,
  decideCreate,
  decideEvent,
  decideMessage,
  decideTurn,
  decideTurnAgain,
  decideTurnStopped,
  type Stamp,
} from "../../src/domain/decide.ts";
import { makeEntry } from "../../src/domain/entry.ts";
import { copyFold, evolve, type TaskFold, taskOf } from "../../src/domain/fold.ts";
import { isInterrupted, isSettled, isTerminal, mayFollow, stateNames } from "../../src/domain/task-state.ts";
import { decodeSnapshot, encodeSnapshot } from "../../src/log/snapshot.ts";
import { contextId, foldOf, taskId } from "./random-log.ts";

const stamp: Stamp = { nowMs: 1_700_000_000_000, newId: () => "new" };
const options = create(SendOptionsSchema, { streaming: true, historyLength: 0, acceptedOutputModes: ["text/plain"] });

function userMessage(messageId: string) {
  return create(MessageSchema, {
    messageId,
    role: Role.USER,
    parts: [{ content: { case: "text", value: messageId } }],
  });
}

/** A task just created, its metadata as given: the domain makes none, but the record has a place for it. */
function createdFold(metadata?: { [name: string]: number }): TaskFold {
  const entry = decideCreate(contextId, userMessage("first"), options, stamp);
  const task = entry.body.case === "created" ? entry.body.value.task : undefined;
  if (task !== undefined && metadata !== undefined) task.metadata = metadata;
  return foldOf([entry]);
}

function add(fold: TaskFold, entries: readonly Entry[]): TaskFold {
  expect(entries).not.toEqual([]);
  return foldOf(entries, fold);
}

const step = (name: string) =>
  makeEntry(stamp.nowMs, { case: "stepResult", value: create(StepResultSchema, { name }) });

describe("the state machine", () => {
  const { SUBMITTED, WORKING, COMPLETED, FAILED, CANCELED, REJECTED, INPUT_REQUIRED, AUTH_REQUIRED } = TaskState;
  const open: readonly TaskState[] = [SUBMITTED, WORKING, INPUT_REQUIRED, AUTH_REQUIRED];
  const terminal: readonly TaskState[] = [COMPLETED, FAILED, CANCELED, REJECTED];
  const all = [...open, ...terminal];

  test("knows every state of the contract but UNSPECIFIED", () => {
    expect(
      Object.keys(stateNames)
        .map(Number)
        .toSorted((a, b) => a - b),
    ).toEqual(all.toSorted((a, b) => a - b));
    expect(all.filter(isTerminal)).toEqual(terminal);
    expect(all.filter(isInterrupted)).toEqual([INPUT_REQUIRED, AUTH_REQUIRED]);
    expect(all.filter(isSettled).toSorted()).toEqual([...terminal, INPUT_REQUIRED, AUTH_REQUIRED].toSorted());
  });

  const pairs = all.flatMap((from) =>
    all.map((to) => ({ from, to, allowed: open.includes(from) && to !== SUBMITTED })),
  );
  test.for(pairs)("$from to $to: $allowed", ({ from, to, allowed }) => {
    expect(mayFollow(from, to)).toBe(allowed);
  });

  test.for([
    TaskState.UNSPECIFIED,
    99 as TaskState,
    -1 as TaskState,
  ])("nothing leads to %i, which is no state", (to) => {
    expect(all.filter((from) => mayFollow(from, to))).toEqual([]);
  });
});

test("the results of steps stay for another run of their turn, and go with the next turn", () => {
  const fold = add(createdFold(), [...decideTurn(createdFold(), stamp), step("a"), step("b"), step("a")]);
  expect([...fold.steps.keys()]).toEqual(["a", "b"]);
  add(fold, decideTurnAgain(fold, true, stamp));
  expect([...fold.steps.keys(), fold.turn?.attempt]).toEqual(["a", "b", 2]);
  const decision = decideMessage(
    fold,
    userMessage("second"),
    options,
    { turnRuns: true, busy: true, whileWorking: "enqueue", join: true },
    stamp,
  );
  add(fold, decision.kind === "accept" ? decision.entries : []);
  add(fold, decideTurn(fold, stamp));
  expect([...fold.steps.keys(), fold.turn?.attempt]).toEqual([1]);
});

test("a snapshot keeps everything there is to a task", () => {
  const fold = createdFold({ priority: 3 });
  add(fold, decideTurn(fold, stamp));
  // Field 1000 is unknown to this release.
  const unknown = fromBinary(
    ArtifactSchema,
    new Uint8Array([...toBinary(ArtifactSchema, artifactOf("a")), 0xc2, 0x3e, 0x02, 0x68, 0x69]),
  );
  add(fold, [...decideEvent(fold, { artifactUpdate: { artifact: unknown } }, stamp), step("a")]);
  for (const messageId of ["second", "third"]) {
    const decision = decideMessage(
      fold,
      userMessage(messageId),
      options,
      { turnRuns: true, busy: true, whileWorking: "enqueue", join: true },
      stamp,
    );
    add(fold, decision.kind === "accept" ? decision.entries : []);
  }
  add(fold, decideTurnAgain(fold, true, stamp));
  add(fold, decideTurnStopped(fold, { called: true, touched: true }, stamp));
  add(fold, decideCancel(fold, true, undefined, stamp));
  const restored = decodeSnapshot(taskId, encodeSnapshot(fold));
  expect(restored).toEqual(fold);
  // What the comparison above would pass over if both lacked it.
  expect(restored).toMatchObject({
    metadata: { priority: 3 },
    cancelRequested: true,
    turnOpen: true,
    turn: { attempt: 2, message: { sequence: 1n, historyIndex: 0, options: { streaming: true, historyLength: 0 } } },
    waiting: [{ historyIndex: 1 }, { historyIndex: 2 }],
  });
  for (const shown of [taskOf(fold), taskOf(copyFold(fold)), taskOf(restored)]) {
    expect(shown.artifacts[0]?.$unknown?.map(({ no }) => no)).toEqual([1000]);
  }
});

test("the time of a task doesn't fall, even where a log's entry does", () => {
  const fold = createdFold();
  evolve(
    fold,
    2n,
    makeEntry(stamp.nowMs - 5_000, { case: "stepResult", value: create(StepResultSchema, { name: "early" }) }),
  );
  expect(fold.timeMs).toBe(stamp.nowMs);
  evolve(
    fold,
    3n,
    makeEntry(stamp.nowMs + 5_000, { case: "stepResult", value: create(StepResultSchema, { name: "late" }) }),
  );
  expect(fold.timeMs).toBe(stamp.nowMs + 5_000);
});

test("a snapshot of another task is none", () => {
  expect(() => decodeSnapshot("other", encodeSnapshot(createdFold()))).toThrow(
    expect.objectContaining({ name: "FoldError" }),
  );
  expect(() => decodeSnapshot(taskId, new Uint8Array())).toThrow(expect.objectContaining({ name: "FoldError" }));
});

test("what an agent yields stays its own: the id that is filled in isn't written into its object", () => {
  const artifact = artifactOf("");
  const [entry] = decideEvent(createdFold(), { artifactUpdate: { artifact } }, stamp);
  expect(entry?.body).toMatchObject({ case: "artifactUpdate", value: { artifact: { artifactId: "turn-0.1" } } });
  expect(artifact.artifactId).toBe("");
});

function artifactOf(artifactId: string) {
  return create(ArtifactSchema, { artifactId, parts: [{ content: { case: "text", value: "text" } }] });
}
