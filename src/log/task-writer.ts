import type { Entry } from "../../gen/taskmanager/storage/v1/records_pb.ts";
import { messageForHistory, type PlacedEntry, statusOf } from "../domain/entry.ts";
import { copyFold, evolve, isPending, type TaskFold } from "../domain/fold.ts";
import { batchBytesMax, batchEntriesMax } from "../domain/limits.ts";
import type { TaskKey } from "../domain/scope.ts";
import { TaskError } from "../domain/task-error.ts";
import type { Clock } from "../runtime/clock.ts";
import type { AppendResult, MessagePointer, Storage, TaskAppend } from "../storage/storage.ts";
import { encodeSummary, storeEntry } from "./entry-codec.ts";
import { appendRetryMs, snapshotBytesMin } from "./limits.ts";
import { sendAppend } from "./send-append.ts";
import { encodeSnapshot } from "./snapshot.ts";

type Committed = Extract<AppendResult, { outcome: "committed" }>;

export interface WriterOptions {
  readonly storage: Storage;
  readonly key: TaskKey;
  /** The committed fold that the writer starts from. The writer owns it from then on. */
  readonly fold: TaskFold;
  /** The id of the batch that ends at the fold's sequence. */
  readonly batch: string;
  /** The encoded size of the log so far. */
  readonly logBytes: number;
  /** The encoded size of the newest snapshot; 0 if there is none. */
  readonly snapshotBytes: number;
  /** The fence in the header now. */
  readonly fence: bigint;
  /**
   * The owner that appends write into the header. If its fence is new, the first append must hold the takeover entry.
   */
  readonly owner: { readonly replica: string; readonly fence: bigint };
  /** Bounds on what the task's agent and its clients may add, in bytes. */
  readonly limits: { readonly eventBytesMax: number; readonly taskBytesMax: number };
  readonly clock: Clock;
  readonly newId: () => string;
  /**
   * Called when entries became durable, in order, before any promise of this writer resolves for them. After `onLost`
   * it is called for the append then under way only.
   */
  readonly onCommitted: (entries: readonly PlacedEntry[], result: Committed) => void;
  /**
   * Called once, when the writer is lost: another replica took the task, it was removed, or the storage failed for
   * good.
   */
  readonly onLost: (error: Error) => void;
  /** Called when a snapshot could not be stored. Only speed is lost. */
  readonly onSnapshotFailed: (error: unknown) => void;
}

interface Pending extends PlacedEntry {
  readonly encoded: Uint8Array;
  /** Whether the task is pending after this entry, see `isPending`. */
  readonly pending: boolean;
  /** Commands that are handled once this entry is durable. */
  readonly handled: readonly string[];
}

/**
 * The one writer of a task on this replica. It collects entries while an append is under way, and sends all of them as
 * the next append.
 *
 * Invariants:
 * - `tentative` is `committed` plus everything appended since. Entries reach the storage in that order, each exactly
 *   once.
 * - A batch never changes after it was sent. The next one is sent only when the outcome of the one before is known.
 * - After `onLost` no append begins or is tried again, and every open promise rejects. One call to the storage may
 *   still be under way.
 */
export class TaskWriter {
  readonly #options: WriterOptions;
  readonly #committed: TaskFold;
  readonly #tentative: TaskFold;
  #batch: string;
  #fence: bigint;
  #logBytes: number;
  #queue: Pending[] = [];
  #queueBytes = 0;
  #flushing = false;
  #scheduled = false;
  #lost: Error | undefined;
  /** Ends the tries of an append once the writer is lost. */
  readonly #abort = new AbortController();
  #waiters: { readonly sequence: bigint; resolve(): void; reject(error: Error): void }[] = [];
  #roomWaiters: (() => void)[] = [];
  #snapshotBytes: number;
  #bytesSinceSnapshot: number;
  #snapshotting = false;

  constructor(options: WriterOptions) {
    this.#options = options;
    this.#committed = options.fold;
    this.#tentative = copyFold(options.fold);
    this.#batch = options.batch;
    this.#fence = options.fence;
    this.#logBytes = options.logBytes;
    this.#snapshotBytes = options.snapshotBytes;
    this.#bytesSinceSnapshot = Math.max(0, options.logBytes - options.snapshotBytes);
  }

  /** The durable state. Only this is shown. Callers must not change it. */
  get committed(): TaskFold {
    return this.#committed;
  }

  /** The state with everything appended here, durable or not. Decisions are made on it. Callers must not change it. */
  get tentative(): TaskFold {
    return this.#tentative;
  }

  /** The encoded size of the log with everything appended here. */
  get logBytes(): number {
    return this.#logBytes;
  }

