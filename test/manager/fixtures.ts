import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { expect, onTestFinished, vi } from "vitest";
import {
  type Message,
  MessageSchema,
  Role,
  SendMessageRequestSchema,
  type StreamResponse,
  type Task,
  TaskState,
} from "../../gen/lf/a2a/v1/a2a_pb.ts";
import type { Entry } from "../../gen/taskmanager/storage/v1/records_pb.ts";
import type { MessageProcessor } from "../../src/agent/message-processor.ts";
import { textOf } from "../../src/agent/processor-events.ts";
import type { TaskAt } from "../../src/domain/fold.ts";
import type { Caller } from "../../src/domain/scope.ts";
import type { Reason } from "../../src/domain/task-error.ts";
import { stateNames } from "../../src/domain/task-state.ts";
import { decodeEntry } from "../../src/log/entry-codec.ts";
import type { ManagerOptions } from "../../src/manager/options.ts";
import { createTaskManager, type SentMessage, type TaskManager } from "../../src/manager/task-manager.ts";
import type { Logger } from "../../src/runtime/logger.ts";
import { createMemoryStorage } from "../../src/storage/memory/storage.ts";
import { ManualClock, settle } from "../runtime/manual-clock.ts";
import { FaultyStorage } from "../storage/faulty-storage.ts";

// A test that hangs has found something; nobody should wait a minute to hear of it.
vi.setConfig({ testTimeout: 5_000 });

export interface Setup {
  readonly manager: TaskManager;
  readonly faulty: FaultyStorage;
  readonly clock: ManualClock;
  /** Every line of the log: its level, fields and text. */
  readonly lines: readonly LogLine[];
}

/**
 * Timers of a manager that has nothing to do: its beat, its watch over the storage's silence, its looks for the tasks
 * of the dead, and its sweeper.
 */
export const idleTimers = 4;

export interface LogLine {
  readonly level: "debug" | "info" | "warn" | "error";
  readonly fields: object;
  readonly text: string;
}

/**
 * A manager over memory storage that can be made to fail, on a clock turned by hand; disposed of when the test ends.
 */
export async function setup(
  processor: MessageProcessor,
  {
    options = {},
    faulty = new FaultyStorage(createMemoryStorage()),
    clock = new ManualClock(),
  }: { options?: ManagerOptions; faulty?: FaultyStorage; clock?: ManualClock } = {},
): Promise<Setup> {
  const lines: LogLine[] = [];
  // One that finds another server's record watches it for some seconds.
  const manager = await clock.advanceUntil(
    createTaskManager(processor, faulty.storage, options, { clock, logger: loggerTo(lines) }),
  );
  onTestFinished(async () => {
    faulty.heal();
    faulty.release();
    await clock.advanceUntil(Promise.resolve(manager[Symbol.asyncDispose]()));
  });
  return { manager, faulty, clock, lines };
}

