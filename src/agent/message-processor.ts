import type { JsonObject, MessageInitShape } from "@bufbuild/protobuf";
import type {
  AgentCardSchema,
  Message,
  MessageSchema,
  Task,
  TaskPushNotificationConfig,
} from "../../gen/lf/a2a/v1/a2a_pb.ts";
import type { ProcessorEvent } from "../domain/processor-event.ts";
import type { Caller } from "../domain/scope.ts";
import type { CancellableTask } from "./cancellable-task.ts";
import type { TaskSubscriber } from "./task-subscriber.ts";

/** The agent's code: what an author writes. */
export interface MessageProcessor {
  /**
   * One turn of a task. Ends COMPLETED on return, FAILED on throw (the cause is logged, never sent), CANCELED on abort,
   * otherwise in the last status yielded. `yield` returns when the event is in the bounded batch (256 entries or 4
   * MiB), not when it is durable: see `TaskContext.committed`. What the contract forbids is thrown back at the `yield`
   * as INVALID_AGENT_RESPONSE or TOO_LARGE.
   *
   * After COMPLETED was yielded while messages wait, the task goes on with the next of them: its last word is kept as a
   * message.
   */
  processMessage(context: TaskContext): AsyncIterable<ProcessorEvent>;
  /**
   * Asked before a task exists, for new messages only: a Message is the whole answer, undefined makes it a task. Has 10
   * s, may be asked again after a crash.
   */
  answerMessage?(context: MessageContext): Promise<MessageInitShape<typeof MessageSchema> | undefined>;
  readonly card?: MessageInitShape<typeof AgentCardSchema>;
  /** Its replica died in a turn: end FAILED with a reason, or run the turn again (`attempt` + 1). Default "fail". */
  readonly onLost?: "fail" | "resume";
  /**
   * A message comes during a turn: it becomes the next turn (at most 16 wait), or UnsupportedOperationError. Default
   * "enqueue".
   */
  readonly whileWorking?: "enqueue" | "reject";
}

/** Why a turn must stop: the `reason` of its signal. */
export type AbortReason = "canceled" | "lost" | "timed-out" | "draining";

export interface MessageContext {
  readonly message: Message;
  readonly contextId: string;
  readonly options: ProcessOptions;
  readonly caller: Caller;
  /** Aborted when the turn must stop; `reason` is an `AbortReason`. Never by a client's hang-up. */
  readonly signal: AbortSignal;
  /** Messages of the conversation, oldest first, at most `limit` newest. */
  history(limit?: number): Promise<readonly Message[]>;
}

export interface TaskContext extends MessageContext {
  readonly taskId: string;
  /** 1 for the first run of this turn; more after a crash. */
  readonly attempt: number;
  /** Grows with every takeover; pass it to tools that can refuse a stale caller. */
  readonly fence: bigint;
  /** The task with everything this turn has yielded so far. */
  task(): Promise<Task>;
  /**
   * Runs once: the result is durable when this resolves, so a resumed turn gets it back instead of running it again.
   * JSON values only. Names are unique within a turn; the same name again gives the same result.
   */
  step<T extends Json>(name: string, run: () => Promise<T>): Promise<T>;
  /** Resolves when all yielded so far is durable, to its sequence: call it before an effect that cannot be undone. */
  committed(): Promise<bigint>;
  subscribeTask(taskId: string): TaskSubscriber;
  getTask(taskId: string): Promise<CancellableTask>;
  /** Removes a terminal task of the same caller and conversation. */
  cleanTask(taskId: string): Promise<void>;
}

/** What the sender of the message asked for. */
export interface ProcessOptions {
  readonly blocking: boolean;
  readonly streaming: boolean;
  readonly historyLength?: number;
  readonly acceptedOutputModes: readonly string[];
  readonly pushNotificationConfig?: TaskPushNotificationConfig;
  readonly metadata?: JsonObject;
}

export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };
