import assert from "node:assert/strict";
import { create, toBinary } from "@bufbuild/protobuf";
import {
  type Message,
  MessageSchema,
  type SendMessageRequest,
  SendMessageRequestSchema,
} from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { type SendOptions, SendOptionsSchema } from "../../../gen/taskmanager/storage/v1/records_pb.ts";
import type { AbortReason, MessageContext } from "../../agent/message-processor.ts";
import { checkRequest } from "../../domain/check-request.ts";
import { agentMessage, decideCreate, invalidAgentResponse } from "../../domain/decide.ts";
import { sameMessage, storedMessage } from "../../domain/entry.ts";
import { checkInputModes } from "../../domain/input-modes.ts";
import type { Caller, Scope, TaskKey } from "../../domain/scope.ts";
import { closed, messageIdReused, TaskError } from "../../domain/task-error.ts";
import { isSettled } from "../../domain/task-state.ts";
import { createTask } from "../../log/create-task.ts";
import { answerMessageMs } from "../../runtime/limits.ts";
import type { DuplicateClaim, MessageClaim } from "../../storage/storage.ts";
import { StorageError } from "../../storage/storage-error.ts";
import { type ManagerDeps, stampOf } from "../manager-deps.ts";
import type { RunQueue } from "../run/run-queue.ts";
import { conversationHistory, processOptions } from "../run/task-context.ts";
import type { TaskRuns } from "../run/task-runs.ts";
import { contentHash } from "./content-hash.ts";

/** What became of a message: a bare answer, or a place in a task's log. */
export type Accepted =
  | { readonly kind: "message"; readonly message: Message }
  | {
      readonly kind: "task";
      readonly key: TaskKey;
      /** That of the message's entry, or of the task's first one if an earlier turn has answered it. */
      readonly sequence: bigint;
      /** This very send made the task: nobody has seen anything of it. */
      readonly isNew: boolean;
    };

/**
 * The way of a message in: validated, claimed, then either answered at once, or durable as the beginning of a task or
 * as a further message of one. A refused message leaves nothing behind.
 */
export class MessageIntake {
  readonly #deps: ManagerDeps;
  readonly #runs: TaskRuns;
  readonly #slots: RunQueue;
  /**
   * New messages on their way in, by claim: a repeat that comes meanwhile waits for the first. Bounded by the calls
   * under way.
   */
  readonly #underWay = new Map<string, Promise<Accepted>>();
  /** New messages on their way in, repeats left out. */
  readonly #making = new Set<Promise<Accepted>>();
  /** Aborts the answers that the processor is being asked for. */
  readonly #closing = new AbortController();

  constructor(deps: ManagerDeps, runs: TaskRuns, slots: RunQueue) {
    this.#deps = deps;
    this.#runs = runs;
    this.#slots = slots;
  }

