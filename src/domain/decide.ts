import { create, type JsonObject, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  ArtifactSchema,
  type Message,
  MessageSchema,
  Role,
  TaskArtifactUpdateEventSchema,
  TaskSchema,
  TaskState,
  type TaskStatus,
  TaskStatusSchema,
  TaskStatusUpdateEventSchema,
} from "../../gen/lf/a2a/v1/a2a_pb.ts";
import {
  CancelRequestedSchema,
  type Entry,
  MessageAcceptedSchema,
  type SendOptions,
  TakeoverSchema,
  TaskCreatedSchema,
  TurnStartedSchema,
  TurnStoppedSchema,
} from "../../gen/taskmanager/storage/v1/records_pb.ts";
import { ArtifactIds } from "./artifact-ids.ts";
import { makeEntry, sameMessage, storedMessage } from "./entry.ts";
import type { TaskFold, Turn } from "./fold.ts";
import { waitingMessagesMax } from "./limits.ts";
import { withProtoParts } from "./part-init.ts";
import type { MessageInit, ProcessorEvent } from "./processor-event.ts";
import { invalidAgentResponse, invalidRequest, messageIdReused, TaskError } from "./task-error.ts";
import { isInterrupted, isTerminal, mayFollow, stateNames } from "./task-state.ts";
import { jsonFault } from "./validation/json-fault.ts";
import { validate } from "./validation/validate.ts";

/** What pure decisions need from outside: the time, and unique ids. */
export interface Stamp {
  /** Milliseconds since the epoch. */
  readonly nowMs: number;
  readonly newId: () => string;
}

/** The time of an entry. Times never decrease within a task, even if the system clock is set back. */
function timeFor(fold: TaskFold, stamp: Stamp): number {
  return Math.max(stamp.nowMs, fold.timeMs);
}

// ── Creation and messages ──

/** The first entry of a task: SUBMITTED, with its first message. */
export function decideCreate(contextId: string, message: Message, options: SendOptions, stamp: Stamp): Entry {
  const status = create(TaskStatusSchema, { state: TaskState.SUBMITTED, timestamp: timestampFromMs(stamp.nowMs) });
  const task = create(TaskSchema, { contextId, status, history: [storedMessage(message)] });
  return makeEntry(stamp.nowMs, { case: "created", value: create(TaskCreatedSchema, { task, options }) });
}

export type MessageDecision =
  /**
   * The entries that accept the message; the last one holds it. `otherContent`: the same id was used before with other
   * content.
   */
  | { readonly kind: "accept"; readonly entries: readonly Entry[]; readonly otherContent: boolean }
  /** The message is in the log already. The sequence of its entry; 0 if a turn before the present one answered it. */
  | { readonly kind: "joined"; readonly sequence: bigint };

/** The state of a task's run, and the rules of its processor and of the options. */
export interface MessageRules {
  /** The processor runs a turn. */
  readonly turnRuns: boolean;
  /** A turn runs, or waits for a place in the run queue. */
  readonly busy: boolean;
  readonly whileWorking: "enqueue" | "reject";
  /** A repeat of a message joins it. */
  readonly join: boolean;
  /** If repeats join: a message with a known id and other content is refused. Default false. */
  readonly strict?: boolean;
}

/**
 * Decides on a message for an existing task. Throws TaskError: UNSUPPORTED_OPERATION for a terminal task (R23), for one
 * that is being canceled, and while a turn runs or waits if `whileWorking` is "reject"; INVALID_REQUEST for another
 * context (R79); MESSAGE_ID_REUSED; TOO_MANY if 16 messages wait already.
 *
 * Invariant: a message is accepted before the terminal entry, or refused; it is never lost behind it. The append's
 * condition on the head holds this.
 */
