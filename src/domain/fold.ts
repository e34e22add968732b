import { create, type JsonObject } from "@bufbuild/protobuf";
import type { Value } from "@bufbuild/protobuf/wkt";
import {
  type Artifact,
  ArtifactSchema,
  type Message,
  type Task,
  type TaskArtifactUpdateEvent,
  TaskSchema,
  TaskState,
  type TaskStatus,
  TaskStatusSchema,
} from "../../gen/lf/a2a/v1/a2a_pb.ts";
import type { Entry, SendOptions, StepResult, TurnStopped } from "../../gen/taskmanager/storage/v1/records_pb.ts";
import { isInterrupted, isTerminal, mayFollow } from "./task-state.ts";

/** A message that a turn answers or will answer. */
export interface WaitingMessage {
  /** The sequence of the entry that accepted it. */
  readonly sequence: bigint;
  /** Its place in the history. */
  readonly historyIndex: number;
  readonly options: SendOptions | undefined;
}

/** A turn, in the run of it that began last. */
export interface Turn {
  readonly message: WaitingMessage;
  /** 1 for the first run. */
  readonly attempt: number;
  /** How many runs were lost because their server failed. */
  readonly losses: number;
  /** How its server stopped this run in a planned shutdown; undefined unless it did. */
  readonly stopped: TurnStopped | undefined;
}

/**
 * The result of the entries of a log up to `sequence`. An accumulator: `evolve` changes it in place, because a copy per
 * entry would make the cost of an event grow with the task. Only its owner holds it; `taskOf` makes what others get.
 *
 * Invariant: it is a function of the entries alone. A log that is cut anywhere, its first part stored as a snapshot and
 * the rest folded onto that, gives the same fold (a property test holds this).
 */
export interface TaskFold {
  readonly taskId: string;
  sequence: bigint;
  contextId: string;
  timeMs: number;
  status: TaskStatus;
  metadata: JsonObject | undefined;
  readonly history: Message[];
  readonly artifacts: Artifact[];
  /** Messages whose turn has not begun, oldest first. */
  waiting: WaitingMessage[];
  /** The turn that began last. */
  turn: Turn | undefined;
  /**
   * That turn may still run. While the task is WORKING, this distinguishes a turn that a crash cut off from a message
   * whose turn has not begun. An interrupted task may have an open turn, which waits for a credential.
   */
  turnOpen: boolean;
  /** Results of the current turn's steps, by name. */
  readonly steps: Map<string, StepResult>;
  /** What the processor keeps for the task, over its turns. */
  state: Value | undefined;
  /** The message of the present status is in the history already, because a client's message came after it. */
  questionInHistory: boolean;
  cancelRequested: boolean;
  /** Places in `artifacts`, by id. */
  readonly artifactIndex: Map<string, number>;
}

/** The fold of no entries. */
export function emptyFold(taskId: string): TaskFold {
  return {
    taskId,
    sequence: 0n,
    contextId: "",
    timeMs: 0,
    status: create(TaskStatusSchema),
    metadata: undefined,
    history: [],
    artifacts: [],
    waiting: [],
    turn: undefined,
    turnOpen: false,
    steps: new Map(),
    state: undefined,
    questionInHistory: false,
    cancelRequested: false,
    artifactIndex: new Map(),
  };
}

/** An entry that cannot follow the entries before it. Only a damaged log, or a bug, has one. */
export class FoldError extends Error {
  override name = "FoldError";
}

