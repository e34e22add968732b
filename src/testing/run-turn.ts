import { create } from "@bufbuild/protobuf";
import {
  type Message,
  MessageSchema,
  Role,
  type SendMessageRequest,
  SendMessageRequestSchema,
  type StreamResponse,
  type Task,
} from "../../gen/lf/a2a/v1/a2a_pb.ts";
import type { MessageProcessor } from "../agent/message-processor.ts";
import { eventOf } from "../domain/entry.ts";
import { withProtoParts } from "../domain/part-init.ts";
import type { MessageInit } from "../domain/processor-event.ts";
import type { Caller, TaskKey } from "../domain/scope.ts";
import { isTerminal } from "../domain/task-state.ts";
import { readEntries } from "../log/load-task.ts";
import { type ManagerOptions, managerDefaults } from "../manager/options.ts";
import type { SentMessage } from "../manager/task-manager.ts";
import { createMemoryStorage } from "../storage/memory/storage.ts";
import type { Storage } from "../storage/storage.ts";
import { JumpingClock } from "./jumping-clock.ts";
import type { ManualClock } from "./manual-clock.ts";
import { type KillableServer, startServer } from "./server.ts";
import { shownBy, stateOf } from "./shown.ts";
import { type Act, type Watch, watchedProcessor } from "./watched-processor.ts";

/**
 * How a turn runs. The events of `crashAfter`, `cancelAfter` and `timeoutAfter` are those that the processor has
 * yielded, from 0, over all attempts of the turn.
 */
export interface TurnOptions {
  /** After so many events the server dies and another takes over: `onLost` says what becomes of the turn. */
  readonly crashAfter?: number;
  /** After so many events the client cancels the task. The processor goes on once its signal is aborted. */
  readonly cancelAfter?: number;
  /** After so many events the turn's time is over. The processor goes on once its signal is aborted. */
  readonly timeoutAfter?: number;
  /** Time stands still but where the test moves it: `clock.advanceUntil(runTurn(…))`. Default the system's clock. */
  readonly clock?: ManualClock;
  /** Who sends. Default the anonymous caller. */
  readonly caller?: Caller;
  /** Options of the task manager. Repeats of a message always join it. */
  readonly options?: Omit<ManagerOptions, "duplicateWindowMs">;
}

/** What became of a turn, as clients see it. */
export interface Turn {
  /** The events that the readers of a stream get, after the task itself: those of all attempts, in order. */
  readonly events: readonly StreamResponse[];
  /**
   * The same in a line each, to compare with: "WORKING", "COMPLETED: done", "artifact Answer: text", and
   * "artifact Answer + more" for a chunk that adds to it.
   */
  readonly shown: readonly string[];
  /** The state of the task without its prefix, such as "COMPLETED"; "" for an answer without a task. */
  readonly state: string;
  /** The task after the turn; undefined where `answerMessage` gave the answer. */
  readonly task: Task | undefined;
  /** What `answerMessage` answered; undefined where the message became a task. */
  readonly answer: Message | undefined;
  /** What the processor threw last; undefined if it threw nothing. Clients never see it. */
  readonly error: unknown;
  /** Sends another message, as a chat does: to the task while it is open, else in its conversation. */
  followUp(message: string | MessageInit, ...how: readonly TurnOptions[]): Promise<Turn>;
}

/** The server dies after so many events, and another takes over. */
export function crashAfter(events: number): TurnOptions {
  return { crashAfter: events };
}

/** The client cancels the task after so many events. */
export function cancelAfter(events: number): TurnOptions {
  return { cancelAfter: events };
}

/** The turn's time is over after so many events. */
export function timeoutAfter(events: number): TurnOptions {
  return { timeoutAfter: events };
}

/**
 * Sends a message to an agent, and resolves once its turn is over: `await runTurn(agent, "hello", crashAfter(2))`.
 * Below it run the real task manager and the memory storage, each turn as on a server. Nothing has to be closed.
 *
 * Throws TaskError where the message is refused, and Error where the turn was over before something was to happen to
 * it. A turn of an agent that never ends has the time limits of `options`, 10 min of silence by default.
 */
export function runTurn(
  processor: MessageProcessor,
  message: string | MessageInit,
  ...how: readonly TurnOptions[]
): Promise<Turn> {
  const options: TurnOptions = Object.assign({}, ...how);
  return new Conversation(processor, options).send(message, options, undefined);
}

/** One conversation with an agent, over as many servers as its crashes and pauses need. */
class Conversation {
  readonly #processor: MessageProcessor;
  readonly #storage: Storage;
  readonly #clock: ManualClock | JumpingClock;
  readonly #caller: Caller;
  readonly #options: ManagerOptions;
  #server: KillableServer | undefined;
  #watch: Watch = { acts: [], count: 0, error: undefined };

  constructor(processor: MessageProcessor, { clock, caller, options }: TurnOptions) {
    this.#clock = clock ?? new JumpingClock();
    this.#storage = createMemoryStorage({}, this.#clock);
    this.#caller = caller ?? { tenant: "", owner: "", claims: {}, headers: new Headers() };
    this.#options = { ...options };
    this.#processor = watchedProcessor(processor, () => this.#watch);
  }

