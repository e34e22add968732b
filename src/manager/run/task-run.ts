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
  decideTurnStopped,
  type MessageDecision,
} from "../../domain/decide.ts";
import { messageForHistory, type PlacedEntry } from "../../domain/entry.ts";
import { isPending, type TaskFold, type Turn } from "../../domain/fold.ts";
import type { Caller, TaskKey } from "../../domain/scope.ts";
import { isInterrupted, isTerminal } from "../../domain/task-state.ts";
import { againBackoff } from "../../log/limits.ts";
import { TaskWriter } from "../../log/task-writer.ts";
import { backoffMs } from "../../runtime/backoff.ts";
import { sleep } from "../../runtime/clock.ts";
import type { TaskFeed } from "../../stream/task-hub.ts";
import { type ManagerDeps, stampOf } from "../manager-deps.ts";
import type { RunQueue } from "./run-queue.ts";
import { runTurn } from "./run-turn.ts";
import type { TaskContextFactory, TurnHost } from "./task-context.ts";
import { logTurn } from "./turn-log.ts";

/** Where a task stands in the storage when a run of it begins. */
export interface RunStart {
  readonly fold: TaskFold;
  readonly batch: string;
  readonly logBytes: number;
  readonly snapshotBytes: number;
  readonly owner: { readonly replica: string; readonly fence: bigint };
}

/** How a task that was left by its server or its run is taken up. */
export interface TakeUp {
  /** Who sent the task's first message, if that is known. */
  readonly caller?: Caller;
  /** The turn that was cut off is not run again, whatever the agent declares. */
  readonly giveUp?: boolean;
  /** Its run was lost to an error of the task manager's own, not of the storage. */
  readonly defect?: boolean;
}

/** How the turn begun last came to run again. */
interface Again {
  /** The server that ran it last ended without stopping it. */
  readonly serverFailed: boolean;
}

/** What a run is given besides its task. */
export interface RunParts {
  readonly queue: RunQueue;
  readonly contexts: TaskContextFactory;
  readonly feed: TaskFeed;
  /** Called whenever the run has nothing left to do. */
  readonly onIdle: () => void;
  /** Called once, when the run has lost its task. */
  readonly onLost: (error: Error) => void;
}

/**
 * What a run does now. Each phase holds what it needs and nothing else.
 *
 * - idle → queued: a message waits for a turn, or a turn that was cut off is to run again.
 * - queued → starting: the run queue has a place. queued → idle: the task was canceled before.
 * - starting → turn: the takeover, if one was due, is durable, and the turn's beginning is appended.
 *   starting → settling: there is no turn to begin, because the task was canceled meanwhile.
 * - turn → turn: the turn is over and another message waits. turn → settling: no message waits.
 * - settling → idle: everything appended is durable; the place in the run queue is free again. A message that was
 *   accepted meanwhile moves the run on to queued at once.
 * - idle → ended, and queued, starting, turn, settling → stopping: the server drains. A turn has its grace time.
 *   stopping → ended: the turn is over, and everything appended is durable.
 * - every phase → ended with `lost`: the writer lost the task, see `TaskWriter`.
 *
 * A terminal task leaves its run idle: no decision gives it another turn.
 */
type Phase =
  | { readonly kind: "idle" }
  /** `leave` gives up the wait for a place. */
  | { readonly kind: "queued"; readonly leave: AbortController }
  | { readonly kind: "starting" }
  | { readonly kind: "turn"; readonly abort: AbortController }
  | { readonly kind: "settling" }
  /** `abort` belongs to the turn that still runs, if one does. */
  | { readonly kind: "stopping"; readonly abort: AbortController | undefined }
  | { readonly kind: "ended"; readonly lost: Error | undefined };

/**
 * Whose task it is in the log, as far as this run knows.
 *
 * - foreign → taken: the first append of this run begins with the takeover entry.
 * - owned: the header named this replica when the run began. No takeover is due.
 */
type Ownership =
  | { readonly kind: "owned" }
  | { readonly kind: "foreign" }
  /** `at` is a sequence that is durable only together with the takeover. */
  | { readonly kind: "taken"; readonly at: bigint };

/**
 * A task that this replica runs: the one writer of its log, and its turns, one after another. `TaskRuns` drops it when
 * it has nothing to do and no caller uses it, and makes it anew from the log when it is needed again.
 *
 * Invariants:
 * - At most one turn of a task runs. The phase is "turn" from the same synchronous step that appends the turn's
 *   beginning, until the step that appends its end.
 * - Every decision is made on `writer.tentative` and appended in the same synchronous step.
 * - No turn begins before the takeover is durable.
 */
export class TaskRun implements TurnHost {
  readonly key: TaskKey;
  readonly writer: TaskWriter;
  readonly feed: TaskFeed;
  /** The fence this replica writes under. */
  readonly fence: bigint;
  readonly #deps: ManagerDeps;
  readonly #parts: RunParts;
  #phase: Phase = { kind: "idle" };
  #ownership: Ownership;
  /** The work begun last, to its end. Only `stop` waits for it; decisions depend on the phase alone. */
  #work: Promise<void> = Promise.resolve();
  /** The turn that runs has shown something or begun a step, in this run of it or before. */
  #touched = false;
  /**
   * Who sent the waiting messages, by the sequence of the message. A turn of an unknown sender has its task's scope.
   */
  readonly #callers = new Map<bigint, Caller>();