/** Adds the entry at `sequence` to the fold. Throws FoldError, and leaves the fold unchanged, if it cannot follow. */
export function evolve(fold: TaskFold, sequence: bigint, entry: Entry): void {
  if (sequence !== fold.sequence + 1n) {
    throw new FoldError(`Entry ${sequence} of task "${fold.taskId}" can't follow entry ${fold.sequence}`);
  }
  const { body } = entry;
  if (sequence === 1n ? body.case !== "created" : body.case === "created") {
    throw new FoldError(`Entry ${sequence} of task "${fold.taskId}" is of kind "${body.case}"`);
  }
  // Invariant: terminal is final. No entry, of whatever kind, follows a terminal status.
  if (isTerminal(fold.status.state)) {
    throw new FoldError(`Entry ${sequence} of task "${fold.taskId}" follows a terminal status`);
  }
  switch (body.case) {
    case "created": {
      const task = body.value.task;
      const message = task?.history[0];
      if (task?.status === undefined || message === undefined)
        throw new FoldError(`Task "${fold.taskId}" was created without a status or a message`);
      fold.contextId = task.contextId;
      fold.status = task.status;
      fold.metadata = task.metadata;
      fold.history.push(message);
      fold.waiting.push({ sequence, historyIndex: 0, options: body.value.options });
      break;
    }
    case "message": {
      const message = body.value.message;
      if (message === undefined) throw new FoldError(`Entry ${sequence} of task "${fold.taskId}" lacks its message`);
      if (body.value.followsQuestion) {
        pushQuestion(fold);
        fold.questionInHistory = true;
      }
      // A message of the agent is history at once. A message of the client waits for a turn as well.
      if (body.value.options !== undefined) {
        fold.waiting.push({ sequence, historyIndex: fold.history.length, options: body.value.options });
      }
      if (body.value.resumes) fold.turnOpen = false;
      fold.history.push(message);
      break;
    }
    case "statusUpdate": {
      const status = body.value.status;
      if (status === undefined || !mayFollow(fold.status.state, status.state)) {
        throw new FoldError(
          `Entry ${sequence} of task "${fold.taskId}": state ${status?.state} can't follow ${fold.status.state}`,
        );
      }
      // The question of an interrupted task becomes history when another status replaces it.
      pushQuestion(fold);
      fold.questionInHistory = false;
      fold.status = status;
      break;
    }
    case "artifactUpdate":
      evolveArtifact(fold, sequence, body.value);
      break;
    case "turn": {
      const { messageSequence, attempt, losses } = body.value;
      if (fold.turn?.message.sequence === messageSequence) {
        fold.turn = { message: fold.turn.message, attempt, losses, stopped: undefined };
        fold.turnOpen = true;
        break;
      }
      const place = fold.waiting.findIndex((waiting) => waiting.sequence === messageSequence);
      const message = fold.waiting[place];
      if (message === undefined)
        throw new FoldError(`Entry ${sequence} of task "${fold.taskId}" begins a turn on no waiting message`);
      fold.waiting.splice(place, 1);
      fold.turn = { message, attempt, losses, stopped: undefined };
      fold.turnOpen = true;
      fold.steps.clear();
      break;
    }
    case "turnStopped":
      if (fold.turn === undefined)
        throw new FoldError(`Entry ${sequence} of task "${fold.taskId}" stops a turn that has not begun`);
      fold.turn = { ...fold.turn, stopped: body.value };
      break;
    case "stepResult":
      fold.steps.set(body.value.name, body.value);
      break;
    case "stateSet":
      fold.state = body.value.value;
      break;
    case "takeover":
      break;
    case "cancelRequested":
      fold.cancelRequested = true;
      break;
    case undefined:
      throw new FoldError(`Entry ${sequence} of task "${fold.taskId}" has a body that this release doesn't know`);
    default:
      body satisfies never;
  }
  fold.sequence = sequence;
  fold.timeMs = Math.max(fold.timeMs, Number(entry.timeMs));
}

/**
 * Whether a task that waits for its client has work left: messages whose turn has not begun, or a request to cancel.
 */
export function isPending({ status, waiting, cancelRequested }: TaskFold): boolean {
  return isInterrupted(status.state) && (waiting.length > 0 || cancelRequested);
}

function pushQuestion({ status, questionInHistory, history }: TaskFold): void {
  if (!questionInHistory && entersHistory(status) && status.message !== undefined) history.push(status.message);
}