  /** Everything appended is durable; for a lost writer, no append is under way. */
  get idle(): boolean {
    return this.#lost === undefined ? this.#committed.sequence === this.#tentative.sequence : !this.#flushing;
  }

  /**
   * Appends entries that were decided on `tentative`, and gives the sequence of the last. They become durable in order;
   * `whenCommitted` says when. The commands `handled` are removed together with the last of these entries.
   *
   * Throws the error that lost the writer. Throws TaskError TOO_LARGE, and changes nothing, if the entries exceed the
   * bounds. Entries of the task manager itself are "unbounded": a full task must still be able to end.
   */
  append(
    entries: readonly Entry[],
    bounds: "bounded" | "unbounded" = "unbounded",
    handled: readonly string[] = [],
  ): bigint {
    if (this.#lost) throw this.#lost;
    const ready = entries.map((entry) => storeEntry(entry, this.#tentative));
    if (bounds === "bounded") this.#checkBounds(ready);
    for (const one of ready) {
      const { encoded, stored } = one;
      const sequence = this.#tentative.sequence + 1n;
      evolve(this.#tentative, sequence, stored);
      const { byteLength: bytes } = encoded;
      this.#queue.push({
        sequence,
        entry: stored,
        encoded,
        bytes,
        pending: isPending(this.#tentative),
        handled: one === ready.at(-1) ? handled : none,
      });
      this.#queueBytes += encoded.byteLength;
      this.#logBytes += encoded.byteLength;
    }
    this.#schedule();
    return this.#tentative.sequence;
  }

  #checkBounds(entries: readonly { readonly encoded: Uint8Array }[]): void {
    const { key, limits } = this.#options;
    let total = this.#logBytes;
    for (const { encoded } of entries) {
      const { byteLength } = encoded;
      if (byteLength > limits.eventBytesMax)
        throw tooLarge(key.taskId, `the event has ${byteLength} bytes; the limit is ${limits.eventBytesMax} bytes`);
      total += byteLength;
    }
    if (total > limits.taskBytesMax)
      throw tooLarge(key.taskId, `its log would have ${total} bytes; the limit is ${limits.taskBytesMax} bytes`);
  }

  /** Whether the next entry fits the batch that is being collected. */
  get hasRoom(): boolean {
    return this.#queue.length < batchEntriesMax && this.#queueBytes < batchBytesMax;
  }

  /** Resolves when there is room. The speed of the storage decides when, never that of a reader. */
  async room(): Promise<void> {
    while (!this.#lost && !this.hasRoom) {
      await new Promise<void>((resolve) => this.#roomWaiters.push(resolve));
    }
    if (this.#lost) throw this.#lost;
  }

  /** Resolves when the entry at a sequence, and all before it, are durable. */
  whenCommitted(sequence: bigint): Promise<void> {
    if (sequence <= this.#committed.sequence) return Promise.resolve();
    if (this.#lost) return Promise.reject(this.#lost);
    return new Promise((resolve, reject) => {
      this.#waiters.push({ sequence, resolve, reject });
    });
  }

  /** Ends the writer from outside, for instance because its task was removed. */
  abandon(error: Error): void {
    this.#lose(error);
  }

  /**
   * Starts the next batch after the present phase of the event loop. So the events that an agent yields without waiting
   * are one append. No timer is needed.
   */
  #schedule(): void {
    if (this.#flushing || this.#scheduled || this.#queue.length === 0) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      if (!this.#flushing) void this.#flush();
    });
  }

  async #flush(): Promise<void> {
    this.#flushing = true;
    try {
      while (this.#queue.length > 0 && !this.#lost) await this.#sendBatch(this.#takeBatch());
    } catch (error) {
      this.#lose(error instanceof Error ? error : new Error(String(error)));
    } finally {
      this.#flushing = false;
    }
  }

  #takeBatch(): Pending[] {
    let bytes = 0;
    let count = 0;
    for (const { encoded } of this.#queue) {
      if (count === batchEntriesMax || (count > 0 && bytes + encoded.byteLength > batchBytesMax)) break;
      bytes += encoded.byteLength;
      count++;
    }
    this.#queueBytes -= bytes;
    const batch = this.#queue.slice(0, count);
    this.#queue = this.#queue.slice(count);
    // The agent goes on while the batch is on its way, not only when it is durable.
    this.#wakeRoomWaiters();
    return batch;
  }

  async #sendBatch(batch: readonly Pending[]): Promise<void> {
    const { storage, key, owner, clock, newId } = this.#options;
    const id = newId();
    const append: TaskAppend = {
      after: { head: this.#committed.sequence, batch: this.#batch, fence: this.#fence },
      batch: { id, entries: batch.map(({ encoded }) => encoded) },
      header: { ...headerOf(batch, this.#committed), ...owner, pending: batch.at(-1)?.pending ?? false },
      messages: pointersOf(batch),
      handled: batch.flatMap(({ handled }) => handled),
    };
    const result = await sendAppend(storage, key, append, {
      clock,
      retryMs: appendRetryMs,
      signal: () => this.#abort.signal,
    });
    if (result.outcome !== "committed") throw lostError(key.taskId, result);
    // Also for a writer that was abandoned meanwhile: the entries are in the log, and readers that looked before must
    // get them.
    for (const { sequence, entry, bytes } of batch) {
      evolve(this.#committed, sequence, entry);
      this.#bytesSinceSnapshot += bytes;
    }
    this.#batch = id;
    this.#fence = owner.fence;
    this.#options.onCommitted(batch, result);
    this.#resolveWaiters();
    this.#snapshotIfDue();
  }

  #resolveWaiters(): void {
    const { sequence } = this.#committed;
    const due = this.#waiters.filter((waiter) => waiter.sequence <= sequence);
    if (due.length > 0) this.#waiters = this.#waiters.filter((waiter) => waiter.sequence > sequence);
    for (const waiter of due) waiter.resolve();
  }

  #wakeRoomWaiters(): void {
    for (const resolve of this.#roomWaiters.splice(0)) resolve();
  }

  #lose(error: Error): void {
    if (this.#lost) return;
    this.#lost = error;
    this.#queue = [];
    this.#abort.abort(error);
    for (const waiter of this.#waiters.splice(0)) waiter.reject(error);
    this.#wakeRoomWaiters();
    this.#options.onLost(error);
  }

  /**
   * Stores a snapshot when the log since the last one is larger than that one, and larger than 64 KiB. So the cost of
   * snapshots per byte of log is constant.
   */
  #snapshotIfDue(): void {
    if (this.#lost || this.#snapshotting || this.#bytesSinceSnapshot <= Math.max(snapshotBytesMin, this.#snapshotBytes))
      return;
    const { storage, key, onSnapshotFailed } = this.#options;
    const bytes = encodeSnapshot(this.#committed);
    this.#snapshotting = true;
    this.#snapshotBytes = bytes.byteLength;
    this.#bytesSinceSnapshot = 0;
    storage
      .storeSnapshot(key, { sequence: this.#committed.sequence, bytes })
      .catch(onSnapshotFailed)
      .finally(() => {
        this.#snapshotting = false;
      });
  }
}

const none: readonly string[] = [];

/** The header after a batch, on top of the fold before it. */
export function headerOf(
  batch: readonly { readonly entry: Entry }[],
  before: TaskFold,
): Pick<TaskAppend["header"], "state" | "statusTimeMs" | "summary"> {
  const changed = batch.findLast(({ entry }) => statusOf(entry) !== undefined)?.entry;
  const status = changed === undefined ? before.status : (statusOf(changed) ?? before.status);
  const statusTimeMs =
    status.timestamp === undefined
      ? 0
      : Number(status.timestamp.seconds) * 1000 + Math.floor(status.timestamp.nanos / 1e6);
  if (changed === undefined) return { state: status.state, statusTimeMs };
  const created = changed.body.case === "created" ? changed.body.value.task : undefined;
  const summary = encodeSummary({
    taskId: before.taskId,
    contextId: created?.contextId ?? before.contextId,
    status,
    metadata: created?.metadata ?? before.metadata,
  });
  return { state: status.state, statusTimeMs, summary };
}

/** The messages that a batch adds to the history of its conversation. */
export function pointersOf(batch: readonly { readonly entry: Entry }[]): readonly MessagePointer[] {
  const pointers: MessagePointer[] = [];
  for (const [index, { entry }] of batch.entries()) {
    const message = messageForHistory(entry);
    if (message !== undefined) pointers.push({ index, messageId: message.messageId, timeMs: Number(entry.timeMs) });
  }
  return pointers;
}

function tooLarge(taskId: string, why: string): TaskError {
  return new TaskError("TOO_LARGE", `Too large for task "${taskId}": ${why}`, { metadata: { taskId } });
}

/** The error that a refused append ends the writer with. */
function lostError(taskId: string, result: Exclude<AppendResult, Committed>): TaskError {
  const metadata = { taskId };
  switch (result.outcome) {
    case "gone":
      return new TaskError("TASK_NOT_FOUND", `Task "${taskId}" was removed`, { metadata });
    case "lost":
      return new TaskError("UNAVAILABLE", `Another replica has taken over task "${taskId}"`, { metadata });
    case "duplicate":
    case "reused":
      return new TaskError("UNAVAILABLE", `Task "${taskId}" was created twice`, { metadata });
    default:
      return result satisfies never;
  }
}
