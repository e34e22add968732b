import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import {
  MessageSchema,
  TaskArtifactUpdateEventSchema,
  TaskSchema,
  TaskState,
  TaskStatusSchema,
  TaskStatusUpdateEventSchema,
} from "../../gen/lf/a2a/v1/a2a_pb.ts";
import {
  type Entry,
  MessageAcceptedSchema,
  SendOptionsSchema,
  TaskCreatedSchema,
  TurnStartedSchema,
} from "../../gen/taskmanager/storage/v1/records_pb.ts";
import { makeEntry, type PlacedEntry } from "../../src/domain/entry.ts";
import { emptyFold, evolve, type TaskFold } from "../../src/domain/fold.ts";
import { openStreamEnd, type StreamUntil, streamEndAfter, turnMessageOf } from "../../src/domain/stream-end.ts";
import { stateNames } from "../../src/domain/task-state.ts";

const { SUBMITTED, WORKING, COMPLETED, FAILED, CANCELED, REJECTED, INPUT_REQUIRED, AUTH_REQUIRED } = TaskState;

const message = (messageId: string) => create(MessageSchema, { messageId });
const options = create(SendOptionsSchema);
const created = makeEntry(0, {
  case: "created",
  value: create(TaskCreatedSchema, {
    task: create(TaskSchema, { status: { state: SUBMITTED }, history: [message("1")] }),
    options,
  }),
});
const status = (state: TaskState) =>
  makeEntry(0, {
    case: "statusUpdate",
    value: create(TaskStatusUpdateEventSchema, { status: create(TaskStatusSchema, { state }) }),
  });
const turn = (sequence: bigint, attempt = 1) =>
  makeEntry(0, { case: "turn", value: create(TurnStartedSchema, { messageSequence: sequence, attempt }) });
const sent = (id: string) =>
  makeEntry(0, { case: "message", value: create(MessageAcceptedSchema, { message: message(id), options }) });
const artifact = makeEntry(0, {
  case: "artifactUpdate",
  value: create(TaskArtifactUpdateEventSchema, { artifact: { artifactId: "a" } }),
});

const taskEnd: StreamUntil = { kind: "task-end" };
const nextQuestion: StreamUntil = { kind: "next-question" };
const answerTo = (sequence: bigint): StreamUntil => ({ kind: "answer", message: sequence });

/** 1 created, 2 WORKING, 3 turn of 1. */
const begun = [created, status(WORKING), turn(1n)];
/** After `begun`: 4 INPUT_REQUIRED, 5 an artifact that the agent yields after its question. */
const asked = [...begun, status(INPUT_REQUIRED), artifact];
/** After `asked`: 6 WORKING, 7 the second message, 8 its turn. */
const answered = [...asked, status(WORKING), sent("2"), turn(7n)];
/** After `begun`: 4 a second message, which waits while the first turn runs. */
const waiting = [...begun, sent("2")];

function placed(log: readonly Entry[]): readonly PlacedEntry[] {
  return log.map((entry, index) => ({ sequence: BigInt(index + 1), entry, bytes: 0 }));
}

function foldOf(log: readonly Entry[]): TaskFold {
  const fold = emptyFold("task");
  for (const { sequence, entry } of placed(log)) evolve(fold, sequence, entry);
  return fold;
}

interface Case {
  readonly name: string;
  readonly until: StreamUntil;
  /** The log when the stream opens. */
  readonly head: readonly Entry[];
  /** Absent: the stream opens at the head. */
  readonly cursor?: number;
  /** What is appended later. */
  readonly later?: readonly Entry[];
  /** The sequence at which the stream ends; absent: it stays open. */
  readonly ends?: bigint;
}

