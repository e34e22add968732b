import { create } from "@bufbuild/protobuf";
import { expect } from "vitest";
import { MessageSchema, Role, TaskState } from "../../gen/lf/a2a/v1/a2a_pb.ts";
import { type Entry, SendOptionsSchema } from "../../gen/taskmanager/storage/v1/records_pb.ts";
import {
  decideCancel,
  decideCreate,
  decideEvent,
  decideMessage,
  decideTurn,
  type Stamp,
} from "../../src/domain/decide.ts";
import { emptyFold, evolve, type TaskFold } from "../../src/domain/fold.ts";
import { stateNames } from "../../src/domain/task-state.ts";

export const { SUBMITTED, WORKING, COMPLETED, FAILED, CANCELED, INPUT_REQUIRED, REJECTED, AUTH_REQUIRED, UNSPECIFIED } =
  TaskState;
export const nowMs = 1_800_000_000_000;
export const options = create(SendOptionsSchema, { blocking: true });
export const idle = { turnRuns: false, busy: false, whileWorking: "enqueue", join: false } as const;
export const running = { ...idle, turnRuns: true, busy: true } as const;

export function stampAt(ms = nowMs): Stamp {
  let ids = 0;
  return { nowMs: ms, newId: () => `made-${ids++}` };
}

export function messageOf(messageId: string, changes: { readonly contextId?: string; readonly taskId?: string } = {}) {
  return create(MessageSchema, {
    messageId,
    role: Role.USER,
    parts: [{ content: { case: "text", value: messageId } }],
    ...changes,
  });
}

export const says = (text: string) => ({ parts: [{ content: { case: "text" as const, value: text } }] });

/** A task of message "first", after what each step decides on it. */
export function taskAfter(...steps: readonly ((fold: TaskFold) => readonly Entry[])[]): TaskFold {
  const fold = emptyFold("task");
  evolveAll(fold, [decideCreate("context", messageOf("first"), options, stampAt())]);
  for (const step of steps) evolveAll(fold, step(fold));
  return fold;
}

export function evolveAll(fold: TaskFold, entries: readonly Entry[]): void {
  for (const entry of entries) evolve(fold, fold.sequence + 1n, entry);
}

export const turn = (fold: TaskFold) => decideTurn(fold, stampAt());
export const status = (state: TaskState, text?: string) => (fold: TaskFold) =>
  decideEvent(fold, { statusUpdate: { state, ...(text !== undefined && { message: says(text) }) } }, stampAt());
export const message =
  (id: string, rules: Parameters<typeof decideMessage>[3] = running) =>
  (fold: TaskFold) => {
    const decision = decideMessage(fold, messageOf(id), options, rules, stampAt());
    return decision.kind === "accept" ? decision.entries : [];
  };
export const cancel = (fold: TaskFold) => decideCancel(fold, true, undefined, stampAt());

/** Entries in short: what each is about. */
export function shortOf(entries: readonly Entry[]): readonly string[] {
  return entries.map(({ body }) => {
    switch (body.case) {
      case "statusUpdate":
        return `${stateNames[body.value.status?.state ?? 0]?.replace("TASK_STATE_", "")}${body.value.status?.message ? "+message" : ""}`;
      case "message":
        return `message ${body.value.message?.messageId}${body.value.resumes ? " resumes" : ""}`;
      case "turn":
        return `turn ${body.value.messageSequence} attempt ${body.value.attempt}`;
      default:
        return String(body.case);
    }
  });
}

export const reason = (name: string) => expect.objectContaining({ name: "TaskError", reason: name });
