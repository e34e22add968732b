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
  /** The committed fold that the writer starts from, its own from here on. */
  readonly fold: TaskFold;
  /** The id of the batch that ends at the fold's sequence. */
  readonly batch: string;
  /** The encoded size of the log so far. */
  readonly logBytes: number;
  /** The encoded size of the newest snapshot; 0 if there is none. */
  readonly snapshotBytes: number;
  /** What the header says now. */
  readonly fence: bigint;
  /**
   * Who writes from here on. A fence above the header's takes effect with the first append, which must hold the
   * takeover entry.
   */
  readonly owner: { readonly replica: string; readonly fence: bigint };
  /** Bounds of what the task's agent and its clients may add; bytes. */
  readonly limits: { readonly eventBytesMax: number; readonly taskBytesMax: number };
  readonly clock: Clock;
  readonly newId: () => string;
  /**
   * Entries became durable, in order; called before any promise of this writer resolves for them. After `onLost` only
   * for the append then under way.
   */
  readonly onCommitted: (entries: readonly PlacedEntry[], result: Committed) => void;
  /** The writer can't go on: another replica has the task, it is gone, or the storage failed for good. Called once. */
  readonly onLost: (error: Error) => void;
  /** A snapshot could not be stored; only speed is lost. */
  readonly onSnapshotFailed: (error: unknown) => void;
}

interface Pending extends PlacedEntry {
  readonly encoded: Uint8Array;
  /** Whether the task is pending with this entry. */
  readonly pending: boolean;
  /** Requests that are answered once this entry is durable. */
  readonly answered: readonly string[];
}

/**
 * The one writer of a task on this replica: collects entries while an append is under way, and sends all of them as the
 * next one.
 *
 * Invariants:
 * - `tentative` is `committed` plus everything appended since; entries reach the storage in that order, each exactly
 *   once.
 * - A batch never changes once it was sent; the next one is sent only when the outcome of the one before is known.
 * - After `onLost` no append begins or is tried again, and every open promise rejects. One call to the storage may be
 *   under way then.
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
  /** Ends the tries of an append that nobody waits for any more. */
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

  /** What a majority holds. Only this is shown. Not to be changed. */
  get committed(): TaskFold {
    return this.#committed;
  }

  /**
   * With all that was appended here, committed or not. Only what this task's own code decides on. Not to be changed.
   */
  get tentative(): TaskFold {
    return this.#tentative;
  }

  /** The encoded size of the log with all that was appended here. */
  get logBytes(): number {
    return this.#logBytes;
  }

  /** Everything appended is committed; or, once the writer is lost, nothing is on its way any more. */
  get idle(): boolean {
    return this.#lost === undefined ? this.#committed.sequence === this.#tentative.sequence : !this.#flushing;
  }

  /**
   * Appends entries decided on `tentative`, and says the sequence of the last. They become durable in order;
   * `whenCommitted` tells when. The requests `answered` are removed with the last of these entries.
   * Throws what ended the writer, if it has ended; TaskError TOO_LARGE, changing nothing, where they exceed the bounds.
   * What the task manager itself adds ("unbounded") must always find room: a task that is full still has to end.
   */
  append(
    entries: readonly Entry[],
    bounds: "bounded" | "unbounded" = "unbounded",
    answered: readonly string[] = [],
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
        answered: one === ready.at(-1) ? answered : none,
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
        throw tooLarge(key.taskId, `${byteLength} bytes are more than one event may have, ${limits.eventBytesMax}`);
      total += byteLength;
    }
    if (total > limits.taskBytesMax)
      throw tooLarge(key.taskId, `with ${total} bytes the task would be larger than ${limits.taskBytesMax}`);
  }

  /** The next entry fits the batch that is being collected. */
  get hasRoom(): boolean {
    return this.#queue.length < batchEntriesMax && this.#queueBytes < batchBytesMax;
  }

  /** Resolves when there is room. Bounded by the storage's speed, never by a reader's. */
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

  /** Ends the writer from outside, for instance because the server closes. */
  abandon(error: Error): void {
    this.#lose(error);
  }

  /**
   * The next batch starts once the present phase of the event loop is through: what an agent yields in one go is one
   * append, and an agent that answers at once costs one. No timer.
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
    // Not only when the batch is durable: the agent goes on while it is on its way.
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
      handled: batch.flatMap(({ answered }) => answered),
    };
    const result = await sendAppend(storage, key, append, {
      clock,
      retryMs: appendRetryMs,
      signal: this.#abort.signal,
    });
    if (result.outcome !== "committed") throw lostError(key.taskId, result);
    // Also if the writer was abandoned meanwhile: the entries are in the log, and readers that looked before they were
    // have to hear of them.
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
   * A snapshot is due when the log since the last one is larger than it and than 64 KiB: its cost per byte of log stays
   * constant.
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

/** The messages that a batch brings to the conversation's history. */
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

/** Why an append that was refused ends the writer. */
function lostError(taskId: string, result: Exclude<AppendResult, Committed>): TaskError {
  const metadata = { taskId };
  switch (result.outcome) {
    case "gone":
      return new TaskError("TASK_NOT_FOUND", `Task "${taskId}" was removed`, { metadata });
    case "lost":
      return new TaskError("UNAVAILABLE", `Another replica has taken over task "${taskId}"`, { metadata });
    case "duplicate":
    case "reused":
      return new TaskError("UNAVAILABLE", `Task "${taskId}" was made twice`, { metadata });
    default:
      return result satisfies never;
  }
}
