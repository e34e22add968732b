import { create, equals, toBinary } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { expect, test } from "vitest";
import { MessageSchema, Role, TaskSchema, TaskState } from "../../gen/lf/a2a/v1/a2a_pb.ts";
import {
  type Entry,
  EntrySchema,
  MessageAcceptedSchema,
  SendOptionsSchema,
  TakeoverSchema,
} from "../../gen/taskmanager/storage/v1/records_pb.ts";
import {
  decideCancel,
  decideEvent,
  decideLost,
  decideMessage,
  decideTurn,
  decideTurnAgain,
  decideTurnEnd,
  decideTurnStopped,
  type Stamp,
} from "../../src/domain/decide.ts";
import { makeEntry, messageForHistory, statusOf } from "../../src/domain/entry.ts";
import { copyFold, emptyFold, evolve, FoldError, type TaskFold, taskOf } from "../../src/domain/fold.ts";
import { isTerminal } from "../../src/domain/task-state.ts";
import { decodeEntry, encodeEntry } from "../../src/log/entry-codec.ts";
import { decodeSnapshot, encodeSnapshot } from "../../src/log/snapshot.ts";
import { TaskWriter } from "../../src/log/task-writer.ts";
import { createMemoryStorage } from "../../src/storage/memory/storage.ts";
import { createdTask, key, writerOptions } from "../log/log-fixtures.ts";
import { acts, contextId, foldOf, logOf, taskId } from "./random-log.ts";

const ids = { taskId, contextId };
const stamp: Stamp = { nowMs: 1_900_000_000_000, newId: () => "new" };

/** Everything a fold knows, in a form that can be compared. */
function stateOf(fold: TaskFold): unknown {
  const { history, artifacts, status, ...rest } = fold;
  return {
    ...rest,
    artifactIndex: [...rest.artifactIndex],
    steps: [...rest.steps],
    task: Buffer.from(toBinary(TaskSchema, taskOf(fold))).toString("hex"),
  };
}

test("any split into snapshot and tail folds to the same", () => {
  fc.assert(
    fc.property(acts, fc.double({ min: 0, max: 1, noNaN: true }), (all, part) => {
      const log = logOf(all);
      const cut = 1 + Math.floor(part * (log.length - 1));
      const restored = decodeSnapshot(taskId, encodeSnapshot(foldOf(log.slice(0, cut))));
      expect(stateOf(foldOf(log.slice(cut), restored))).toEqual(stateOf(foldOf(log)));
    }),
  );
});

test("entries come back from their bytes, with unknown fields, and fold to the same", () => {
  fc.assert(
    fc.property(acts, (all) => {
      const log = logOf(all);
      // Field 1000 is unknown to this release.
      const stored = log.map((entry) =>
        Buffer.concat([encodeEntry(entry), Buffer.from([0xc2, 0x3e, 0x02, 0x68, 0x69])]),
      );
      const decoded = stored.map((bytes) => decodeEntry(bytes, ids));
      expect(stateOf(foldOf(decoded))).toEqual(stateOf(foldOf(log)));
      for (const entry of decoded) expect(Buffer.from(toBinary(EntrySchema, entry)).toString("latin1")).toContain("hi");
    }),
  );
});

test("sequences are dense: each entry stands at its place and nowhere else", () => {
  fc.assert(
    fc.property(acts, (all) => {
      const log = logOf(all);
      const fold = emptyFold(taskId);
      for (const [place, entry] of log.entries()) {
        expect(fold.sequence).toBe(BigInt(place));
        for (const wrong of [fold.sequence, fold.sequence + 2n, 0n])
          expect(() => evolve(fold, wrong, entry)).toThrow(FoldError);
        evolve(fold, BigInt(place + 1), entry);
      }
      expect(fold.sequence).toBe(BigInt(log.length));
    }),
  );
});

