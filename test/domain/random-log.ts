import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { MessageSchema, Role, TaskState } from "../../gen/lf/a2a/v1/a2a_pb.ts";
import {
  type Entry,
  SendOptionsSchema,
  StateSetSchema,
  StepResultSchema,
} from "../../gen/taskmanager/storage/v1/records_pb.ts";
import {
  decideCancel,
  decideCreate,
  decideEvent,
  decideLost,
  decideMessage,
  decideTakeover,
  decideTurn,
  decideTurnAgain,
  decideTurnEnd,
  decideTurnStopped,
  type Stamp,
} from "../../src/domain/decide.ts";
import { makeEntry } from "../../src/domain/entry.ts";
import { emptyFold, evolve, type TaskFold } from "../../src/domain/fold.ts";
import { TaskError } from "../../src/domain/task-error.ts";
import { fillIds } from "../../src/log/entry-codec.ts";

/** What may happen to a task next; refused by the domain where it can't. */
export type Act =
  | { readonly kind: "message"; readonly text: string; readonly running: boolean }
  | { readonly kind: "turn" | "again" | "takeover" | "step" | "state" | "lost" }
  | { readonly kind: "status"; readonly state: TaskState; readonly text: string | undefined }
  | {
      readonly kind: "artifact";
      readonly id: string;
      readonly append: boolean;
      readonly parts: number;
      readonly metadata: boolean;
    }
  | { readonly kind: "cancel"; readonly running: boolean }
  | { readonly kind: "end"; readonly end: "returned" | "failed" | "canceled" | "stopped" }
  | { readonly kind: "stopped"; readonly called: boolean; readonly touched: boolean }
  | { readonly kind: "clock"; readonly ms: number };

const text = fc.string({ maxLength: 12 });

/** Acts in any order, terminal ones rarely, so that most logs are long. */
export const acts: fc.Arbitrary<readonly Act[]> = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: fc.record({ kind: fc.constant("message" as const), text, running: fc.boolean() }) },
    {
      weight: 6,
      arbitrary: fc.record({
        kind: fc.constantFrom(
          "turn" as const,
          "again" as const,
          "takeover" as const,
          "step" as const,
          "state" as const,
        ),
      }),
    },
    {
      weight: 5,
      arbitrary: fc.record({
        kind: fc.constant("status" as const),
        state: fc.constantFrom<TaskState>(
          TaskState.WORKING,
          TaskState.WORKING,
          TaskState.INPUT_REQUIRED,
          TaskState.AUTH_REQUIRED,
        ),
        text: fc.option(text, { nil: undefined }),
      }),
    },
    {
      weight: 8,
      arbitrary: fc.record({
        kind: fc.constant("artifact" as const),
        id: fc.constantFrom("a", "b", "__proto__"),
        append: fc.boolean(),
        parts: fc.integer({ min: 1, max: 3 }),
        metadata: fc.boolean(),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constant("stopped" as const), called: fc.boolean(), touched: fc.boolean() }),
    },
    {
      weight: 2,
      arbitrary: fc.record({ kind: fc.constant("clock" as const), ms: fc.integer({ min: -5000, max: 5000 }) }),
    },
    {
      weight: 1,
      arbitrary: fc.oneof(
        fc.record({ kind: fc.constant("cancel" as const), running: fc.boolean() }),
        fc.record({
          kind: fc.constant("end" as const),
          end: fc.constantFrom("returned" as const, "failed" as const, "canceled" as const, "stopped" as const),
        }),
        fc.record({ kind: fc.constant("lost" as const) }),
        fc.record({
          kind: fc.constant("status" as const),
          state: fc.constantFrom<TaskState>(TaskState.COMPLETED, TaskState.REJECTED, TaskState.FAILED),
          text: fc.option(text, { nil: undefined }),
        }),
      ),
    },
  ),
  { maxLength: 60 },
);

export const taskId = "task";
export const contextId = "context";