export function decideMessage(
  fold: TaskFold,
  message: Message,
  options: SendOptions,
  rules: MessageRules,
  stamp: Stamp,
): MessageDecision {
  if (message.contextId !== "" && message.contextId !== fold.contextId) {
    throw invalidRequest([
      {
        field: "message.context_id",
        description: `task "${fold.taskId}" belongs to another context; leave it empty or name the task's own`,
      },
    ]);
  }
  if (rules.join) {
    const place = fold.history.findIndex((earlier) => sameMessage(earlier, message));
    if (place !== -1) {
      const known = [...fold.waiting, ...(fold.turn ? [fold.turn.message] : [])].find(
        (waiting) => waiting.historyIndex === place,
      );
      return { kind: "joined", sequence: known?.sequence ?? 0n };
    }
  }
  if (isTerminal(fold.status.state)) {
    throw new TaskError(
      "UNSUPPORTED_OPERATION",
      `Task "${fold.taskId}" has ended as ${stateNames[fold.status.state]}; send a new message in its context instead`,
      {
        metadata: { taskId: fold.taskId },
      },
    );
  }
  if (fold.cancelRequested)
    throw new TaskError("UNSUPPORTED_OPERATION", `Task "${fold.taskId}" is being canceled`, {
      metadata: { taskId: fold.taskId },
    });
  const otherContent =
    rules.join && fold.history.some(({ messageId, role }) => messageId === message.messageId && role === message.role);
  if (otherContent && rules.strict === true) throw messageIdReused(message);
  if (rules.busy && rules.whileWorking === "reject" && !isInterrupted(fold.status.state)) {
    throw new TaskError("UNSUPPORTED_OPERATION", `Task "${fold.taskId}" accepts no message while it is working`, {
      metadata: { taskId: fold.taskId },
    });
  }
  if (fold.waiting.length >= waitingMessagesMax) {
    throw new TaskError("TOO_MANY", `${waitingMessagesMax} messages wait for task "${fold.taskId}" already`, {
      metadata: { taskId: fold.taskId },
    });
  }
  const timeMs = timeFor(fold, stamp);
  const { state } = fold.status;
  const interrupted = isInterrupted(state);
  // A turn that waits for a credential still waits after a message of its client (R87, R88).
  const followsQuestion = state === TaskState.AUTH_REQUIRED && rules.turnRuns;
  const resumes = interrupted && !rules.turnRuns;
  const value = create(MessageAcceptedSchema, { message: storedMessage(message), options, resumes, followsQuestion });
  const accepted = makeEntry(timeMs, { case: "message", value });
  // The status comes first: it moves the question into the history, before the message that answers it. This holds
  // while the turn that asked is still in its last steps, too.
  const entries = interrupted && !followsQuestion ? [statusEntry(timeMs, TaskState.WORKING), accepted] : [accepted];
  return { kind: "accept", entries, otherContent };
}

// ── Turns ──

/** The entries that begin the turn of the oldest waiting message; none if no message waits. */
export function decideTurn(fold: TaskFold, stamp: Stamp): readonly Entry[] {
  const next = fold.waiting[0];
  if (next === undefined || isTerminal(fold.status.state)) return [];
  return turnEntries(fold, { messageSequence: next.sequence, attempt: 1 }, stamp);
}

/**
 * The entries that run the present turn again. `serverFailed`: the server that ran it last ended without stopping it. A
 * run in which the processor was not called doesn't count as an attempt.
 */
export function decideTurnAgain(fold: TaskFold, serverFailed: boolean, stamp: Stamp): readonly Entry[] {
  const { turn } = fold;
  if (turn === undefined || isTerminal(fold.status.state)) return [];
  const attempt = turn.stopped?.called === false ? turn.attempt : turn.attempt + 1;
  const losses = serverFailed ? turn.losses + 1 : turn.losses;
  return turnEntries(fold, { messageSequence: turn.message.sequence, attempt, losses }, stamp);
}

/**
 * The entry of a server that shuts down and leaves the turn to the next one; none where nothing is left of the turn.
 * `called`: the processor was called. `touched`: it has shown something or begun a step.
 */
export function decideTurnStopped(
  fold: TaskFold,
  progress: { readonly called: boolean; readonly touched: boolean },
  stamp: Stamp,
): readonly Entry[] {
  if (!fold.turnOpen || isTerminal(fold.status.state)) return [];
  return [makeEntry(timeFor(fold, stamp), { case: "turnStopped", value: create(TurnStoppedSchema, progress) })];
}

function turnEntries(
  fold: TaskFold,
  started: MessageInitShape<typeof TurnStartedSchema>,
  stamp: Stamp,
): readonly Entry[] {
  const timeMs = timeFor(fold, stamp);
  const turn = makeEntry(timeMs, { case: "turn", value: create(TurnStartedSchema, started) });
  return fold.status.state === TaskState.WORKING ? [turn] : [statusEntry(timeMs, TaskState.WORKING), turn];
}

/**
 * The entries of an event that the processor yielded; none for a WORKING without anything new. `ids` are the turn's
 * own: they name artifacts without an id. Throws TaskError INVALID_AGENT_RESPONSE, for the processor, if the contract
 * forbids the event.
 */