test("the history is every message in the order of the log, but for a question after which nothing came", () => {
  fc.assert(
    fc.property(acts, (all) => {
      const log = logOf(all);
      const fold = foldOf(log);
      const messages = log.flatMap((entry) => messageForHistory(entry)?.messageId ?? []);
      const question = fold.status.state === TaskState.WORKING ? undefined : fold.status.message?.messageId;
      expect(fold.history.map(({ messageId }) => messageId)).toEqual(
        messages.at(-1) === question ? messages.slice(0, -1) : messages,
      );
    }),
    { numRuns: 300 },
  );
});

test("however a log is cut into appends, the storage has the same bytes and the writer the same fold", async () => {
  await fc.assert(
    fc.asyncProperty(
      acts,
      fc.array(fc.record({ entries: fc.integer({ min: 1, max: 9 }), wait: fc.boolean() }), { minLength: 1 }),
      async (all, cuts) => {
        const log = logOf(all);
        const expected = log.map(encodeEntry);
        const storage = createMemoryStorage();
        const created = await createdTask(storage, log[0] as Entry, contextId);
        const writer = new TaskWriter(writerOptions(storage, created));
        for (let place = 1, cut = 0; place < log.length; cut++) {
          const { entries, wait } = cuts[cut % cuts.length] as (typeof cuts)[number];
          const sequence = writer.append(log.slice(place, place + entries));
          place += entries;
          if (wait) await writer.whenCommitted(sequence);
        }
        await writer.whenCommitted(BigInt(log.length));
        const stored = await storage.readTask(key, 0n, Number.POSITIVE_INFINITY);
        expect(stored.map(({ sequence }) => sequence)).toEqual(log.map((_, index) => BigInt(index + 1)));
        expect(stored.map(({ bytes }) => Buffer.from(bytes).toString("hex"))).toEqual(
          expected.map((bytes) => Buffer.from(bytes).toString("hex")),
        );
        const fold = foldOf(stored.map(({ bytes }) => decodeEntry(bytes, ids)));
        expect(stateOf(writer.committed)).toEqual(stateOf(fold));
        expect(stateOf(writer.tentative)).toEqual(stateOf(fold));
      },
    ),
    { numRuns: 60 },
  );
});

test("a copy is its own, and a task that was shown never changes", () => {
  fc.assert(
    fc.property(acts, acts, (all, more) => {
      const log = logOf([...all, ...more]);
      const cut = Math.min(log.length, logOf(all).length);
      const fold = foldOf(log.slice(0, cut));
      const before = stateOf(fold);
      const shown = taskOf(fold);
      const shownBytes = toBinary(TaskSchema, shown);
      foldOf(log.slice(cut), copyFold(fold));
      expect(stateOf(fold)).toEqual(before);
      foldOf(log.slice(cut), fold);
      expect(toBinary(TaskSchema, shown)).toEqual(shownBytes);
    }),
  );
});

test("times never fall, whatever the clock does", () => {
  fc.assert(
    fc.property(acts, (all) => {
      const log = logOf(all);
      const times = log.map(({ timeMs }) => Number(timeMs));
      expect(times).toEqual(times.toSorted((a, b) => a - b));
      const statusTimes = log.flatMap((entry) => statusOf(entry)?.timestamp ?? []).map(timestampMs);
      expect(statusTimes).toEqual(statusTimes.toSorted((a, b) => a - b));
    }),
  );
});

test("every message of a client is in the history once, in the order accepted, and waits or has had its turn", () => {
  fc.assert(
    fc.property(acts, (all) => {
      const log = logOf(all);
      const fold = foldOf(log);
      const accepted = log.flatMap(({ body }) => {
        if (body.case === "created") return body.value.task?.history[0]?.messageId ?? [];
        return body.case === "message" && body.value.options !== undefined ? (body.value.message?.messageId ?? []) : [];
      });
      expect(fold.history.filter(({ role }) => role === Role.USER).map(({ messageId }) => messageId)).toEqual(accepted);
      const begun = new Set(log.flatMap(({ body }) => (body.case === "turn" ? [body.value.messageSequence] : [])));
      expect(begun.size + fold.waiting.length).toBe(accepted.length);
      const historyIds = fold.history.map(({ messageId }) => messageId);
      expect(historyIds).toEqual([...new Set(historyIds)]);
    }),
  );
});

test("terminal is final: nothing follows", () => {
  const kinds: readonly Entry["body"]["case"][] = [
    "message",
    "statusUpdate",
    "artifactUpdate",
    "turn",
    "stepResult",
    "takeover",
    "cancelRequested",
    "stateSet",
  ];
  fc.assert(
    fc.property(acts, acts, (all, other) => {
      const end: Parameters<typeof logOf>[0][number] = { kind: "status", state: TaskState.FAILED, text: "over" };
      const fold = foldOf(logOf([...all, end]));
      expect(isTerminal(fold.status.state)).toBe(true);
      const before = stateOf(fold);
      const always: readonly Entry["body"][] = [
        { case: "takeover", value: create(TakeoverSchema, { fence: 9n }) },
        { case: "message", value: create(MessageAcceptedSchema, { message: { messageId: "late" } }) },
        { case: undefined },
      ];
      for (const body of always)
        expect(() => evolve(fold, fold.sequence + 1n, makeEntry(stamp.nowMs, body))).toThrow(FoldError);
      for (const entry of logOf(other).filter(({ body }) => kinds.includes(body.case))) {
        expect(() => evolve(fold, fold.sequence + 1n, entry)).toThrow(FoldError);
      }
      const message = create(MessageSchema, {
        messageId: "late",
        role: Role.USER,
        parts: [{ content: { case: "text", value: "late" } }],
      });
      const rules = { turnRuns: false, busy: false, whileWorking: "enqueue", join: true } as const;
      expect(() => decideMessage(fold, message, create(SendOptionsSchema), rules, stamp)).toThrow(
        expect.objectContaining({ reason: "UNSUPPORTED_OPERATION" }),
      );
      expect(() => decideCancel(fold, false, undefined, stamp)).toThrow(
        expect.objectContaining({ reason: "TASK_NOT_CANCELABLE" }),
      );
      expect(() => decideEvent(fold, { statusUpdate: { state: TaskState.WORKING } }, stamp)).toThrow(
        expect.objectContaining({ reason: "INVALID_AGENT_RESPONSE" }),
      );
      expect([
        decideTurn(fold, stamp),
        decideTurnAgain(fold, true, stamp),
        decideLost(fold, { onLost: "resume", failed: "server", attemptsMax: 5 }, stamp),
        decideTurnEnd(fold, { kind: "returned" }, stamp),
        decideTurnStopped(fold, { called: true, touched: true }, stamp),
      ]).toEqual([[], [], [], [], []]);
      expect(stateOf(fold)).toEqual(before);
    }),
  );
});

test("a gap, a repetition and a second beginning are refused", () => {
  const log = logOf([{ kind: "turn" }, { kind: "status", state: TaskState.INPUT_REQUIRED, text: "what?" }]);
  const [first, second] = log;
  expect(first?.body.case).toBe("created");
  const empty = emptyFold(taskId);
  expect(() => evolve(empty, 1n, second as Entry)).toThrow(FoldError);
  const fold = foldOf(log);
  for (const [sequence, entry] of [
    [fold.sequence, second],
    [fold.sequence + 2n, second],
    [fold.sequence + 1n, first],
  ] as const) {
    expect(() => evolve(fold, sequence, entry as Entry)).toThrow(FoldError);
  }
});

function isRefused(fold: TaskFold, entry: Entry): boolean {
  try {
    evolve(fold, fold.sequence + 1n, entry);
    return false;
  } catch {
    return true;
  }
}

