import { create, type JsonObject, toBinary } from "@bufbuild/protobuf";
import {
  type ListTasksRequest,
  type Message,
  type SendMessageRequest,
  type Task,
  TaskState,
} from "../../gen/lf/a2a/v1/a2a_pb.ts";
import { CancelRequestedSchema } from "../../gen/taskmanager/storage/v1/records_pb.ts";
import type { CancellableTask } from "../agent/cancellable-task.ts";
import type { MessageProcessor } from "../agent/message-processor.ts";
import type { TaskSubscriber } from "../agent/task-subscriber.ts";
import { notCancelable } from "../domain/decide.ts";
import type { TaskAt, TaskFold, TaskView } from "../domain/fold.ts";
import { type Caller, callerOrAnonymous, keyOf, type TaskKey } from "../domain/scope.ts";
import { closed, invalidRequest, TaskError, taskNotFound } from "../domain/task-error.ts";
import { isTerminal } from "../domain/task-state.ts";
import { type Clock, systemClock } from "../runtime/clock.ts";
import { type Logger, silentLogger } from "../runtime/logger.ts";
import { steadyClock } from "../runtime/steady-clock.ts";
import { WallClock } from "../runtime/wall-clock.ts";
import type { Storage } from "../storage/storage.ts";
import { TaskHub } from "../stream/task-hub.ts";
import type { Accepted } from "./accept/accepted.ts";
import { checkCursor } from "./accept/check-cursor.ts";
import { type AcceptOptions, MessageIntake } from "./accept/message-intake.ts";
import { AccessTracker } from "./conversations/access-tracker.ts";
import { Conversations } from "./conversations/conversations.ts";
import { MessageClock } from "./conversations/message-clock.ts";
import { startSweeper } from "./conversations/sweeper.ts";
import type { ManagerDeps } from "./manager-deps.ts";
import { mapStorageErrors } from "./map-storage-errors.ts";
import { checkedOptions, type ManagerOptions } from "./options.ts";
import type { AnswerRoom } from "./read/answer-room.ts";
import { currentFold, isAnswered, loadAtInto, waitForFold } from "./read/current-task.ts";
import { type ListedTasks, listTasks } from "./read/list-tasks.ts";
import { openSubscription, type SubscriptionRequest } from "./read/open-subscription.ts";
import { shownTask } from "./read/shown-task.ts";
import { Subscription } from "./read/task-subscriber.ts";
import { joinDatabase, type Membership } from "./replica/membership.ts";
import { type Readiness, ReadinessTracker } from "./replica/readiness.ts";
import { startRecovery } from "./replica/recovery.ts";
import { RunQueue } from "./run/run-queue.ts";
import { taskContexts } from "./run/task-context.ts";
import { TaskRuns } from "./run/task-runs.ts";
import { Shutdown } from "./shutdown.ts";

/** What a message got: a bare message (R16), or a task as it was at a sequence. */
export type SentMessage =
  | { readonly kind: "message"; readonly message: Message }
  | ({ readonly kind: "task" } & TaskAt);

/**
 * The Go package's On… methods, and the other operations on tasks. Every call sees the caller's scope alone: a task
 * outside it is not found. A call without a caller acts for the anonymous one of the empty tenant. Errors are
 * TaskErrors, or the reason of an aborted signal.
 */