export function decideEvent(
  fold: TaskFold,
  event: ProcessorEvent,
  stamp: Stamp,
  ids = new ArtifactIds(fold.turn),
): readonly Entry[] {
  if ("statusUpdate" in event) {
    const { state, message, metadata } = event.statusUpdate;
    if (!mayFollow(fold.status.state, state)) {
      throw invalidAgentResponse(`state ${stateNames[state] ?? state} can't follow ${stateNames[fold.status.state]}`);
    }
    checkMetadata(metadata);
    const says = message !== undefined || metadata !== undefined || fold.status.message !== undefined;
    if (state === TaskState.WORKING && fold.status.state === TaskState.WORKING && !says) return [];
    if (state === TaskState.COMPLETED && fold.waiting.length > 0) return completeBetweenTurns(fold, message, stamp);
    return [statusEntry(timeFor(fold, stamp), state, message && agentMessage(message, stamp), metadata)];
  }
  const { append = false, lastChunk = false, metadata } = event.artifactUpdate;
  checkMetadata(metadata);
  // A copy: `create` returns a message unchanged, and the agent's own object must not get the id.
  const artifact = create(ArtifactSchema, { ...withProtoParts(event.artifactUpdate.artifact) });
  if (artifact.artifactId === "") artifact.artifactId = ids.next(artifact.name, event.artifactUpdate);
  const violations = validate(ArtifactSchema, artifact);
  if (violations.length > 0)
    throw invalidAgentResponse(
      violations.map(({ field, description }) => `artifact.${field}: ${description}`).join("; "),
    );
  const update = create(TaskArtifactUpdateEventSchema);
  update.artifact = artifact;
  update.append = append;
  update.lastChunk = lastChunk;
  if (metadata !== undefined) update.metadata = metadata;
  return [makeEntry(timeFor(fold, stamp), { case: "artifactUpdate", value: update })];
}

/** How a turn ended. "failed" has the text for clients. "stopped" leaves the task to the next server. */
export type TurnEnd =
  | { readonly kind: "returned" }
  | { readonly kind: "failed"; readonly text: string }
  | { readonly kind: "canceled" }
  | { readonly kind: "stopped" };

/** The entries that close a turn; none after a terminal or interrupted status of the processor. */
export function decideTurnEnd(fold: TaskFold, end: TurnEnd, stamp: Stamp): readonly Entry[] {
  if (isTerminal(fold.status.state)) return [];
  const timeMs = timeFor(fold, stamp);
  switch (end.kind) {
    case "returned":
      if (isInterrupted(fold.status.state)) return [];
      if (fold.waiting.length > 0) return [];
      return [statusEntry(timeMs, TaskState.COMPLETED)];
    case "failed":
      return [statusEntry(timeMs, TaskState.FAILED, agentMessage(textMessage(end.text), stamp))];
    case "canceled":
      return [statusEntry(timeMs, TaskState.CANCELED)];
    case "stopped":
      return [];
    default:
      return end satisfies never;
  }
}

/**
 * A turn that completes while messages wait does not end the task: its final message becomes history, and the next turn
 * begins.
 */
function completeBetweenTurns(fold: TaskFold, message: MessageInit | undefined, stamp: Stamp): readonly Entry[] {
  const timeMs = timeFor(fold, stamp);
  // An open question was asked before the final message, so it enters the history before it.
  const goesOn = isInterrupted(fold.status.state) ? [statusEntry(timeMs, TaskState.WORKING)] : [];
  if (message === undefined) return goesOn;
  return [
    ...goesOn,
    makeEntry(timeMs, {
      case: "message",
      value: create(MessageAcceptedSchema, { message: agentMessage(message, stamp) }),
    }),
  ];
}

/** What becomes of turns that were cut off. */
export interface LostRules {
  /** What the processor declares; undefined if it declares nothing. */
  readonly onLost: "fail" | "resume" | undefined;
  /** What failed, if the turn was not stopped by a shutdown. */
  readonly failed: "server" | "storage" | "task-manager";
  /** A turn whose server failed in so many runs of it is not run again. */
  readonly attemptsMax: number;
}

/**
 * The entries for a task whose replica died or shut down, or whose run was lost to an error. CANCELED if a cancel was
 * requested. FAILED with the reason if a turn was cut off and is not to run again. None if no turn had begun, and if
 * the turn runs again: then it begins as usual.
 */
export function decideLost(fold: TaskFold, rules: LostRules, stamp: Stamp): readonly Entry[] {
  const { turn, status } = fold;
  if (isTerminal(status.state)) return [];
  const timeMs = timeFor(fold, stamp);
  if (fold.cancelRequested) return [statusEntry(timeMs, TaskState.CANCELED)];
  if (isInterrupted(status.state) || !fold.turnOpen || turn === undefined) return [];
  const why = whyNotAgain(turn, rules);
  if (why === undefined) return [];
  const { text, reason } = lostReasons[why];
  const message = textMessage(text(turn.losses + 1));
  const metadata = { [reasonKey]: reason };
  return [statusEntry(timeMs, TaskState.FAILED, agentMessage({ ...message, metadata }, stamp))];
}