  async send(init: string | MessageInit, how: TurnOptions, before: Task | undefined): Promise<Turn> {
    const crash = Promise.withResolvers<"crashed">();
    const watch: Watch = { acts: this.#acts(how, () => crash.resolve("crashed")), count: 0, error: undefined };
    this.#watch = watch;
    const request = requestOf(init, before);
    const seen = before === undefined ? 0n : await this.#headOf(before);
    // Timers of the task manager don't keep the process alive.
    const alive = setInterval(() => {}, timerMsMax);
    try {
      const sent = await this.#sent(request, crash.promise);
      const [missed] = watch.acts;
      if (missed !== undefined)
        throw new Error(`The turn was over after ${watch.count} events, before ${missed.name}(${missed.after})`);
      return await this.#turn(sent, seen, watch);
    } catch (error) {
      await this.#stop();
      throw error;
    } finally {
      clearInterval(alive);
    }
  }

  async #sent(request: SendMessageRequest, crash: Promise<"crashed">): Promise<SentMessage> {
    const sent = await Promise.race([(await this.#running()).manager.sendMessage(request, this.#caller), crash]);
    if (sent !== "crashed") return sent;
    this.#server?.kill();
    this.#server = undefined;
    // The client sends its message again, and so joins the turn that the new server runs.
    return (await this.#running()).manager.sendMessage(request, this.#caller);
  }

  async #running(): Promise<KillableServer> {
    this.#server ??= await startServer(this.#processor, this.#storage, this.#clock, this.#options);
    return this.#server;
  }

  #acts({ crashAfter, cancelAfter, timeoutAfter }: TurnOptions, crash: () => void): Act[] {
    const acts: Act[] = [];
    const add = (name: string, after: number | undefined, run: Act["run"]) => {
      if (after !== undefined) acts.push({ name, after, run });
    };
    add("cancelAfter", cancelAfter, async ({ taskId, signal }) => {
      const canceled = (await this.#running()).manager.cancelTask(taskId, this.#caller);
      await Promise.race([aborted(signal), canceled]);
      canceled.catch(() => undefined);
    });
    add("timeoutAfter", timeoutAfter, async ({ signal }) => {
      await this.#clock.advance(this.#options.turnTimeoutMs ?? managerDefaults.turnTimeoutMs);
      await aborted(signal);
    });
    add("crashAfter", crashAfter, async () => {
      crash();
      // Nothing of a killed process goes on.
      await new Promise<never>(() => {});
    });
    return acts;
  }

  async #turn(sent: SentMessage, seen: bigint, { error }: Watch): Promise<Turn> {
    if (sent.kind === "message") {
      await this.#stop();
      const { message: answer } = sent;
      const events: StreamResponse[] = [];
      return {
        ...{ events, shown: [], state: "", task: undefined, answer, error },
        followUp: (init, ...how) => this.#followUp(init, how, undefined, answer.contextId),
      };
    }
    const { task } = sent;
    const terminal = task.status !== undefined && isTerminal(task.status.state);
    const all = await this.#eventsOf(task, sent.sequence);
    const events = all.filter(({ sequence }) => sequence > seen).map(({ event }) => event);
    const shown = shownBy(all.map(({ event }) => event)).slice(all.length - events.length);
    if (terminal) await this.#stop();
    return {
      ...{ events, shown, state: stateOf(task.status), task, answer: undefined, error },
      followUp: (init, ...how) => this.#followUp(init, how, task, task.contextId),
    };
  }

  #followUp(
    init: string | MessageInit,
    how: readonly TurnOptions[],
    task: Task | undefined,
    contextId: string,
  ): Promise<Turn> {
    const open = task?.status !== undefined && !isTerminal(task.status.state);
    const message = typeof init === "string" ? { parts: [{ text: init }] } : init;
    return this.send({ contextId, ...message }, Object.assign({}, ...how), open ? task : undefined);
  }

  /** Ends the server, so that none goes on beating after the last turn of a test. The storage stays. */
  async #stop(): Promise<void> {
    await this.#server?.manager[Symbol.asyncDispose]();
    this.#server = undefined;
  }

  async #headOf(task: Task): Promise<bigint> {
    return (await this.#storage.getTask(this.#keyOf(task)))?.head ?? 0n;
  }

  /** The events of the task up to a sequence, without the one that creates it. */
  async #eventsOf(task: Task, head: bigint): Promise<{ readonly sequence: bigint; readonly event: StreamResponse }[]> {
    const events: { readonly sequence: bigint; readonly event: StreamResponse }[] = [];
    for (let after = 0n; after < head; ) {
      const page = await readEntries(this.#storage, this.#keyOf(task), task.contextId, after);
      for (const { sequence, entry } of page) {
        const event = sequence === 1n || sequence > head ? undefined : eventOf(entry);
        if (event !== undefined) events.push({ sequence, event });
      }
      after = page.at(-1)?.sequence ?? head;
    }
    return events;
  }

  #keyOf({ id }: Task): TaskKey {
    return { tenant: this.#caller.tenant, owner: this.#caller.owner, taskId: id };
  }
}

/** The longest time of `setInterval`. */
const timerMsMax = 2 ** 31 - 1;

function requestOf(init: string | MessageInit, task: Task | undefined): SendMessageRequest {
  const message = create(MessageSchema, withProtoParts(typeof init === "string" ? { parts: [{ text: init }] } : init));
  if (message.messageId === "") message.messageId = crypto.randomUUID();
  message.role = Role.USER;
  if (task !== undefined) message.taskId = task.id;
  return create(SendMessageRequestSchema, { message });
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