export function loggerTo(lines: LogLine[]): Logger {
  const at = (level: LogLine["level"]) => (fields: object, text: string) => {
    lines.push({ level, fields, text });
  };
  return { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
}

// ── Requests ──

let ids = 0;

export function nextId(prefix = "m"): string {
  ids += 1;
  return `${prefix}-${ids}`;
}

export function message(text: string, init: MessageInitShape<typeof MessageSchema> = {}): Message {
  return create(MessageSchema, {
    messageId: nextId(),
    role: Role.USER,
    parts: [{ content: { case: "text", value: text } }],
    ...init,
  });
}

type RequestInit = Omit<MessageInitShape<typeof SendMessageRequestSchema>, "message" | "$typeName">;

/** A request to send a text, or a message. `now`: don't wait for the end. */
export function request(content: string | Message, init: RequestInit & { readonly now?: boolean } = {}) {
  const { now, ...rest } = init;
  return create(SendMessageRequestSchema, {
    message: typeof content === "string" ? message(content) : content,
    ...(now && { configuration: { returnImmediately: true } }),
    ...rest,
  });
}

export function taskIn(sent: SentMessage): Task {
  if (sent.kind !== "task") throw new Error(`Answered with a ${sent.kind}, not with a task`);
  return sent.task;
}

export function messageIn(sent: SentMessage): Message {
  if (sent.kind !== "message") throw new Error(`Answered with a ${sent.kind}, not with a message`);
  return sent.message;
}

/** Sends and gives the task once it is terminal or interrupted. */
export async function sent(manager: TaskManager, content: string | Message, caller?: Caller): Promise<Task> {
  return taskIn(await manager.sendMessage(request(content), caller));
}

/** Sends and gives the task as soon as it is durable. */
export async function begun(manager: TaskManager, content: string | Message, caller?: Caller): Promise<Task> {
  return taskIn(await manager.sendMessage(request(content, { now: true }), caller));
}

export function callerOf(tenant: string, owner: string, claims: Record<string, unknown> = {}): Caller {
  return { tenant, owner, claims, headers: new Headers({ "x-owner": owner }) };
}

// ── What comes back ──

export function stateOf(shown: Pick<Task, "status"> | TaskAt): string {
  const task = "task" in shown ? shown.task : shown;
  return (stateNames[task.status?.state ?? TaskState.UNSPECIFIED] ?? "UNSPECIFIED").replace("TASK_STATE_", "");
}

export function textsOf(messages: readonly Message[]): readonly string[] {
  return messages.map(textOf);
}

export function statusText(task: Pick<Task, "status">): string {
  return task.status?.message === undefined ? "" : textOf(task.status.message);
}

/** An event in a word: "task:WORKING", "status:COMPLETED", "artifact:a1", "message:hello". */
export function brief({ payload }: StreamResponse): string {
  switch (payload.case) {
    case "task":
      return `task:${stateOf(payload.value)}`;
    case "statusUpdate":
      return `status:${stateOf(payload.value)}${payload.value.status?.message ? `(${textOf(payload.value.status.message)})` : ""}`;
    case "artifactUpdate":
      return `artifact:${payload.value.artifact?.artifactId}`;
    case "message":
      return `message:${textOf(payload.value)}`;
    case undefined:
      return "nothing";
    default:
      return payload satisfies never;
  }
}

/** All events of a stream, in brief, until it ends. */
export async function collected(events: AsyncIterable<StreamResponse>): Promise<string[]> {
  const all: string[] = [];
  for await (const event of events) all.push(brief(event));
  return all;
}

/** Reads in the background into `seen`; `ended` settles with the stream. */
export function reading(events: AsyncIterable<StreamResponse>): {
  readonly seen: string[];
  readonly ended: Promise<void>;
  isOver(): boolean;
} {
  const seen: string[] = [];
  let over = false;
  const ended = (async () => {
    for await (const event of events) seen.push(brief(event));
  })();
  const done = () => {
    over = true;
  };
  ended.then(done, done);
  return { seen, ended, isOver: () => over };
}

export async function expectRefused(call: Promise<unknown>, reason: Reason): Promise<void> {
  await expect(call).rejects.toMatchObject({ name: "TaskError", reason });
}

/** Whether a promise is settled once nothing more happens without time passing. */
export async function isSettledNow(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  const done = () => {
    settled = true;
  };
  promise.then(done, done);
  await settle(5);
  return settled;
}

/** The whole log of a task, read from the storage. */
export async function logOf(
  faulty: FaultyStorage,
  taskId: string,
  caller: { tenant: string; owner: string } = { tenant: "", owner: "" },
): Promise<readonly Entry[]> {
  const stored = await faulty.storage.readTask(
    { tenant: caller.tenant, owner: caller.owner, taskId },
    0n,
    64 * 1024 * 1024,
  );
  return stored.map(({ bytes }) => decodeEntry(bytes, { taskId, contextId: "" }));
}

export function kindsOf(log: readonly Entry[]): readonly string[] {
  return log.map(({ body }) => (body.case === "statusUpdate" ? `status:${stateOf(body.value)}` : String(body.case)));
}

export { agent, answering, ScriptedAgent, silent, Turn } from "./scripted-agent.ts";