/**
 * Whether the message of a status belongs to the history of its conversation. A question and a final message do; a
 * message on progress (WORKING) does not (R14, R30).
 */
export function entersHistory(status: TaskStatus): boolean {
  return status.state !== TaskState.WORKING && status.state !== TaskState.SUBMITTED;
}

/**
 * A chunk with `append` adds its parts in order. A chunk without it, and the first of an unknown id, makes or replaces
 * the artifact (R126).
 */
function evolveArtifact(fold: TaskFold, sequence: bigint, update: TaskArtifactUpdateEvent): void {
  const chunk = update.artifact;
  if (chunk === undefined) throw new FoldError(`Entry ${sequence} of task "${fold.taskId}" lacks its artifact`);
  const place = fold.artifactIndex.get(chunk.artifactId);
  const artifact = place === undefined ? undefined : fold.artifacts[place];
  if (artifact === undefined || place === undefined) {
    fold.artifactIndex.set(chunk.artifactId, fold.artifacts.length);
    fold.artifacts.push(ownCopy(chunk));
  } else if (!update.append) {
    fold.artifacts[place] = ownCopy(chunk);
  } else {
    for (const part of chunk.parts) artifact.parts.push(part);
    if (chunk.name !== "") artifact.name = chunk.name;
    if (chunk.description !== "") artifact.description = chunk.description;
    if (chunk.metadata !== undefined) artifact.metadata = { ...artifact.metadata, ...chunk.metadata };
    for (const extension of chunk.extensions) {
      if (!artifact.extensions.includes(extension)) artifact.extensions.push(extension);
    }
  }
}

/** Parts never change and are shared; the lists are the copy's own. */
function ownCopy(artifact: Artifact): Artifact {
  const copy = create(ArtifactSchema);
  copy.artifactId = artifact.artifactId;
  copy.name = artifact.name;
  copy.description = artifact.description;
  copy.parts = [...artifact.parts];
  copy.extensions = [...artifact.extensions];
  if (artifact.metadata !== undefined) copy.metadata = artifact.metadata;
  if (artifact.$unknown !== undefined) copy.$unknown = artifact.$unknown;
  return copy;
}

/** How much of a task to show. */
export interface TaskView {
  /** The number of newest messages to show. 0: none. Absent: all (R62–R64). */
  readonly historyLength?: number | undefined;
  /** Default true. */
  readonly artifacts?: boolean;
}

/** A task as it was at a sequence of its log. The contract's Task has no field for that, so it stands beside it. */
export interface TaskAt {
  readonly task: Task;
  readonly sequence: bigint;
}

/** The task as A2A shows it, with its sequence. */
export function taskAt(fold: TaskFold, view?: TaskView): TaskAt {
  return { task: taskOf(fold, view), sequence: fold.sequence };
}

/** The task as A2A shows it. The caller owns its lists; their elements are shared and never change. */
export function taskOf(fold: TaskFold, view: TaskView = {}): Task {
  const task = create(TaskSchema);
  task.id = fold.taskId;
  task.contextId = fold.contextId;
  task.status = fold.status;
  if (fold.metadata !== undefined) task.metadata = fold.metadata;
  task.history = newest(fold.history, view.historyLength);
  if (view.artifacts ?? true) task.artifacts = fold.artifacts.map(ownCopy);
  return task;
}

function newest(history: readonly Message[], length: number | undefined): Message[] {
  if (length === undefined) return [...history];
  return length === 0 ? [] : history.slice(-length);
}

/**
 * An equal fold that can be evolved independently. Its cost grows with the task, so it is made once per run, not per
 * event. The elements of its lists, and its status, never change and are shared.
 */
export function copyFold(fold: TaskFold): TaskFold {
  return {
    ...fold,
    history: [...fold.history],
    artifacts: fold.artifacts.map(ownCopy),
    waiting: [...fold.waiting],
    steps: new Map(fold.steps),
    artifactIndex: new Map(fold.artifactIndex),
  };
}