const cases: readonly Case[] = [
  ...[COMPLETED, FAILED, CANCELED, REJECTED].flatMap((state) =>
    [taskEnd, nextQuestion, answerTo(1n), answerTo(7n)].map((until) => ({
      name: `${stateNames[state]} ends "${until.kind}"`,
      until,
      head: begun,
      later: [artifact, status(state)],
      ends: 5n,
    })),
  ),
  ...[taskEnd, nextQuestion, answerTo(1n)].map((until) => ({
    name: `AUTH_REQUIRED does not end "${until.kind}" (R37, R87)`,
    until,
    head: begun,
    later: [status(AUTH_REQUIRED), artifact],
  })),
  { name: "INPUT_REQUIRED does not end a watch", until: taskEnd, head: begun, later: [status(INPUT_REQUIRED)] },
  {
    name: "INPUT_REQUIRED ends a plain subscription",
    until: nextQuestion,
    head: begun,
    later: asked.slice(3),
    ends: 4n,
  },
  {
    name: "INPUT_REQUIRED ends the stream of a send",
    until: answerTo(1n),
    head: begun,
    later: asked.slice(3),
    ends: 4n,
  },
  { name: "WORKING and artifacts end no stream", until: nextQuestion, head: begun, later: [status(WORKING), artifact] },
  { name: "a plain subscription to a task that asks waits for the next question", until: nextQuestion, head: asked },
  {
    name: "a plain subscription to a task that asks ends with the next question",
    until: nextQuestion,
    head: asked,
    later: [...answered.slice(5), status(INPUT_REQUIRED)],
    ends: 9n,
  },
  { name: "a watch of a task that asks stays open", until: taskEnd, head: asked },
  { name: "a repeated send ends at the head of a task that asks", until: answerTo(1n), head: asked, ends: 5n },
  {
    name: "a repeated send whose cursor is past the question still gets the entries up to the head",
    until: answerTo(1n),
    head: asked,
    cursor: 4,
    ends: 5n,
  },
  {
    name: "a repeated send whose cursor is before the question ends with it",
    until: answerTo(1n),
    head: asked,
    cursor: 2,
    ends: 4n,
  },
  {
    name: "a plain subscription whose cursor is before a question ends with it",
    until: nextQuestion,
    head: answered,
    cursor: 0,
    ends: 4n,
  },
  { name: "a watch from 0 passes questions", until: taskEnd, head: answered, cursor: 0 },
  {
    name: "the question of an earlier turn does not end the stream of a later message",
    until: answerTo(4n),
    head: waiting,
    later: [status(INPUT_REQUIRED), artifact],
  },
  {
    name: "the stream of a later message ends with the question of its own turn",
    until: answerTo(4n),
    head: waiting,
    later: [status(INPUT_REQUIRED), status(WORKING), turn(4n), status(INPUT_REQUIRED)],
    ends: 8n,
  },
  {
    name: "the question of a later turn ends the stream as well",
    until: answerTo(1n),
    head: answered,
    later: [status(INPUT_REQUIRED)],
    ends: 9n,
  },
  {
    name: "an earlier question before the cursor's turn is not the later message's",
    until: answerTo(7n),
    head: answered,
    cursor: 2,
  },
  {
    name: "a turn that is run again counts as its turn",
    until: answerTo(1n),
    head: begun,
    later: [turn(1n, 2), status(INPUT_REQUIRED)],
    ends: 5n,
  },
  ...[taskEnd, nextQuestion, answerTo(1n)].map((until) => ({
    name: `"${until.kind}" of a task that has ended ends at its head`,
    until,
    head: [...begun, status(COMPLETED)],
    ends: 4n,
  })),
  {
    name: "a task that has ended is read to its end from a cursor",
    until: taskEnd,
    head: [...begun, status(COMPLETED)],
    cursor: 1,
    ends: 4n,
  },
  {
    name: "a subscription from a cursor to a task that has ended ends at a question before its end",
    until: nextQuestion,
    head: [...answered, status(COMPLETED)],
    cursor: 1,
    ends: 4n,
  },
];

describe("where a stream ends", () => {
  it.each(cases)("$name", ({ until, head, cursor = head.length, later = [], ends }) => {
    const entries = placed([...head, ...later]).slice(cursor);
    const open = openStreamEnd(until, foldOf(head), turnMessageOf(foldOf(head.slice(0, cursor))));
    expect(streamEndAfter(open, entries).endsAt).toBe(ends);
    // Pages may end anywhere.
    for (let cut = 0; cut <= entries.length; cut++) {
      const first = streamEndAfter(open, entries.slice(0, cut));
      const through = first.endsAt !== undefined && first.endsAt <= BigInt(cursor + cut);
      expect((through ? first : streamEndAfter(first, entries.slice(cut))).endsAt, `cut at ${cut}`).toBe(ends);
    }
  });
});
