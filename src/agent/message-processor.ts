import type { JsonObject, MessageInitShape } from "@bufbuild/protobuf";
import type { AgentCardSchema, Message, Task, TaskPushNotificationConfig } from "../../gen/lf/a2a/v1/a2a_pb.ts";
import type { MessageInit, ProcessorEvent } from "../domain/processor-event.ts";
import type { Caller } from "../domain/scope.ts";
import type { Clock } from "../runtime/clock.ts";
import type { AsJson } from "./as-json.ts";
import type { CancellableTask } from "./cancellable-task.ts";
import type { TaskSubscriber } from "./task-subscriber.ts";

/** The agent's code, which its author writes. */
export interface MessageProcessor {
  /**
   * Runs one turn of a task. A terminal or interrupted status that the turn yields last stays the task's status.
   * Otherwise the task ends COMPLETED on return, FAILED on throw (the error is logged, never sent), and CANCELED after
   * an abort by a cancel.
   *
   * `yield` returns when the event is in the batch (at most 256 entries or 4 MiB), not when it is durable; see
   * `TaskContext.committed`. An event that the contract forbids is refused: the `yield` throws INVALID_AGENT_RESPONSE
   * or TOO_LARGE.
   *
   * If messages wait when the turn yields COMPLETED, the task goes on with the next of them. The text of the COMPLETED
   * status is kept as a message.
   */
  processMessage(context: TaskContext): AsyncIterable<ProcessorEvent>;
  /**
   * Called for a new message, before it becomes a task. A Message is the whole answer (R16); undefined makes the
   * message a task. It has 10 s. After a crash it may be called again for the same message.
   */
  answerMessage?(context: MessageContext): Promise<MessageInit | undefined>;
  readonly card?: MessageInitShape<typeof AgentCardSchema>;
  /**
   * What happens to a turn whose server failed or was shut down. "fail": the task ends FAILED. "resume": the turn runs
   * again, `maxAttempts` times at most if servers fail in it. Default "fail", but after a shutdown a turn that had
   * shown nothing and begun no step runs again. A turn whose processor was not called yet always runs.
   */
  readonly onLost?: "fail" | "resume";
  /**
   * What happens to a message during a turn. "enqueue": it waits for a turn of its own (at most 16 wait). "reject": it
   * is refused as UnsupportedOperationError. Default "enqueue".
   */
  readonly whileWorking?: "enqueue" | "reject";
}

/** Why a turn must stop. The `reason` of its signal. */
export type AbortReason = "canceled" | "lost" | "timed-out" | "draining";

export interface MessageContext {
  readonly message: Message;
  readonly contextId: string;
  readonly options: ProcessOptions;
  readonly caller: Caller;
  /** Aborted when the turn must stop; its `reason` is an `AbortReason`. A client that disconnects does not abort it. */
  readonly signal: AbortSignal;
  /**
   * The `limit` newest messages of the conversation, oldest first; all of them without a limit. In a turn they are
   * everything sent and yielded so far: the message that the turn answers is among them, and so are messages that wait.
   * In `answerMessage` they are those before the message. Throws TaskError INVALID_REQUEST for a limit below 1.
   */
  history(limit?: number): Promise<readonly Message[]>;
}

export interface TaskContext extends MessageContext {
  readonly taskId: string;
  /** The time as the task manager has it. An agent that waits or measures by it can be tested without waiting. */
  readonly clock: Clock;
  /** 1 for the first run of this turn. Grows by 1 each time the turn runs again after a crash. */
  readonly attempt: number;
  /** Grows with every takeover of the task. Tools that get it can refuse a stale caller. */
  readonly fence: bigint;
  /** The task, with everything that this turn has yielded so far. */
  task(): Promise<Task>;
  /**
   * Runs a step once per turn. Its result is durable when the promise resolves: a turn that runs again gets the result
   * without running the step. Names identify the steps of a turn; a second call with the same name gets the same
   * result. A step that throws keeps nothing, and may be tried again.
   *
   * The result is what JSON holds, or nothing. Members that are undefined are left out of it. Anything else, such as a
   * Date or NaN, is refused by the compiler where it can see it, and with INVALID_AGENT_RESPONSE when it is returned.
   */
  step<T>(name: string, run: () => Promise<T & AsJson<T>>): Promise<T>;
  readonly state: TaskStore;
  /**
   * Resolves when everything yielded so far is durable, and gives its sequence. Call it before an effect that cannot be
   * undone.
   */
  committed(): Promise<bigint>;
  subscribeTask(taskId: string): TaskSubscriber;
  getTask(taskId: string): Promise<CancellableTask>;
  /** Removes a terminal task of the same caller and conversation. Does nothing if there is none. */
  cleanTask(taskId: string): Promise<void>;
}

/** The options that came with the message. */
export interface ProcessOptions {
  readonly blocking: boolean;
  readonly streaming: boolean;
  readonly historyLength?: number;
  readonly acceptedOutputModes: readonly string[];
  readonly pushNotificationConfig?: TaskPushNotificationConfig;
  readonly metadata?: JsonObject;
}

/**
 * One JSON value that the processor keeps for the task, over all its turns: which question is open, the id of the work
 * upstream. Clients never see it. It is in the log of the task, so its bytes count towards the task's.
 */
export interface TaskStore {
  /** What was set last, in this turn or before; undefined if nothing was. A copy. */
  get<T = unknown>(): T | undefined;
  /**
   * Sets it, in the order of the events that the turn yields, and durable with them: `committed` waits for it too.
   * Undefined removes it. What a lost run of the turn had set is there when the turn runs again.
   *
   * Throws TaskError INVALID_AGENT_RESPONSE for what JSON cannot hold (as the result of a step) and after a terminal
   * status, TOO_LARGE beyond the bounds on events, and UNSUPPORTED_OPERATION once the turn is over.
   */
  set<T>(value: T & AsJson<T>): void;
}
