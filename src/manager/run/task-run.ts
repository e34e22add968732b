import type { JsonObject } from "@bufbuild/protobuf";
import { type Message, TaskState } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import type { SendOptions } from "../../../gen/taskmanager/storage/v1/records_pb.ts";
import type { AbortReason } from "../../agent/message-processor.ts";
import {
  decideCancel,
  decideLost,
  decideMessage,
  decideTakeover,
  decideTurn,
  decideTurnAgain,
  decideTurnEnd,
  type MessageDecision,
} from "../../domain/decide.ts";
import { messageInEntry, type PlacedEntry } from "../../domain/entry.ts";
import { isPending, type TaskFold } from "../../domain/fold.ts";
import type { Caller, TaskKey } from "../../domain/scope.ts";
import { isInterrupted, isTerminal } from "../../domain/task-state.ts";
import { TaskWriter } from "../../log/task-writer.ts";
import type { TaskFeed } from "../../stream/task-hub.ts";
import { type ManagerDeps, stampOf } from "../manager-deps.ts";
import type { RunQueue } from "./run-queue.ts";
import { runTurn } from "./run-turn.ts";
import type { TaskContextFactory } from "./task-context.ts";

/** Where a task stands in the storage when a run of it begins. */
export interface RunStart {
  readonly fold: TaskFold;
  readonly batch: string;
  readonly logBytes: number;
  readonly snapshotBytes: number;
  readonly owner: { readonly replica: string; readonly fence: bigint };
}

/**
 * A task that this replica owns: the one writer of its log, and its turns, one after the other. It lives while there is
 * a turn to run or somebody uses it, and is made anew from the log when needed again.
 *
 * States: idle (nothing waits) → queued (a message waits for a slot) → turn (the processor runs) → idle or queued;
 * ended once the task is terminal or the writer lost.
 *
 * Invariant: at most one turn of a task runs, and every decision is made on `writer.tentative` and appended in the same
 * synchronous step.
 */
export class TaskRun {
  readonly key: TaskKey;
  readonly writer: TaskWriter;
  readonly feed: TaskFeed;
  readonly #deps: ManagerDeps;
  readonly #slots: RunQueue;
  readonly #contexts: TaskContextFactory;
  /** Called whenever the run has nothing to do any more. */
  readonly #onIdle: () => void;
  /** Called once, when the run can't go on. */
  readonly #tellLost: (error: Error) => void;
  readonly #abortQueue = new AbortController();
  #turn: AbortController | undefined;
  #work: Promise<void> | undefined;
  #lost: Error | undefined;
  #takeover: { readonly replica: string; readonly fence: bigint } | undefined;
  /** What must be durable before a turn runs here. */
  #takenAt = 0n;
  readonly #fence: bigint;
  /** This replica had the task already: if nobody runs it, that is the storage's doing. */
  readonly #ownedBefore: boolean;
  /** The turn begun last is to be run again. */
  #again = false;
  /** Who sent the waiting messages, by the sequence of the message; a resumed turn has only the scope of its task. */
  readonly #callers = new Map<bigint, Caller>();

  constructor(
    deps: ManagerDeps,
    key: TaskKey,
    start: RunStart,
    use: {
      readonly slots: RunQueue;
      readonly contexts: TaskContextFactory;
      readonly feed: TaskFeed;
      readonly onIdle: () => void;
      readonly onLost: (error: Error) => void;
    },
  ) {
    const { feed } = use;
    this.#deps = deps;
    this.#slots = use.slots;
    this.#contexts = use.contexts;
    this.#onIdle = use.onIdle;
    this.#tellLost = use.onLost;
    this.key = key;
    this.feed = feed;
    const isOwner = start.owner.replica === deps.replica;
    const owner = isOwner ? start.owner : { replica: deps.replica, fence: start.owner.fence + 1n };
    if (!isOwner) this.#takeover = owner;
    this.#ownedBefore = isOwner;
    this.#fence = owner.fence;
    const { storage, clock, newId, options, logger } = deps;
    this.writer = new TaskWriter({
      storage,
      key,
      fold: start.fold,
      batch: start.batch,
      logBytes: start.logBytes,
      snapshotBytes: start.snapshotBytes,
      fence: start.owner.fence,
      owner,
      limits: { eventBytesMax: options.maxEventBytes, taskBytesMax: options.maxTaskBytes },
      clock,
      newId,
      onCommitted: (entries: readonly PlacedEntry[]) => {
        // Times never fall within a task: its last message is the latest.
        const last = entries.findLast(({ entry }) => messageInEntry(entry) !== undefined);
        if (last !== undefined) deps.messageClock.note(key, start.fold.contextId, Number(last.entry.timeMs));
        feed.publish(entries);
      },
      onLost: (error) => this.#onLost(error),
      onSnapshotFailed: (error) => logger.warn({ taskId: key.taskId, err: error }, "A snapshot could not be stored"),
    });
  }