  /** Throws TaskError for everything that refuses the message; see `decideMessage` for a message to a task. */
  async accept(request: SendMessageRequest, caller: Caller, streaming: boolean): Promise<Accepted> {
    const { message, encoded, options } = this.#check(request, streaming);
    const scope: Scope = { tenant: caller.tenant, owner: caller.owner };
    if (message.taskId !== "") return this.#toTask({ ...scope, taskId: message.taskId }, message, options, caller);
    if (this.#deps.options.duplicateWindowMs === 0) return this.#asNew(scope, message, options, caller, undefined);
    const claim: MessageClaim = {
      messageId: message.messageId,
      contentHash: contentHash(message, encoded),
      taskId: this.#deps.newId(),
      windowMs: this.#deps.options.duplicateWindowMs,
      strict: this.#deps.options.messageIds === "strict",
    };
    const id = JSON.stringify([scope.tenant, scope.owner, claim.messageId, claim.contentHash]);
    const first = this.#underWay.get(id);
    if (first !== undefined) return asRepeat(await first);
    const accepted = this.#asNew(scope, message, options, caller, claim).finally(() => this.#underWay.delete(id));
    this.#underWay.set(id, accepted);
    return accepted;
  }

  /**
   * Aborts answers under way, and resolves when nothing is being made any more. What comes later is the caller's to
   * refuse.
   */
  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.allSettled(this.#making);
  }

  /** The message, its encoding, for its size and its hash alike, and what its sender asks for. */
  #check(
    request: SendMessageRequest,
    streaming: boolean,
  ): { readonly message: Message; readonly encoded: Uint8Array; readonly options: SendOptions } {
    checkRequest(SendMessageRequestSchema, request);
    const { message, configuration } = request;
    // REQUIRED: the check above has seen it.
    assert(message);
    const { maxEventBytes } = this.#deps.options;
    const encoded = toBinary(MessageSchema, message);
    const options = sendOptions(request, streaming);
    // Both are kept in one entry, for the agent.
    const bytes = encoded.byteLength + toBinary(SendOptionsSchema, options).byteLength;
    if (bytes > maxEventBytes) {
      throw new TaskError(
        "TOO_LARGE",
        `The message and what comes with it have ${bytes} bytes; at most ${maxEventBytes} are taken`,
      );
    }
    if (configuration?.taskPushNotificationConfig !== undefined) {
      throw new TaskError("PUSH_NOTIFICATION_NOT_SUPPORTED", "Push notifications are not supported");
    }
    checkInputModes(message, this.#deps.processor.card);
    return { message, encoded, options };
  }

  async #toTask(key: TaskKey, message: Message, options: SendOptions, caller: Caller): Promise<Accepted> {
    return this.#runs.use(key, async (run) => {
      const { decision, sequence } = await run.decided(() => run.accept(message, options, caller));
      if (decision.kind === "accept" && decision.otherContent) this.#warnOfReuse(message);
      const answered = sequence === 0n;
      // The turn that has answered it, and the one after it, may not be durable yet.
      await run.writer.whenCommitted(answered ? run.writer.tentative.sequence : sequence);
      // Whatever turn runs now, it is a later one.
      return { kind: "task", key, sequence: answered ? 1n : sequence, isNew: false };
    });
  }

  async #asNew(
    scope: Scope,
    message: Message,
    options: SendOptions,
    caller: Caller,
    claim: MessageClaim | undefined,
  ): Promise<Accepted> {
    const release = this.#slots.reserve();
    const made =
      release === undefined
        ? this.#repeatOnly(scope, message, claim)
        : this.#make(scope, message, options, caller, claim).finally(release);
    this.#making.add(made);
    try {
      return await made;
    } finally {
      this.#making.delete(made);
    }
  }

  /**
   * No place is left for another task; but what is a repeat of a message needs none. Looked up before it is claimed, so
   * that a refusal leaves no claim. Throws TaskError TOO_MANY.
   */
  async #repeatOnly(scope: Scope, message: Message, claim: MessageClaim | undefined): Promise<Accepted> {
    const { storage } = this.#deps;
    const known = claim && (await storage.getMessage(scope, message.messageId));
    if (claim !== undefined && known !== undefined && sameMessage(known, message)) {
      const result = await storage.claimMessage(scope, claim);
      const joined = result.outcome === "duplicate" ? await this.#join(scope, result) : undefined;
      if (joined !== undefined) return joined;
    }
    throw this.#slots.tooMany();
  }

  async #make(
    scope: Scope,
    message: Message,
    options: SendOptions,
    caller: Caller,
    claim: MessageClaim | undefined,
  ): Promise<Accepted> {
    const { storage, processor } = this.#deps;
    const contextId = message.contextId === "" ? this.#deps.newId() : message.contextId;
    let taskId = claim?.taskId ?? this.#deps.newId();
    // Whether it becomes a task is the processor's to say; the claim must be held before it is asked, so that it is
    // asked once.
    if (processor.answerMessage !== undefined) {
      if (claim !== undefined) {
        const claimed = await this.#claim(scope, message, claim);
        if (typeof claimed !== "string") return claimed;
        taskId = claimed;
      }
      const answer = await this.#answer(message, contextId, options, caller);
      if (answer !== undefined) {
        await storage.storeMessages(scope, [inContext(message, contextId), answer], claim && { ...claim, taskId });
        return { kind: "message", message: answer };
      }
    }
    return this.#create({ ...scope, taskId }, contextId, message, options, caller, claim && { ...claim, taskId });
  }

  /**
   * What came of the message already, or the id of the task that it may become. A claim of which nothing came is looked
   * at twice: a task that was deleted in between has taken its claim along, and its id is never used again (R76). If it
   * is still held, its first sender went away.
   */
  async #claim(scope: Scope, message: Message, claim: MessageClaim, abandoned?: string): Promise<Accepted | string> {
    const result = await this.#deps.storage.claimMessage(scope, claim);
    switch (result.outcome) {
      case "accepted":
        if (result.otherContent) this.#warnOfReuse(message);
        return claim.taskId;
      case "reused":
        throw messageIdReused(message);
      case "duplicate": {
        const joined = await this.#join(scope, result);
        if (joined !== undefined) return joined;
        return result.taskId === abandoned ? abandoned : this.#claim(scope, message, claim, result.taskId);
      }
      default:
        return result satisfies never;
    }
  }

  async #create(
    key: TaskKey,
    contextId: string,
    message: Message,
    options: SendOptions,
    caller: Caller,
    claim: MessageClaim | undefined,
    abandoned?: string,
  ): Promise<Accepted> {
    const { storage, clock, newId, replica, times } = this.#deps;
    const entry = decideCreate(contextId, message, options, { newId, nowMs: times.next(key, contextId) });
    const owner = { replica, fence: 1n };
    const result = await createTask(storage, key, entry, { contextId, owner, clock, newId, ...(claim && { claim }) });
    switch (result.outcome) {
      case "created":
        times.note(key, contextId, Number(entry.timeMs));
        if (result.otherContent) this.#warnOfReuse(message);
        await this.#runs.started(key, result.fold, result.batch, result.created, caller);
        return { kind: "task", key, sequence: 1n, isNew: true };
      case "reused":
        throw messageIdReused(message);
      case "exists":
        return (await this.#join(key, key)) ?? { kind: "task", key, sequence: 1n, isNew: false };
      case "duplicate": {
        const joined = await this.#join(key, result.claim);
        if (joined !== undefined) return joined;
        const { taskId } = result.claim;
        // Looked at twice, as in `#claim`.
        if (taskId !== abandoned) return this.#create(key, contextId, message, options, caller, claim, taskId);
        // Its first sender never got to make it; the claim names the task, so this send makes it under that id.
        return this.#create({ ...key, taskId }, contextId, message, options, caller, claim && { ...claim, taskId });
      }
      default:
        return result satisfies never;
    }
  }

  #warnOfReuse({ messageId }: Message): void {
    this.#deps.logger.warn({ messageId }, "A message id came again with other content, and was taken as a new message");
  }

  /** What the first sender of the same message got; undefined if nothing came of its claim. */
  async #join(scope: Scope, claim: DuplicateClaim): Promise<Accepted | undefined> {
    if (claim.answer !== undefined) return { kind: "message", message: claim.answer };
    const key: TaskKey = { tenant: scope.tenant, owner: scope.owner, taskId: claim.taskId };
    const run = this.#runs.peek(key);
    if (run === undefined || run.lost !== undefined) {
      const stored = await this.#deps.storage.getTask(key);
      if (stored === undefined) return undefined;
      // Nobody runs it: who made it has died, or never heard that it was made.
      if (!isSettled(stored.state)) await this.#runs.use(key, (orphan) => orphan.recover());
    }
    return { kind: "task", key, sequence: 1n, isNew: false };
  }

  /** Asks the processor for a bare answer. It has 10 s; a failure of it is the agent's, not the client's. */
  async #answer(
    message: Message,
    contextId: string,
    options: SendOptions,
    caller: Caller,
  ): Promise<Message | undefined> {
    const { clock, processor, logger } = this.#deps;
    const { maxEventBytes } = this.#deps.options;
    const abort = new AbortController();
    const context: MessageContext = {
      message: inContext(message, contextId),
      contextId,
      options: processOptions(options),
      caller,
      signal: abort.signal,
      history: (limit) => conversationHistory(this.#deps, caller, contextId, limit),
    };
    const { promise: stopped, reject } = Promise.withResolvers<never>();
    const stop = (reason: AbortReason, error: Error) => {
      abort.abort(reason);
      reject(error);
    };
    const cancelTimer = clock.after(answerMessageMs, () =>
      stop("timed-out", new Error(`The agent took longer than ${answerMessageMs} ms to answer a message`)),
    );
    const onClose = () => stop("draining", closed());
    const closing = this.#closing.signal;
    closing.addEventListener("abort", onClose);
    if (closing.aborted) onClose();
    try {
      const init = await Promise.race([processor.answerMessage?.(context), stopped]);
      if (init === undefined) return undefined;
      const answer = inContext(agentMessage(init, stampOf(this.#deps)), contextId);
      const bytes = toBinary(MessageSchema, answer).byteLength;
      if (bytes > maxEventBytes)
        throw invalidAgentResponse(`its message has ${bytes} bytes; at most ${maxEventBytes} are sent`);
      return answer;
    } catch (error) {
      logger.error({ messageId: message.messageId, err: error }, "The agent failed to answer a message");
      // What the task manager itself says of the answer, or of its own end; what the agent met, or made up, isn't for
      // the client.
      if (error instanceof TaskError && (error.reason === "INVALID_AGENT_RESPONSE" || closing.aborted)) throw error;
      if (error instanceof StorageError && error.retryable) throw error;
      throw new TaskError("INVALID_AGENT_RESPONSE", "The agent failed", { cause: error });
    } finally {
      cancelTimer();
      closing.removeEventListener("abort", onClose);
      // Where it was stopped, nobody may be left to hear of it.
      stopped.catch(() => undefined);
    }
  }
}

/** What a send got, for another one of the same message. */
function asRepeat(accepted: Accepted): Accepted {
  return accepted.kind === "task" ? { ...accepted, isNew: false } : accepted;
}

function inContext(message: Message, contextId: string): Message {
  const copy = storedMessage(message);
  copy.contextId = contextId;
  return copy;
}

function sendOptions({ configuration, metadata }: SendMessageRequest, streaming: boolean): SendOptions {
  return create(SendOptionsSchema, {
    blocking: !streaming && !(configuration?.returnImmediately ?? false),
    streaming,
    acceptedOutputModes: configuration?.acceptedOutputModes ?? [],
    ...(configuration?.historyLength !== undefined && { historyLength: configuration.historyLength }),
    ...(metadata !== undefined && { metadata }),
  });
}