/** A log that the domain's own decisions made, as stored: without ids. Refusals are part of life and leave nothing. */
export function logOf(all: readonly Act[]): readonly Entry[] {
  let nowMs = 1_700_000_000_000;
  let ids = 0;
  const stamp = (): Stamp => ({ nowMs, newId: () => `id-${ids++}` });
  const userMessage = (value: string) =>
    create(MessageSchema, { messageId: `m-${ids++}`, role: Role.USER, parts: [{ content: { case: "text", value } }] });
  const options = create(SendOptionsSchema, {
    blocking: true,
    historyLength: 0,
    metadata: { n: [1, null, { deep: "" }] },
  });
  const log: Entry[] = [];
  const fold = emptyFold(taskId);
  const append = (entries: readonly Entry[]) => {
    for (const entry of entries) {
      log.push(entry);
      evolve(fold, fold.sequence + 1n, entry);
    }
  };
  append([decideCreate(contextId, userMessage("first"), options, stamp())]);
  for (const act of all) {
    try {
      if (act.kind === "clock") nowMs += act.ms;
      else append(entriesOf(act, fold, stamp(), userMessage, options));
    } catch (error) {
      if (!(error instanceof TaskError)) throw error;
    }
  }
  return log;
}

function entriesOf(
  act: Exclude<Act, { readonly kind: "clock" }>,
  fold: TaskFold,
  stamp: Stamp,
  userMessage: (value: string) => ReturnType<typeof create<typeof MessageSchema>>,
  options: ReturnType<typeof create<typeof SendOptionsSchema>>,
): readonly Entry[] {
  const part = (value: string) => ({ content: { case: "text" as const, value } });
  const ended = [TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELED, TaskState.REJECTED].some(
    (state) => state === fold.status.state,
  );
  switch (act.kind) {
    case "message": {
      const decision = decideMessage(
        fold,
        userMessage(act.text),
        options,
        { turnRuns: act.running, busy: act.running, whileWorking: "enqueue", join: true },
        stamp,
      );
      return decision.kind === "accept" ? decision.entries : [];
    }
    case "turn":
      return decideTurn(fold, stamp);
    case "again":
      return decideTurnAgain(fold, stamp.nowMs % 2 === 0, stamp);
    case "stopped":
      return decideTurnStopped(fold, { called: act.called, touched: act.called && act.touched }, stamp);
    case "lost":
      return decideLost(fold, { onLost: "fail", failed: "server", attemptsMax: 5 }, stamp);
    case "takeover":
      return ended ? [] : [decideTakeover(fold, "replica", 2n, stamp)];
    case "step":
      return ended
        ? []
        : [
            makeEntry(Math.max(stamp.nowMs, fold.timeMs), {
              case: "stepResult",
              value: create(StepResultSchema, { name: `step-${stamp.nowMs % 3}` }),
            }),
          ];
    case "state": {
      const value =
        stamp.nowMs % 3 === 0 ? {} : { value: { kind: { case: "numberValue" as const, value: stamp.nowMs } } };
      const body = { case: "stateSet" as const, value: create(StateSetSchema, value) };
      return ended ? [] : [makeEntry(Math.max(stamp.nowMs, fold.timeMs), body)];
    }
    case "status":
      return decideEvent(
        fold,
        { statusUpdate: { state: act.state, ...(act.text !== undefined && { message: { parts: [part(act.text)] } }) } },
        stamp,
      );
    case "artifact": {
      const parts = Array.from({ length: act.parts }, (_, index) => part(`${act.id}${index}`));
      const artifact = {
        artifactId: act.id,
        parts,
        ...(act.metadata && {
          metadata: { [stamp.newId()]: 1, shared: stamp.newId() },
          name: stamp.newId(),
          extensions: ["x", stamp.newId()],
        }),
      };
      return ended ? [] : decideEvent(fold, { artifactUpdate: { artifact, append: act.append } }, stamp);
    }
    case "cancel":
      return decideCancel(fold, act.running, undefined, stamp);
    case "end":
      return decideTurnEnd(fold, act.end === "failed" ? { kind: "failed", text: "failed" } : { kind: act.end }, stamp);
    default:
      return act satisfies never;
  }
}

/** The fold of a log. */
export function foldOf(log: readonly Entry[], onto: TaskFold = emptyFold(taskId)): TaskFold {
  for (const entry of log) {
    fillIds(entry, { taskId, contextId });
    evolve(onto, onto.sequence + 1n, entry);
  }
  return onto;
}