export interface TaskManager extends AsyncDisposable {
  /**
   * Resolves when the task is terminal or interrupted (R17), or with a bare message; with `return_immediately` when the
   * task is durable. The signal ends the wait, never the task. TOO_MANY says that the message was not accepted: the
   * answer to an accepted one waits for its room until the signal is aborted.
   */
  sendMessage(
    request: SendMessageRequest,
    caller?: Caller,
    options?: { readonly signal?: AbortSignal } & AnswerOptions,
  ): Promise<SentMessage>;
  /**
   * The task first, then its events, until it is terminal or asks for input; or one bare message (R34–R37).
   *
   * With a cursor, a repeated message and a message to a task give the events after the cursor, without the task first.
   * A new message makes a new task, which no cursor refers to: its stream begins with the task.
   */
  sendStreamingMessage(
    request: SendMessageRequest,
    caller?: Caller,
    options?: { readonly after?: bigint | undefined } & AnswerOptions,
  ): TaskSubscriber;
  /** The lists of a task that was given room belong to all who asked for it: they must not be changed. */
  getTask(id: string, caller?: Caller, view?: TaskView, room?: AnswerRoom): Promise<CancellableTask>;
  listTasks(request: ListTasksRequest, caller?: Caller, room?: AnswerRoom): Promise<ListedTasks>;
  /** Resolves once the task is CANCELED. Throws TASK_NOT_CANCELABLE if it has ended, or ends otherwise first (R56). */
  cancelTask(
    id: string,
    caller?: Caller,
    options?: {
      readonly metadata?: JsonObject;
      readonly signal?: AbortSignal;
      readonly room?: AnswerRoom | undefined;
    },
  ): Promise<TaskAt>;
  /**
   * Without a cursor: the task first, then its events; a terminal task is refused (R59–R61). With a cursor: the events
   * after it, also of a terminal task.
   */
  subscribeToTask(id: string, after?: bigint, caller?: Caller, options?: AnswerOptions): TaskSubscriber;

  /** Like `subscribeToTask`, but to the end of the task: past requests for input. Never refuses a terminal task. */
  watchTask(id: string, after?: bigint, caller?: Caller, options?: AnswerOptions): TaskSubscriber;
  /** The task as it was at a sequence, and the present head. Throws OUT_OF_RANGE. */
  getTaskAt(
    id: string,
    sequence: bigint,
    caller?: Caller,
    room?: AnswerRoom,
  ): Promise<{ readonly task: Task; readonly head: bigint }>;
  taskExists(id: string, caller?: Caller): Promise<boolean>;
  /** Removes a terminal task; false if there was none. Throws STILL_RUNNING before the task is terminal. */
  deleteTask(id: string, caller?: Caller): Promise<boolean>;
  /**
   * Prepares a planned end: not ready, no new messages (UNAVAILABLE), no new turns. Turns that run may end; reads,
   * streams and cancels go on. Resolves when no turn runs, and after `turnsMs` at the latest. Dispose then: it aborts
   * the turns that are left, and the next server takes them up.
   */
  drain(turnsMs: number): Promise<void>;
  readonly conversations: Conversations;
  /** Whether this task manager should get work: its storage answers, and it is not shutting down. */
  readonly readiness: Readiness;
  /** The processor's card. Its capabilities decide which calls the services admit. */
  readonly card: MessageProcessor["card"];
}

/** For those who count the calls at work. */
export interface WaitOptions {
  /**
   * Called when the call waits for an agent, or for its reader, and no longer for the storage alone; also when a stream
   * could not be opened. May be called again. Must not throw.
   */
  readonly onWait?: () => void;
}

/** For those who bound what calls hold. */
export interface AnswerOptions extends WaitOptions {
  /** Where the bytes of a large answer are counted. */
  readonly room?: AnswerRoom | undefined;
}

/** Parts that a test or a server may replace. */
export interface ManagerParts {
  readonly clock?: Clock;
  readonly newId?: () => string;
  readonly logger?: Logger;
}

/**
 * Makes a task manager over a processor and a storage. It must be the only one on its database:
 *
 * - If another one is alive, this function throws TaskError UNAVAILABLE.
 * - If another one ended without deregistering, this function watches its record for `leaseMs`, unless the storage has
 *   the trait `exclusive`.
 * - SUBMITTED and WORKING tasks that no living server has are taken over, in the background, as the processor's
 *   `onLost` says: at the start, and whenever they appear later.
 * - A task manager that was paused until another one took over disposes itself when it resumes. Its readiness is then
 *   "replaced".
 *
 * The caller disposes the storage. Disposing the task manager aborts its running turns, with "draining" as the reason,
 * and ends everything that it does in the background.
 */
