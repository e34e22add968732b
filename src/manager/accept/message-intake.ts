import type { SendMessageRequest } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { messageInContext } from "../../domain/entry.ts";
import type { Caller } from "../../domain/scope.ts";
import { closed } from "../../domain/task-error.ts";
import type { ManagerDeps } from "../manager-deps.ts";
import type { AnswerRoom } from "../read/answer-room.ts";
import type { Reservation, RunQueue } from "../run/run-queue.ts";
import type { TaskRun } from "../run/task-run.ts";
import type { TaskRuns } from "../run/task-runs.ts";
import type { Accepted } from "./accepted.ts";
import { askForAnswer } from "./answer-message.ts";
import { createFromMessage, type NewTask } from "./create-from-message.ts";
import { Deduplication } from "./deduplicate.ts";
import { checkIncoming, type Incoming } from "./incoming.ts";

/** How a call waits to be accepted. */
export interface AcceptOptions {
  readonly onWait?: (() => void) | undefined;
  readonly room?: AnswerRoom | undefined;
  /** Ends the wait for room. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Takes messages in. A message to a task is appended to its log. A new message is checked (`incoming.ts`), compared
 * with earlier sends (`deduplicate.ts`), answered at once if the agent wants that (`answer-message.ts`), or made a task
 * (`create-from-message.ts`). A refused message leaves nothing behind.
 */
export class MessageIntake {
  readonly #deps: ManagerDeps;
  readonly #runs: TaskRuns;
  readonly #queue: RunQueue;
  readonly #deduplication: Deduplication;
  /** New messages on their way in, without repeats. */
  readonly #making = new Set<Promise<Accepted>>();
  /** Aborts the wait for answers of the agent. */
  readonly #closing = new AbortController();

  constructor(deps: ManagerDeps, runs: TaskRuns, queue: RunQueue) {
    this.#deps = deps;
    this.#runs = runs;
    this.#queue = queue;
    this.#deduplication = new Deduplication(deps, runs);
  }

  /**
   * `onWait` is called when only an agent keeps the message from being accepted. Throws TaskError for everything that
   * refuses the message; `decideMessage` has the list for a message to a task. A large task that has no run here takes
   * room before it is loaded, and TOO_MANY refuses the message where there is none. The room is given back once the
   * message is accepted: then the task runs, or the answer takes room of its own.
   */
  async accept(
    request: SendMessageRequest,
    caller: Caller,
    streaming: boolean,
    { onWait, room, signal }: AcceptOptions = {},
  ): Promise<Accepted> {
    const incoming = checkIncoming(this.#deps, request, caller, streaming);
    if (incoming.message.taskId !== "") {
      const accepted = await this.#acceptToTask(incoming, room, signal);
      room?.release();
      return accepted;
    }
    return this.#deduplication.once(incoming, () => this.#acceptNew(incoming, onWait), onWait);
  }

  /** Resolves when no message is on its way in. The caller refuses messages that come later. */
  async finish(): Promise<void> {
    await Promise.allSettled(this.#making);
  }

  /** Like `finish`, and aborts answers under way. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.finish();
  }

  async #acceptToTask(
    incoming: Incoming,
    room: AnswerRoom | undefined,
    signal: AbortSignal | undefined,
  ): Promise<Accepted> {
    const { scope, message, options, caller } = incoming;
    const key = { ...scope, taskId: message.taskId };
    const accept = async (run: TaskRun): Promise<Accepted> => {
      const { decision, sequence } = await run.decided(() => run.accept(message, options, caller));
      if (decision.kind === "accept" && decision.otherContent) this.#deduplication.warnOfReuse(incoming);
      const answered = sequence === 0n;
      // The turn that has answered the message, and the turn after it, may not be durable yet.
      await run.writer.whenCommitted(answered ? run.writer.tentative.sequence : sequence);
      // After an answered message every turn that runs is a later one.
      return { kind: "task", key, sequence: answered ? 1n : sequence, isNew: false };
    };
    return this.#runs.use(key, accept, room, { signal });
  }

  async #acceptNew(incoming: Incoming, onWait: (() => void) | undefined): Promise<Accepted> {
    const place = this.#queue.reserve();
    const made = place === undefined ? this.#acceptRepeat(incoming) : this.#make(incoming, place.keep, onWait);
    this.#making.add(made);
    try {
      return await made;
    } finally {
      // Before `close` resolves, which waits for `made` after this.
      place?.release();
      this.#making.delete(made);
    }
  }

  /** A full queue has no place for another task, but a repeat needs none. Throws TaskError TOO_MANY. */
  async #acceptRepeat(incoming: Incoming): Promise<Accepted> {
    const joined = await this.#deduplication.joinKnown(incoming);
    if (joined === undefined) throw this.#queue.tooMany();
    return joined;
  }

  async #make(incoming: Incoming, keepPlace: Reservation["keep"], onWait: (() => void) | undefined): Promise<Accepted> {
    const { storage, processor, newId } = this.#deps;
    const { scope, message } = incoming;
    const contextId = message.contextId === "" ? newId() : message.contextId;
    // The agent decides whether the message becomes a task. It must be asked once, so the claim comes first.
    if (processor.answerMessage === undefined)
      return this.#create(incoming, { taskId: incoming.claim?.taskId ?? newId(), contextId, keepPlace });
    const claimed = await this.#deduplication.claim(incoming);
    if (typeof claimed !== "string") return claimed;
    onWait?.();
    const answer = await askForAnswer(this.#deps, incoming, contextId, this.#closing.signal);
    if (answer === undefined) return this.#create(incoming, { taskId: claimed, contextId, keepPlace });
    // The answer and the end of this server may come in one step.
    if (this.#closing.signal.aborted) throw closed();
    const claim = incoming.claim && { ...incoming.claim, taskId: claimed };
    await storage.storeMessages(scope, [messageInContext(message, contextId), answer], claim);
    return { kind: "message", message: answer };
  }

  #create(incoming: Incoming, task: NewTask): Promise<Accepted> {
    return createFromMessage(this.#deps, this.#runs, this.#deduplication, incoming, task);
  }
}