/**
 * Why a turn that was cut off doesn't run again; undefined if it does. It runs again if the processor declares
 * "resume", unless its server failed in it too often, and if a shutdown stopped it before the processor was called. It
 * also does if a shutdown stopped it before it had shown anything or begun a step, and the processor declares nothing.
 */
function whyNotAgain({ stopped, losses }: Turn, { onLost, failed, attemptsMax }: LostRules) {
  if (stopped !== undefined) {
    const again = !stopped.called || onLost === "resume" || (onLost === undefined && !stopped.touched);
    return again ? undefined : "shutdown";
  }
  if (onLost !== "resume") return failed;
  return failed === "server" && losses + 1 >= attemptsMax ? "attempts" : undefined;
}

/** The member of a FAILED status message's metadata that says why, if it wasn't the agent. */
const reasonKey = "a2a-task-manager/reason";

const lostReasons = {
  shutdown: {
    reason: "SERVER_SHUTDOWN",
    text: () => "The server was shut down while the agent worked on this task",
  },
  server: { reason: "SERVER_FAILED", text: () => "The server failed while the agent worked on this task" },
  storage: { reason: "STORAGE_FAILED", text: () => "The storage failed while the agent worked on this task" },
  "task-manager": {
    reason: "TASK_MANAGER_FAILED",
    text: () => "The task manager failed while the agent worked on this task",
  },
  attempts: {
    reason: "TOO_MANY_ATTEMPTS",
    text: (times: number) => `The server failed ${times} times while the agent worked on this task`,
  },
} as const;

// ── Cancel and takeover ──

/**
 * Decides on a request to cancel. While a turn runs the request is recorded, and the turn's signal is aborted later.
 * Without a running turn the task is CANCELED at once. No entries if a request is recorded already. Throws TaskError
 * TASK_NOT_CANCELABLE for a terminal task (R56).
 */
export function decideCancel(
  fold: TaskFold,
  turnRuns: boolean,
  metadata: JsonObject | undefined,
  stamp: Stamp,
): readonly Entry[] {
  if (isTerminal(fold.status.state)) throw notCancelable(fold);
  const timeMs = timeFor(fold, stamp);
  if (!turnRuns) return [statusEntry(timeMs, TaskState.CANCELED)];
  if (fold.cancelRequested) return [];
  return [
    makeEntry(timeMs, {
      case: "cancelRequested",
      value: create(CancelRequestedSchema, metadata === undefined ? {} : { metadata }),
    }),
  ];
}

export function notCancelable(fold: Pick<TaskFold, "taskId" | "status">): TaskError {
  return new TaskError("TASK_NOT_CANCELABLE", `Task "${fold.taskId}" has ended as ${stateNames[fold.status.state]}`, {
    metadata: { taskId: fold.taskId },
  });
}

/** The entry by which a replica takes the task over, with a larger fence. */
export function decideTakeover(fold: TaskFold, replica: string, fence: bigint, stamp: Stamp): Entry {
  return makeEntry(timeFor(fold, stamp), { case: "takeover", value: create(TakeoverSchema, { replica, fence }) });
}

// ── Pieces ──

function statusEntry(timeMs: number, state: TaskState, message?: Message, metadata?: JsonObject): Entry {
  const status: TaskStatus = create(TaskStatusSchema, { state, timestamp: timestampFromMs(timeMs) });
  if (message !== undefined) status.message = message;
  const update = create(TaskStatusUpdateEventSchema, { status });
  if (metadata !== undefined) update.metadata = metadata;
  return makeEntry(timeMs, { case: "statusUpdate", value: update });
}

function textMessage(text: string): MessageInit {
  return { parts: [{ content: { case: "text", value: text } }] };
}

/** A message of the agent, with a new id if it has none. Throws TaskError INVALID_AGENT_RESPONSE. */
export function agentMessage(init: MessageInit, stamp: Stamp): Message {
  const message = storedMessage(create(MessageSchema, withProtoParts(init)));
  if (message.messageId === "") message.messageId = stamp.newId();
  message.role = Role.AGENT;
  const violations = validate(MessageSchema, message);
  if (violations.length > 0)
    throw invalidAgentResponse(
      violations.map(({ field, description }) => `message.${field}: ${description}`).join("; "),
    );
  return message;
}

/** Metadata that JSON cannot hold must not enter the log: no reader could get past it. */
function checkMetadata(metadata: JsonObject | undefined): void {
  const fault = metadata === undefined ? undefined : jsonFault(metadata);
  if (fault !== undefined) throw invalidAgentResponse(`the event's metadata ${fault}`);
}