export async function createTaskManager(
  processor: MessageProcessor,
  storage: Storage,
  options: ManagerOptions = {},
  parts: ManagerParts = {},
): Promise<TaskManager> {
  const newId = parts.newId ?? (() => crypto.randomUUID());
  const systemTime = parts.clock ?? systemClock;
  const clock = steadyClock(systemTime);
  const deps: ManagerDeps = {
    storage,
    processor,
    hub: new TaskHub(),
    options: checkedOptions(options),
    clock,
    wallClock: new WallClock(systemTime),
    messageClock: new MessageClock(clock),
    newId,
    logger: parts.logger ?? silentLogger,
    replica: newId(),
  };
  const { conversationTtlMs, interruptedTtlMs } = deps.options;
  const readiness = new ReadinessTracker(deps.clock);
  // Between the end of the start and the making of the manager a heartbeat may be answered.
  let replacedEarly = false;
  let onReplaced = () => {
    replacedEarly = true;
  };
  const membership = await mapStorageErrors(async () => {
    await storage.setRetention({ conversationTtlMs, interruptedTtlMs });
    return joinDatabase(deps, {
      answered: () => readiness.storageAnswered(),
      replaced: () => onReplaced(),
      lost: () => readiness.storageLost(),
    });
  }).catch((error: unknown) => {
    readiness.drain();
    throw error;
  });
  const manager = new Manager(deps, membership, readiness);
  onReplaced = () => manager.replaced();
  if (replacedEarly) manager.replaced();
  return manager;
}

class Manager implements TaskManager {
  readonly conversations: Conversations;
  readonly #deps: ManagerDeps;
  readonly #runs: TaskRuns;
  readonly #intake: MessageIntake;
  readonly #access: AccessTracker;
  readonly #readiness: ReadinessTracker;
  readonly #shutdown: Shutdown;

  constructor(deps: ManagerDeps, membership: Membership, readiness: ReadinessTracker) {
    const queue = new RunQueue(deps.options.maxRunningTasks, deps.options.maxQueuedTasks);
    this.#deps = deps;
    // Turns reach the manager only later, when both are made.
    const contexts = taskContexts(deps, {
      getTask: (taskId, caller) => this.getTask(taskId, caller),
      subscribeToTask: (taskId, caller) => this.subscribeToTask(taskId, undefined, caller),
      deleteTask: (taskId, caller, contextId) => this.#delete(keyOf(taskId, caller), contextId),
    });
    this.#runs = new TaskRuns(deps, queue, contexts);
    this.#intake = new MessageIntake(deps, this.#runs, queue);
    this.#access = new AccessTracker(deps);
    this.conversations = new Conversations(deps, this.#runs, this.#access, (body) => this.#call(body));
    this.#readiness = readiness;
    this.#shutdown = new Shutdown(deps, {
      readiness,
      runs: this.#runs,
      intake: this.#intake,
      membership,
      stopSweeper: startSweeper(deps),
      stopRecovery: startRecovery(deps, this.#runs),
    });
  }

  get readiness(): Readiness {
    return this.#readiness;
  }

  get card(): MessageProcessor["card"] {
    return this.#deps.processor.card;
  }