test("a refused entry leaves the fold as it was", () => {
  fc.assert(
    fc.property(acts, acts, (all, other) => {
      const fold = foldOf(logOf(all));
      for (const entry of logOf(other)) {
        const before = stateOf(fold);
        expect(isRefused(fold, entry) ? stateOf(fold) : before).toEqual(before);
      }
    }),
  );
});

test("a question enters the history once, before its answer", () => {
  const fold = foldOf(
    logOf([
      { kind: "turn" },
      { kind: "status", state: TaskState.INPUT_REQUIRED, text: "what?" },
      { kind: "message", text: "this", running: false },
      { kind: "turn" },
    ]),
  );
  const texts = fold.history.map(({ role, parts }) => [role, parts[0]?.content.value]);
  expect(texts).toEqual([
    [Role.USER, "first"],
    [Role.AGENT, "what?"],
    [Role.USER, "this"],
  ]);
  expect(fold.status.state).toBe(TaskState.WORKING);
});

test("chunks add parts in order, without append an artifact is replaced, and appending to nothing makes it", () => {
  const artifact = (id: string, append: boolean, parts: number) =>
    ({ kind: "artifact", id, append, parts, metadata: false }) as const;
  const parts = (...steps: readonly ReturnType<typeof artifact>[]) =>
    taskOf(foldOf(logOf([{ kind: "turn" }, ...steps]))).artifacts.map((made) => [
      made.artifactId,
      made.parts.map(({ content }) => content.value),
    ]);
  expect(parts(artifact("a", true, 1), artifact("a", true, 2))).toEqual([["a", ["a0", "a0", "a1"]]]);
  expect(parts(artifact("a", false, 2), artifact("b", false, 1), artifact("a", false, 1))).toEqual([
    ["a", ["a0"]],
    ["b", ["b0"]],
  ]);
});

test("what a chunk says of its artifact replaces what was said; metadata and extensions are joined", () => {
  const fold = foldOf(logOf([{ kind: "turn" }]));
  const add = (artifact: object, append: boolean) => {
    for (const entry of decideEvent(
      fold,
      {
        artifactUpdate: {
          artifact: { artifactId: "a", parts: [{ content: { case: "text", value: "p" } }], ...artifact },
          append,
        },
      },
      stamp,
    )) {
      evolve(fold, fold.sequence + 1n, entry);
    }
    return taskOf(fold).artifacts[0];
  };
  const first = add({ name: "one", description: "d", metadata: { a: 1, b: 1 }, extensions: ["x"] }, true);
  expect(add({ name: "two", metadata: { b: 2, c: 2 }, extensions: ["x", "y"] }, true)).toMatchObject({
    name: "two",
    description: "d",
    metadata: { a: 1, b: 2, c: 2 },
    extensions: ["x", "y"],
  });
  expect(first).toMatchObject({ name: "one", metadata: { a: 1, b: 1 }, extensions: ["x"] });
  expect(first?.parts.length).toBe(1);
  const replaced = add({}, false);
  expect(replaced).toMatchObject({ name: "", description: "", extensions: [] });
  expect(replaced?.metadata).toBeUndefined();
});

test("the same message again joins, wherever its turn is", () => {
  const message = (text: string) =>
    create(MessageSchema, { messageId: "m-0", role: Role.USER, parts: [{ content: { case: "text", value: text } }] });
  const rules = { turnRuns: true, busy: true, whileWorking: "enqueue", join: true } as const;
  const waiting = foldOf(logOf([]));
  const decide = (fold: TaskFold, text: string, join = true) =>
    decideMessage(fold, message(text), create(SendOptionsSchema), { ...rules, join }, stamp);
  expect(decide(waiting, "first")).toEqual({ kind: "joined", sequence: 1n });
  expect(decide(foldOf(logOf([{ kind: "turn" }])), "first")).toEqual({ kind: "joined", sequence: 1n });
  expect(decide(waiting, "other").kind).toBe("accept");
  expect(decide(waiting, "first", false).kind).toBe("accept");
  expect(equals(MessageSchema, message("a"), message("b"))).toBe(false);
});