  constructor(deps: ManagerDeps, key: TaskKey, start: RunStart, parts: RunParts) {
    const { feed } = parts;
    this.#deps = deps;
    this.#parts = parts;
    this.key = key;
    this.feed = feed;
    const isOwner = start.owner.replica === deps.replica;
    const owner = isOwner ? start.owner : { replica: deps.replica, fence: start.owner.fence + 1n };
    this.#ownership = { kind: isOwner ? "owned" : "foreign" };
    this.fence = owner.fence;
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
        // Times never decrease within a task, so its last message is the latest.
        const last = entries.findLast(({ entry }) => messageForHistory(entry) !== undefined);
        if (last !== undefined) deps.messageClock.note(key, start.fold.contextId, Number(last.entry.timeMs));
        feed.publish(entries);
      },
      onLost: (error) => this.#lose(error),
      onSnapshotFailed: (error) => logger.warn({ taskId: key.taskId, err: error }, "A snapshot could not be stored"),
    });
  }

  get phase(): Phase["kind"] {
    return this.#phase.kind;
  }

  touch(): void {
    this.#touched = true;
  }

  isRunning(turn: Turn): boolean {
    return this.#runningTurn !== undefined && this.writer.tentative.turn === turn;
  }

  /** Why the run lost its task; undefined while it has it. */
  get lost(): Error | undefined {
    return this.#phase.kind === "ended" ? this.#phase.lost : undefined;
  }

  /** The run has something to do, even if no caller uses it. */
  get busy(): boolean {
    return !(this.#phase.kind === "idle" || this.#phase.kind === "ended") || !this.writer.idle;
  }

  /**
   * Makes a decision at once. A refusal may depend on entries that are not durable yet, so it is thrown only once they
   * are: nothing is shown that isn't committed.
   */
  async decided<T>(decide: () => T): Promise<T> {
    try {
      return decide();
    } catch (error) {
      await this.writer.whenCommitted(this.writer.tentative.sequence);
      throw error;
    }
  }

  /** Begins the first turn of a task that was just created, for its sender. */
  begin(caller: Caller): void {
    this.#callers.set(firstSequence, caller);
    this.#enqueue();
  }

  /**
   * Accepts a message, or finds that it was accepted before. Synchronous: the decision and its entries are one step.
   * Throws TaskError TOO_MANY where too many tasks wait to be run, and what `decideMessage` throws.
   */
  accept(
    message: Message,
    options: SendOptions,
    caller: Caller,
  ): { readonly decision: MessageDecision; readonly sequence: bigint } {
    this.#takeUp();
    const { processor, messageClock } = this.#deps;
    const { duplicateWindowMs, messageIds } = this.#deps.options;
    const rules = {
      turnRuns: this.#runningTurn !== undefined,
      busy: this.#phase.kind !== "idle",
      whileWorking: processor.whileWorking ?? "enqueue",
      join: duplicateWindowMs > 0,
      strict: messageIds === "strict",
    };
    const { contextId } = this.writer.tentative;
    const stamp = { ...stampOf(this.#deps), nowMs: messageClock.next(this.key, contextId) };
    const decision = decideMessage(this.writer.tentative, message, options, rules, stamp);
    if (decision.kind === "joined") return { decision, sequence: decision.sequence };
    if (this.#phase.kind === "idle") this.#parts.queue.checkRoom();
    const sequence = this.#append(decision.entries, "bounded");
    this.#callers.set(sequence, caller);
    this.#enqueue();
    return { decision, sequence };
  }

  /**
   * Records a request to cancel, or cancels at once where no turn runs. Gives the sequence to wait for. Throws
   * TaskError TASK_NOT_CANCELABLE.
   */
  cancel(metadata: JsonObject | undefined): bigint {
    const { tentative, committed } = this.writer;
    // An earlier cancel is not answered yet, so this one joins it (R57).
    if (tentative.status.state === TaskState.CANCELED && committed.status.state !== TaskState.CANCELED)
      return tentative.sequence;
    const turn = this.#runningTurn;
    const entries = decideCancel(tentative, turn !== undefined, metadata, stampOf(this.#deps));
    const sequence = entries.length > 0 ? this.#append(entries, "unbounded") : tentative.sequence;
    if (turn !== undefined) void this.#abortWhenCommitted(turn, sequence);
    else if (this.#phase.kind === "queued") this.#phase.leave.abort();
    return sequence;
  }

  /**
   * Takes up a task that no server runs, because its server or its storage stopped. Resolves when that is durable. This
   * run does what is left to do from then on. Does nothing for a task that runs here already.
   */
  async recover(how: TakeUp = {}): Promise<void> {
    if (this.lost !== undefined) throw this.lost;
    if (how.caller !== undefined && !this.busy) this.#callers.set(firstSequence, how.caller);
    this.#takeUp(how);
    await this.writer.whenCommitted(this.writer.tentative.sequence);
  }

  /**
   * Stops the run, not the task: aborts the running turn, or lets it end where there is no reason to abort it, and
   * begins no other. Resolves when the turn is over and all its entries are durable, so that the next server finds
   * them.
   */
  async stop(reason?: AbortReason): Promise<void> {
    const phase = this.#phase;
    switch (phase.kind) {
      case "idle":
        this.#phase = { kind: "ended", lost: undefined };
        break;
      case "queued":
        this.#phase = { kind: "stopping", abort: undefined };
        phase.leave.abort();
        break;
      case "starting":
      case "settling":
        this.#phase = { kind: "stopping", abort: undefined };
        break;
      case "turn":
        this.#phase = { kind: "stopping", abort: phase.abort };
        if (reason !== undefined) phase.abort.abort(reason);
        break;
      case "stopping":
        // It was let end until now.
        if (reason !== undefined) phase.abort?.abort(reason);
        break;
      case "ended":
        break;
      default:
        phase satisfies never;
    }
    await this.#work;
    // A lost writer has nothing more to bring.
    await this.writer.whenCommitted(this.writer.tentative.sequence).catch(() => undefined);
  }

  /** What aborts the turn that runs now; undefined while none does. */
  get #runningTurn(): AbortController | undefined {
    return this.#phase.kind === "turn" || this.#phase.kind === "stopping" ? this.#phase.abort : undefined;
  }

  /**
   * Decides on a task that was left by its server or by its storage, and takes it over if it is another replica's. A
   * task that waits for its client is left as it is.
   */
  #takeUp({ giveUp = false, defect = false }: TakeUp = {}): void {
    const { tentative } = this.writer;
    const { state } = tentative.status;
    if (this.#phase.kind !== "idle" || isTerminal(state) || (isInterrupted(state) && !isPending(tentative))) return;
    const { processor, options } = this.#deps;
    const onLost = giveUp ? "fail" : processor.onLost;
    // A task of this replica that does not run was dropped because the storage failed, unless its loss says more.
    const own = defect ? "task-manager" : "storage";
    const failed = this.#ownership.kind === "owned" ? own : "server";
    const rules = { onLost, failed, attemptsMax: options.maxAttempts } as const;
    const serverFailed = failed === "server" && tentative.turn?.stopped === undefined;
    this.#append(decideLost(tentative, rules, stampOf(this.#deps)), "unbounded");
    if (isTerminal(tentative.status.state)) return;
    // A turn that had asked its client for something is over: what the client said since belongs to the next turn.
    this.#enqueue(tentative.turnOpen && !isInterrupted(state) ? { serverFailed } : undefined);
  }

  /** idle → queued. In every other phase the work under way comes to the waiting messages. */
  #enqueue(again?: Again): void {
    if (this.#phase.kind !== "idle") return;
    const leave = new AbortController();
    this.#phase = { kind: "queued", leave };
    this.#work = this.#workOff(again, leave.signal).finally(() => this.#rest());
  }

  /** queued → … → the end of the work. `again`: the turn begun last is to run again. Never throws. */
  async #workOff(again: Again | undefined, leave: AbortSignal): Promise<void> {
    if (again !== undefined) await this.#holdOff(again, leave);
    const release = await this.#parts.queue.acquire(leave);
    if (release === undefined) return;
    try {
      this.#move("queued", { kind: "starting" });
      if (this.#ownership.kind === "taken") await this.writer.whenCommitted(this.#ownership.at);
      if (this.phase === "starting") await this.#runTurns(again);
      this.#move("starting", { kind: "settling" });
      await this.writer.whenCommitted(this.writer.tentative.sequence);
    } catch (error) {
      // A lost writer has ended the run already. Anything else is a bug, which must not leave a task half run.
      this.writer.abandon(error instanceof Error ? error : new Error(String(error)));
    } finally {
      release();
    }
  }

  /**
   * Waits before a turn runs again whose server failed in it several times: its message may be the cause, and servers
   * that fail one after another run nothing else.
   */
  async #holdOff({ serverFailed }: Again, leave: AbortSignal): Promise<void> {
    const losses = this.writer.tentative.turn?.losses ?? 0;
    if (!serverFailed || losses === 0) return;
    // It rejects only when the wait is given up. The next step looks at the signal, too.
    await sleep(this.#deps.clock, backoffMs(againBackoff, losses), leave).catch(() => undefined);
  }

  /** settling and queued → idle, stopping → ended. */
  #rest(): void {
    if (this.#phase.kind === "stopping") this.#phase = { kind: "ended", lost: undefined };
    if (this.#phase.kind !== "ended") {
      this.#phase = { kind: "idle" };
      // A message may have been accepted after the last look.
      const { waiting, status } = this.writer.tentative;
      if (waiting.length > 0 && !isTerminal(status.state)) this.#enqueue();
    }
    this.#parts.onIdle();
  }

  /** Runs the turn that is due, and those after it, until no message waits. */
  async #runTurns(again: Again | undefined): Promise<void> {
    const { tentative } = this.writer;
    for (let begun = this.#beginTurn(again); begun !== undefined; begun = this.#beginTurn()) {
      const { turn, abort } = begun;
      const caller = this.#callers.get(turn.message.sequence);
      this.#callers.delete(turn.message.sequence);
      const context = this.#parts.contexts(this, turn, abort.signal, caller);
      const begunMs = this.#deps.clock.monotonic();
      const logBytes = this.writer.logBytes;
      const end = await runTurn(this.#deps, this, context, abort);
      const how = this.lost === undefined ? end.kind : "lost";
      logTurn(this.#deps, this.writer, turn, { how, begunMs, logBytes });
      if (this.lost !== undefined) break;
      // A request to cancel that came too late for the turn still counts.
      const closing = tentative.cancelRequested ? ({ kind: "canceled" } as const) : end;
      if (closing.kind === "stopped") {
        this.#leaveTurn({ called: true, touched: this.#touched });
        break;
      }
      // The end of this turn and the beginning of the next are one step, so one append: a server that takes over finds
      // this turn over only together with the next one's beginning, or with a status that ends the task.
      const entries = decideTurnEnd(tentative, closing, stampOf(this.#deps));
      if (entries.length > 0) this.#append(entries, "unbounded");
    }
    this.#turnOver();
  }

  /**
   * Appends the beginning of the turn that is due, and moves on to it in the same step. Undefined where no turn is due,
   * and where the run stops: then the next server runs the turn.
   */
  #beginTurn(again?: Again): { readonly turn: Turn; readonly abort: AbortController } | undefined {
    const { tentative } = this.writer;
    const stamp = stampOf(this.#deps);
    const entries = again ? decideTurnAgain(tentative, again.serverFailed, stamp) : decideTurn(tentative, stamp);
    if (entries.length === 0) return undefined;
    // Nobody knows what a run did that was lost.
    const touched = again !== undefined && tentative.turn?.stopped?.touched !== false;
    this.#append(entries, "unbounded");
    const { turn } = tentative;
    if (turn === undefined) return undefined;
    if (this.phase !== "starting" && this.phase !== "turn") {
      if (this.phase === "stopping") this.#leaveTurn({ called: false, touched: false });
      return undefined;
    }
    this.#touched = touched;
    const abort = new AbortController();
    this.#phase = { kind: "turn", abort };
    return { turn, abort };
  }

  /** Leaves the present turn to the next server, and says so in the log. */
  #leaveTurn(progress: Parameters<typeof decideTurnStopped>[1]): void {
    const entries = decideTurnStopped(this.writer.tentative, progress, stampOf(this.#deps));
    if (entries.length > 0) this.#append(entries, "unbounded");
  }

  /** No turn runs any more. */
  #turnOver(): void {
    this.#move("turn", { kind: "settling" });
    this.#move("stopping", { kind: "stopping", abort: undefined });
  }

  /** Moves from one phase to the next, unless the run was stopped or lost meanwhile. */
  #move(from: Phase["kind"], to: Phase): void {
    if (this.#phase.kind === from) this.#phase = to;
  }

  /** The request to cancel is durable before the processor hears of it. */
  async #abortWhenCommitted(turn: AbortController, sequence: bigint): Promise<void> {
    try {
      await this.writer.whenCommitted(sequence);
      turn.abort("canceled" satisfies AbortReason);
    } catch {
      // The writer was lost, which has aborted the turn already. The caller waits on the same writer and gets its
      // error.
    }
  }

  /** Appends, with the takeover before everything else if the task is another replica's. */
  #append(entries: Parameters<TaskWriter["append"]>[0], bounds: "bounded" | "unbounded"): bigint {
    const { writer, fence } = this;
    if (this.#ownership.kind !== "foreign")
      return entries.length === 0 ? writer.tentative.sequence : writer.append(entries, bounds);
    const takeover = decideTakeover(writer.tentative, this.#deps.replica, fence, stampOf(this.#deps));
    const at = writer.append([takeover, ...entries], bounds);
    this.#ownership = { kind: "taken", at };
    return at;
  }

  /** Every phase → ended. Called once, by the writer. */
  #lose(error: Error): void {
    const phase = this.#phase;
    const turn = this.#runningTurn;
    this.#phase = { kind: "ended", lost: error };
    this.#deps.logger.warn({ taskId: this.key.taskId, err: error }, "A running task was lost");
    if (phase.kind === "queued") phase.leave.abort();
    turn?.abort("lost" satisfies AbortReason);
    this.feed.wake();
    this.#parts.onLost(error);
  }
}

/** The sequence of the entry that creates a task, with its first message. */
const firstSequence = 1n;