  /**
   * Another server has taken over. From this step on no call is admitted, no append begins, and no call that waits for
   * an append is answered with success: the other server decides what becomes of the tasks.
   */
  replaced(): void {
    this.#deps.logger.error(
      {},
      "Another server has taken over this database, or it was emptied; this server takes no more work",
    );
    this.#readiness.replace();
    this.#runs.abandonAll(closed());
    void this[Symbol.asyncDispose]();
  }

  async sendMessage(
    request: SendMessageRequest,
    caller?: Caller,
    { signal = never, onWait, room }: { readonly signal?: AbortSignal } & AnswerOptions = {},
  ): Promise<SentMessage> {
    return this.#call(async () => {
      const accepted = await this.#accept(request, caller, false, { onWait, room, signal });
      if (accepted.kind === "message") return accepted;
      const { key, sequence } = accepted;
      const immediately = request.configuration?.returnImmediately ?? false;
      const historyLength = request.configuration?.historyLength;
      // Chained, so that no frame refers to the fold while its answer waits for room.
      const shown = await waitForFold(
        this.#deps,
        this.#runs,
        key,
        (now) => immediately || isAnswered(now, sequence),
        signal,
        onWait,
        room,
      ).then((now) => shownTask(this.#deps, this.#runs, key, now, { historyLength }, room, { signal, accepted: true }));
      return { kind: "task", ...shown };
    });
  }

  sendStreamingMessage(
    request: SendMessageRequest,
    caller?: Caller,
    { after, onWait, room }: { readonly after?: bigint | undefined } & AnswerOptions = {},
  ): TaskSubscriber {
    return this.#subscription(onWait, async (signal) => {
      const scope = callerOrAnonymous(caller, request.tenant);
      if (after !== undefined) await checkCursor(this.#deps, this.#runs, request, scope, after);
      const accepted = await this.#accept(request, caller, true, { onWait, room, signal });
      if (accepted.kind === "message") return accepted;
      const { key, sequence, isNew } = accepted;
      return {
        key,
        // No cursor refers to a task that this message has created.
        after: isNew ? undefined : after,
        until: { kind: "answer", message: sequence },
        terminal: "show",
        historyLength: request.configuration?.historyLength,
        room,
        accepted: true,
      };
    });
  }

  async getTask(id: string, caller?: Caller, view?: TaskView, room?: AnswerRoom): Promise<CancellableTask> {
    return this.#call(async () => {
      const historyLength = view?.historyLength ?? 0;
      if (!Number.isInteger(historyLength) || historyLength < 0) {
        throw invalidRequest([{ field: "history_length", description: `must be 0 or more, not ${historyLength}` }]);
      }
      const key = keyOf(id, caller);
      // Chained, so that no frame refers to the fold while its answer waits for room.
      const shown = await currentFold(this.#deps, this.#runs, key, room).then((current) => {
        this.#access.touch(key, current.fold.contextId);
        return shownTask(this.#deps, this.#runs, key, current, view, room);
      });
      return {
        ...shown,
        cancel: async () => (await this.cancelTask(id, caller)).task,
      };
    });
  }

  async listTasks(request: ListTasksRequest, caller?: Caller, room?: AnswerRoom): Promise<ListedTasks> {
    return this.#call(() =>
      listTasks(this.#deps, this.#runs, request, callerOrAnonymous(caller, request.tenant), room),
    );
  }

  async cancelTask(
    id: string,
    caller?: Caller,
    {
      metadata,
      signal = never,
      room,
    }: {
      readonly metadata?: JsonObject;
      readonly signal?: AbortSignal;
      readonly room?: AnswerRoom | undefined;
    } = {},
  ): Promise<TaskAt> {
    const key = keyOf(id, caller);
    return this.#call(async () => {
      const bytes = toBinary(CancelRequestedSchema, create(CancelRequestedSchema, metadata && { metadata })).byteLength;
      const { maxEventBytes } = this.#deps.options;
      if (bytes > maxEventBytes)
        throw new TaskError("TOO_LARGE", `The metadata has ${bytes} bytes; the limit is ${maxEventBytes} bytes`);
      const isOver = (now: TaskFold) => isTerminal(now.status.state);
      const { shown } = await this.#runs.use(key, async (run) => {
        await run.writer.whenCommitted(await run.decided(() => run.cancel(metadata)));
        const current = await waitForFold(this.#deps, this.#runs, key, isOver, signal, undefined, room);
        // The task may have ended before the processor saw the abort.
        if (current.fold.status.state !== TaskState.CANCELED) throw notCancelable(current.fold);
        // In an object: the run isn't kept while the answer waits for room.
        return { shown: shownTask(this.#deps, this.#runs, key, current, {}, room, { signal, accepted: true }) };
      });
      return shown;
    });
  }

  subscribeToTask(id: string, after?: bigint, caller?: Caller, { onWait, room }: AnswerOptions = {}): TaskSubscriber {
    return this.#subscription(onWait, async () => ({
      key: keyOf(id, caller),
      after,
      until: { kind: "next-question" },
      terminal: after === undefined ? "refuse" : "show",
      room,
    }));
  }

  watchTask(id: string, after?: bigint, caller?: Caller, { onWait, room }: AnswerOptions = {}): TaskSubscriber {
    return this.#subscription(onWait, async () => ({
      key: keyOf(id, caller),
      after,
      until: { kind: "task-end" },
      terminal: "show",
      room,
    }));
  }

  async getTaskAt(
    id: string,
    sequence: bigint,
    caller?: Caller,
    room?: AnswerRoom,
  ): Promise<{ readonly task: Task; readonly head: bigint }> {
    return this.#call(async () => {
      const key = keyOf(id, caller);
      const loaded = await loadAtInto(room, this.#deps, key, sequence);
      if (loaded === undefined) throw taskNotFound(id);
      const { fold, head, stored } = loaded;
      this.#deps.hub.noteRead(key, head);
      const current = { fold, logBytes: stored.logBytes };
      return { task: (await shownTask(this.#deps, this.#runs, key, current, {}, room)).task, head };
    });
  }

  async taskExists(id: string, caller?: Caller): Promise<boolean> {
    return this.#call(() => this.#deps.storage.taskExists(keyOf(id, caller)));
  }

  async deleteTask(id: string, caller?: Caller): Promise<boolean> {
    return this.#call(() => this.#delete(keyOf(id, caller), undefined));
  }

  drain(turnsMs: number): Promise<void> {
    return this.#shutdown.drain(turnsMs);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#shutdown.close();
  }

  /** With a context id, deletes only a task of that conversation. */
  async #delete(key: TaskKey, contextId: string | undefined): Promise<boolean> {
    const stored = await this.#deps.storage.getTask(key);
    if (stored === undefined || (contextId !== undefined && stored.contextId !== contextId)) return false;
    if (!isTerminal(stored.state)) {
      throw new TaskError("STILL_RUNNING", `Task "${key.taskId}" has not ended; cancel it first`, {
        metadata: { taskId: key.taskId },
      });
    }
    const deleted = await this.#deps.storage.deleteTask(key);
    this.#deps.hub.wake(key);
    return deleted;
  }

  async #accept(
    request: SendMessageRequest,
    caller: Caller | undefined,
    streaming: boolean,
    options: AcceptOptions,
  ): Promise<Accepted> {
    if (this.#shutdown.draining) throw closed();
    return this.#intake.accept(request, callerOrAnonymous(caller, request.tenant), streaming, options);
  }

  #subscription(
    onWait: (() => void) | undefined,
    resolve: (
      signal: AbortSignal,
    ) => Promise<SubscriptionRequest | { readonly kind: "message"; readonly message: Message }>,
  ): TaskSubscriber {
    return new Subscription(
      (signal) =>
        this.#call(async () => {
          const resolved = await resolve(signal);
          return "kind" in resolved
            ? resolved
            : openSubscription(this.#deps, this.#runs, this.#access, resolved, signal);
        }).finally(onWait),
      () => this.#deps.clock.now(),
    );
  }

  /** Makes a call: refuses it once the manager is closed, and maps its errors to TaskErrors. */
  #call<T>(body: () => Promise<T>): Promise<T> {
    return mapStorageErrors(() => {
      if (this.#shutdown.closing) throw closed();
      return body();
    });
  }
}

/** A signal that is never aborted. */
const never = new AbortController().signal;