  /** The fence this replica writes under. */
  get fence(): bigint {
    return this.#fence;
  }

  isRunning(turn: NonNullable<TaskFold["turn"]>): boolean {
    return this.#turn !== undefined && this.writer.tentative.turn === turn;
  }

  /** What ended the run from outside, if something did. */
  get lost(): Error | undefined {
    return this.#lost;
  }

  /** There is something to do, or being done, even if nobody else asks for it. */
  get busy(): boolean {
    return this.#work !== undefined || !this.writer.idle;
  }

  /**
   * A decision, made at once. What refuses it may itself not be durable yet: it is before the refusal is told (DESIGN
   * 3: nothing is shown that isn't committed).
   */
  async decided<T>(decide: () => T): Promise<T> {
    try {
      return decide();
    } catch (error) {
      await this.writer.whenCommitted(this.writer.tentative.sequence);
      throw error;
    }
  }

  /**
   * Accepts a message, or finds that it was accepted before. Synchronous: the decision and its entries are one step.
   * Throws TaskError: TOO_MANY where too many tasks wait to be run, and what `decideMessage` throws.
   */
  accept(
    message: Message,
    options: SendOptions,
    caller: Caller,
  ): { readonly decision: MessageDecision; readonly sequence: bigint } {
    this.#takeUp();
    const whileWorking = this.#deps.processor.whileWorking ?? "enqueue";
    const { duplicateWindowMs, messageIds } = this.#deps.options;
    const rules = {
      turnRuns: this.#turn !== undefined,
      busy: this.#work !== undefined,
      whileWorking,
      join: duplicateWindowMs > 0,
      strict: messageIds === "strict",
    };
    const { contextId } = this.writer.tentative;
    const stamp = { ...stampOf(this.#deps), nowMs: this.#deps.messageClock.next(this.key, contextId) };
    const decision = decideMessage(this.writer.tentative, message, options, rules, stamp);
    if (decision.kind === "joined") return { decision, sequence: decision.sequence };
    if (this.#work === undefined) this.#slots.checkRoom();
    const sequence = this.#append(decision.entries, "bounded");
    this.#callers.set(sequence, caller);
    this.work();
    return { decision, sequence };
  }

  /**
   * Records a wish to cancel, or cancels at once where no turn runs; says the sequence to wait for. Throws TaskError
   * TASK_NOT_CANCELABLE.
   */
  cancel(metadata: JsonObject | undefined): bigint {
    const { tentative, committed } = this.writer;
    // Whoever else asked for it has no answer yet: this wish is the same one (trap 16).
    if (tentative.status.state === TaskState.CANCELED && committed.status.state !== TaskState.CANCELED)
      return tentative.sequence;
    const entries = decideCancel(tentative, this.#turn !== undefined, metadata, stampOf(this.#deps));
    const sequence = entries.length > 0 ? this.#append(entries, "unbounded") : tentative.sequence;
    if (this.#turn === undefined) this.#abortQueue.abort();
    else void this.#abortWhenCommitted(this.#turn, sequence);
    return sequence;
  }

  /** Begins to work on what waits, if it isn't being done already. */
  work(caller?: Caller): void {
    if (caller !== undefined) this.#callers.set(1n, caller);
    this.#work ??= this.#workOff().finally(() => {
      this.#work = undefined;
      // A message may have been accepted after the loop saw none.
      this.#workIfWaiting();
      this.#onIdle();
    });
  }

  #workIfWaiting(): void {
    const { waiting, status } = this.writer.tentative;
    if (!this.#lost && !this.#abortQueue.signal.aborted && waiting.length > 0 && !isTerminal(status.state)) this.work();
  }

  /**
   * Takes up a task that nobody runs, because its server or its storage stopped; resolves when that is durable. What is
   * left to do is done here from then on. Nothing to do for a task that runs here already.
   */
  async recover(): Promise<void> {
    this.#takeUp();
    await this.writer.whenCommitted(this.writer.tentative.sequence);
  }

  #takeUp(): void {
    const { tentative } = this.writer;
    const { state } = tentative.status;
    if (this.#work !== undefined || isTerminal(state) || (isInterrupted(state) && !isPending(tentative))) return;
    this.#append(
      decideLost(
        tentative,
        this.#deps.processor.onLost ?? "fail",
        this.#ownedBefore ? "storage" : "server",
        stampOf(this.#deps),
      ),
      "unbounded",
    );
    if (isTerminal(tentative.status.state)) return;
    // A turn that had asked its client for something is over: what the client said since is the next one's.
    this.#again = tentative.turnOpen && !isInterrupted(state);
    this.work();
  }

  /** Tells the running turn to stop, for a reason other than a client's wish; resolves when nothing runs any more. */
  async stop(reason: AbortReason): Promise<void> {
    this.#abortQueue.abort();
    this.#turn?.abort(reason);
    await this.#work;
    // Whoever finds the task afterwards must find all of it; a lost writer has nothing more to bring.
    await this.writer.whenCommitted(this.writer.tentative.sequence).catch(() => undefined);
  }

  /** The request to cancel is durable before the processor hears of it (DESIGN 5). */
  async #abortWhenCommitted(turn: AbortController, sequence: bigint): Promise<void> {
    try {
      await this.writer.whenCommitted(sequence);
      turn.abort("canceled" satisfies AbortReason);
    } catch {
      // The writer was lost, which has aborted the turn already, and whoever asked waits on the same writer and is
      // told.
    }
  }

  async #workOff(): Promise<void> {
    const release = await this.#slots.acquire(this.#abortQueue.signal);
    if (release === undefined) return;
    try {
      // A processor runs only once its task is this replica's (DESIGN 5).
      await this.writer.whenCommitted(this.#takenAt);
      let begun = !this.#abortQueue.signal.aborted && this.#beginTurn();
      while (begun && !this.#abortQueue.signal.aborted) begun = await this.#oneTurn();
      await this.writer.whenCommitted(this.writer.tentative.sequence);
    } catch (error) {
      // Whatever happens here ends the run: a lost writer has said so already, anything else is a bug that must not
      // leave a task half run.
      this.writer.abandon(error instanceof Error ? error : new Error(String(error)));
    } finally {
      release();
    }
  }

  /** Appends the beginning of the turn that is due, if one is. */
  #beginTurn(): boolean {
    const { tentative } = this.writer;
    const entries = this.#again
      ? decideTurnAgain(tentative, stampOf(this.#deps))
      : decideTurn(tentative, stampOf(this.#deps));
    this.#again = false;
    if (entries.length === 0) return false;
    this.#append(entries, "unbounded");
    return true;
  }

  /** Runs the turn that was begun, and begins the next one. False if there is none. */
  async #oneTurn(): Promise<boolean> {
    const { tentative } = this.writer;
    const { turn } = tentative;
    if (turn === undefined) return false;
    const abort = new AbortController();
    this.#turn = abort;
    try {
      const caller = this.#callers.get(turn.message.sequence);
      this.#callers.delete(turn.message.sequence);
      const end = await runTurn(this.#deps, this.writer, this.#contexts(this, turn, abort.signal, caller), abort);
      if (this.#lost || end.kind === "stopped") return false;
      // A wish to cancel that the turn didn't live to hear of still counts.
      const closing = decideTurnEnd(
        tentative,
        tentative.cancelRequested ? { kind: "canceled" } : end,
        stampOf(this.#deps),
      );
      if (closing.length > 0) this.#append(closing, "unbounded");
      // In the same step: whoever finds the task after a crash sees this turn over only together with the next one's
      // beginning, or a status that ends it.
      return this.#beginTurn();
    } finally {
      this.#turn = undefined;
    }
  }

  /** Appends, with the takeover before everything else if this replica wasn't the owner. */
  #append(entries: Parameters<TaskWriter["append"]>[0], bounds: "bounded" | "unbounded"): bigint {
    const { replica, fence } = this.#takeover ?? {};
    if (replica === undefined || fence === undefined)
      return entries.length === 0 ? this.writer.tentative.sequence : this.writer.append(entries, bounds);
    const sequence = this.writer.append(
      [decideTakeover(this.writer.tentative, replica, fence, stampOf(this.#deps)), ...entries],
      bounds,
    );
    this.#takeover = undefined;
    this.#takenAt = sequence;
    return sequence;
  }

  #onLost(error: Error): void {
    this.#lost = error;
    this.#deps.logger.warn({ taskId: this.key.taskId, err: error }, "A running task was lost");
    this.#abortQueue.abort();
    this.#turn?.abort("lost" satisfies AbortReason);
    this.feed.wake();
    this.#tellLost(error);
  }
}
