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
} from "../../gen/taskmanager/storage/v1/records_pb.ts";
import { makeEntry, sameMessage, storedMessage } from "./entry.ts";
import type { TaskFold } from "./fold.ts";
import { jsonFault } from "./json-fault.ts";
import { waitingMessagesMax } from "./limits.ts";
import type { ProcessorEvent } from "./processor-event.ts";
import { invalidRequest, messageIdReused, TaskError } from "./task-error.ts";
import { isInterrupted, isTerminal, mayFollow, stateNames } from "./task-state.ts";
import { validate } from "./validate.ts";

/** What the pure part is given of the world: the time, and ids that nobody else has. */
export interface Stamp {
  /** Milliseconds since the epoch. */
  readonly nowMs: number;
  readonly newId: () => string;
}

/** Status times never fall within a task, whatever the clock does (DESIGN 3). */
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
   * The entries that accept it. The last one holds the message. `otherContent`: another message came under the same id
   * before.
   */
  | { readonly kind: "accept"; readonly entries: readonly Entry[]; readonly otherContent: boolean }
  /** It is in the log already; the sequence of its entry, 0 if a turn before the present one has answered it. */
  | { readonly kind: "joined"; readonly sequence: bigint };

/** How the task stands, beside its log, and what its processor and the settings want. */
export interface MessageRules {
  /** The processor is at work on a turn. */
  readonly turnRuns: boolean;
  /** A turn runs, or waits for its place. */
  readonly busy: boolean;
  readonly whileWorking: "enqueue" | "reject";
  /** A message that came before is known again. */
  readonly join: boolean;
  /** Where messages are known again: another one under the id of an earlier one is refused. Default false. */
  readonly strict?: boolean;
}

/**
 * A message for an existing task. Throws TaskError: UNSUPPORTED_OPERATION for a terminal task (R23), one that is being
 * canceled, and during a turn, or before it, if `whileWorking` is "reject"; INVALID_REQUEST for another context (R79);
 * MESSAGE_ID_REUSED; TOO_MANY if 16 messages wait already.
 *
 * Invariant: with the append's condition on the head, a message is accepted before the terminal entry, or refused;
 * never lost behind it.
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
    throw new TaskError("UNSUPPORTED_OPERATION", `Task "${fold.taskId}" takes no message while it works`, {
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
  // A turn that waits for a credential goes on waiting, whatever its client says meanwhile (R87, R88).
  const followsQuestion = state === TaskState.AUTH_REQUIRED && rules.turnRuns;
  const resumes = interrupted && !rules.turnRuns;
  const value = create(MessageAcceptedSchema, { message: storedMessage(message), options, resumes, followsQuestion });
  const accepted = makeEntry(timeMs, { case: "message", value });
  // The status goes first: it moves the question that this message answers into the history, before the answer. Also
  // while the turn that asked is still at its last steps.
  const entries = interrupted && !followsQuestion ? [statusEntry(timeMs, TaskState.WORKING), accepted] : [accepted];
  return { kind: "accept", entries, otherContent };
}

// ── Turns ──

/**
 * The entries that begin the turn of the oldest waiting message, or of the present turn once more after a crash; none
 * if there is neither.
 */
export function decideTurn(fold: TaskFold, stamp: Stamp): readonly Entry[] {
  const next = fold.waiting[0];
  if (next === undefined || isTerminal(fold.status.state)) return [];
  return turnEntries(fold, next.sequence, 1, stamp);
}

/** The entries that run the turn again that a lost replica had begun. */
export function decideTurnAgain(fold: TaskFold, stamp: Stamp): readonly Entry[] {
  if (fold.turn === undefined || isTerminal(fold.status.state)) return [];
  return turnEntries(fold, fold.turn.message.sequence, fold.turn.attempt + 1, stamp);
}

function turnEntries(fold: TaskFold, messageSequence: bigint, attempt: number, stamp: Stamp): readonly Entry[] {
  const timeMs = timeFor(fold, stamp);
  const turn = makeEntry(timeMs, { case: "turn", value: create(TurnStartedSchema, { messageSequence, attempt }) });
  return fold.status.state === TaskState.WORKING ? [turn] : [statusEntry(timeMs, TaskState.WORKING), turn];
}

/**
 * What the processor yielded, as entries; none for a WORKING that says nothing new. Throws TaskError
 * INVALID_AGENT_RESPONSE for what the contract forbids, which is the processor's fault, so it is told.
 */
export function decideEvent(fold: TaskFold, event: ProcessorEvent, stamp: Stamp): readonly Entry[] {
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
  // A copy: `create` gives a message that it is given back as it is, and the agent's own must not get the id.
  const artifact = create(ArtifactSchema, { ...event.artifactUpdate.artifact });
  if (artifact.artifactId === "") artifact.artifactId = stamp.newId();
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

/** How a turn ended. "failed" carries what clients are told; "stopped" leaves the task for whoever runs it next. */
export type TurnEnd =
  | { readonly kind: "returned" }
  | { readonly kind: "failed"; readonly text: string }
  | { readonly kind: "canceled" }
  | { readonly kind: "stopped" };

/** The entries that close a turn. None where the processor's last status says it all: terminal, interrupted. */
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
 * A turn that completes while messages wait doesn't end the task: its last word becomes history, and the next turn
 * begins.
 */
function completeBetweenTurns(
  fold: TaskFold,
  message: MessageInitShape<typeof MessageSchema> | undefined,
  stamp: Stamp,
): readonly Entry[] {
  const timeMs = timeFor(fold, stamp);
  // A question that is still open was asked before the last word, so it enters the history before it.
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

/**
 * What becomes of a task whose replica died, or whose run lost the storage: CANCELED if that was asked for; a turn that
 * was cut off runs again ("resume") or ends the task with an honest reason ("fail"). None where nothing was begun: then
 * the waiting message's turn just begins, as does the one that runs again.
 */
export function decideLost(
  fold: TaskFold,
  onLost: "fail" | "resume",
  stopped: "server" | "storage",
  stamp: Stamp,
): readonly Entry[] {
  if (isTerminal(fold.status.state)) return [];
  const timeMs = timeFor(fold, stamp);
  if (fold.cancelRequested) return [statusEntry(timeMs, TaskState.CANCELED)];
  if (isInterrupted(fold.status.state) || !fold.turnOpen || onLost === "resume") return [];
  const text =
    stopped === "server"
      ? "The server stopped while the agent worked on this task"
      : "The storage failed while the agent worked on this task";
  return [statusEntry(timeMs, TaskState.FAILED, agentMessage(textMessage(text), stamp))];
}

// ── Cancel and takeover ──

/**
 * A wish to cancel. While a turn runs or waits for its place it is recorded, and the turn is told; without one the task
 * is CANCELED at once. No entries: it is recorded already. Throws TaskError TASK_NOT_CANCELABLE for a terminal task
 * (R56).
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

/** Another replica takes the task over, with a larger fence. */
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

function textMessage(text: string): MessageInitShape<typeof MessageSchema> {
  return { parts: [{ content: { case: "text", value: text } }] };
}

/** A message of the agent's, its id made up where it has none. Throws TaskError INVALID_AGENT_RESPONSE. */
export function agentMessage(init: MessageInitShape<typeof MessageSchema>, stamp: Stamp): Message {
  const message = storedMessage(create(MessageSchema, init));
  if (message.messageId === "") message.messageId = stamp.newId();
  message.role = Role.AGENT;
  const violations = validate(MessageSchema, message);
  if (violations.length > 0)
    throw invalidAgentResponse(
      violations.map(({ field, description }) => `message.${field}: ${description}`).join("; "),
    );
  return message;
}

/** What can't be sent on as JSON must not get into the log: no reader could ever pass it. */
function checkMetadata(metadata: JsonObject | undefined): void {
  const fault = metadata === undefined ? undefined : jsonFault(metadata);
  if (fault !== undefined) throw invalidAgentResponse(`the event's metadata ${fault}`);
}

export function invalidAgentResponse(why: string, cause?: unknown): TaskError {
  return new TaskError("INVALID_AGENT_RESPONSE", `The agent's answer breaks the contract: ${why}`, { cause });
}
