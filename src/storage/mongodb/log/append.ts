import type { Binary } from "mongodb";
import type { TaskKey } from "../../../domain/scope.ts";
import { isTerminal } from "../../../domain/task-state.ts";
import type { TaskAppend } from "../../storage.ts";
import type { AppendOutcome } from "../../storage-engine.ts";
import { StorageError } from "../../storage-error.ts";
import { expiryOf, type MongoContext } from "../context.ts";
import type { Touch } from "../conversations/conversation-pipelines.ts";
import { pinnedUntil, pinOf, type Touched, touchConversation, undoTouch } from "../conversations/conversations.ts";
import {
  innerPointer,
  type PointedLog,
  pointerRecords,
  removePointers,
  writePointers,
} from "../conversations/pointers.ts";
import { trimIfLong } from "../conversations/trim.ts";
import { allOf } from "../errors.ts";
import { bigintOf, newId, taskKey } from "../keys.ts";
import { coverTaskLater } from "../lifetime/expiry.ts";
import { confirmMsOf } from "../lifetime/pins.ts";
import { attemptsMax, tailBytesMax } from "../limits.ts";
import type { Inline, InnerPointer, LogItem, MessageRecord, TaskRecord } from "../records.ts";
import type { TaskHint } from "../replicas/hints.ts";
import { isRunning } from "../states.ts";
import { type AppendParts, appendFilter, appendUpdate, expiryChange } from "./append-update.ts";
import { putInline, removeBlobsLater } from "./blobs.ts";
import { itemBytes } from "./entries.ts";
import { type FoundTask, findTask } from "./find-task.ts";
import { readTask } from "./read-log.ts";
import { fitsRecord, moveTail, removeItemLater, writeItem } from "./tail.ts";
import { readCommands } from "./task-reads.ts";

/**
 * Appends to an existing task. One conditional update of the task's record decides.
 * - Before it: the records that the update refers to (pieces of a large batch, the segment that makes room), and the
 *   pointers to messages, which count only if their batch is in the log. If the task starts to run, also the pin on its
 *   conversation, so that the conversation can't expire first.
 * - At the same time: the access to the conversation, which is undone if the append is lost. Only the owner under the
 *   present fence touches the conversation, so an old owner can't release the pin of a new one.
 *
 * Pointers that are written at the same time as the update are lost by two short histories: (update, end of the
 * process), because nobody sends the batch again; and (update, failed insert, same batch again), because that try is
 * refused before it comes to its pointers. So they are written first. The pointer to the message that ends a task is in
 * the update itself, so that an end waits for no more than its update.
 */
export async function advanceTask(context: MongoContext, key: TaskKey, append: TaskAppend): Promise<AppendOutcome> {
  const task = taskKey(key);
  for (let attempt = 1; attempt <= attemptsMax; attempt++) {
    const cached = context.hints.get(task);
    const hint = cached ?? (await readHint(context, task));
    if (hint === undefined) {
      return { outcome: "gone" };
    }
    const result = await new Attempt(context, key, task, append, hint).run();
    if (result !== "again" && (result.outcome !== "gone" || cached === undefined)) {
      return result;
    }
    // The hint is out of date.
    context.hints.delete(task);
  }
  throw new StorageError("unavailable", `Task "${key.taskId}" changes too often at once`);
}

async function readHint(context: MongoContext, task: Binary): Promise<TaskHint | undefined> {
  const found = await findTask(context, task);
  return found === undefined ? undefined : hintOf(found, Number.NEGATIVE_INFINITY);
}

export function hintOf(record: Omit<TaskRecord, "tail">, confirmedAt: number): TaskHint {
  const { log, conversation, incarnation, contextId, tailBytes, state, expireAt, last } = record;
  const lastSequence = last?.sequence ?? 0;
  return { log, conversation, incarnation, contextId, tailBytes, state, expireAt, lastSequence, confirmedAt };
}

/**
 * The fields that an append needs of the record before its update: they refer to records that aren't needed any
 * more.
 */
type UpdatedTask = Pick<TaskRecord, "tailBytes" | "commands" | "watchers" | "expireAt" | "longLived"> & {
  readonly summary?: { readonly blob?: Binary };
};
const updatedFields = { tailBytes: 1, commands: 1, watchers: 1, expireAt: 1, longLived: 1, "summary.blob": 1 };

class Attempt {
  readonly #context: MongoContext;
  readonly #key: TaskKey;
  readonly #task: Binary;
  readonly #append: TaskAppend;
  readonly #hint: TaskHint;
  readonly #touch: Touch;
  /** The pointers that are records of their own. */
  readonly #pointers: readonly MessageRecord[];
  /** The pointer that the update puts into the task's record. */
  readonly #last: InnerPointer | undefined;
  #touched: Touched | undefined;

  constructor(context: MongoContext, key: TaskKey, task: Binary, append: TaskAppend, hint: TaskHint) {
    const { after, batch, header, messages } = append;
    this.#context = context;
    this.#key = key;
    this.#task = task;
    this.#append = append;
    this.#hint = hint;
    const head = Number(after.head) + batch.entries.length;
    this.#touch = {
      access: "now",
      pin: pinOf(context, task, header, head),
      messageCount: messages.length,
      token: newId(),
    };
    const log: PointedLog = { scope: key, task, taskId: key.taskId, ...hint };
    const expiry = expiryOf(context, { running: isRunning(header.state), until: pinnedUntil(context, header) });
    // If the record points beyond `after`, this append is in the log or lost. A message that is in the log must not get
    // a second pointer.
    const isFree = hint.lastSequence === 0 || hint.lastSequence > Number(after.head);
    const last = isTerminal(header.state) && isFree ? messages.at(-1) : undefined;
    const own = last === undefined ? messages : messages.slice(0, -1);
    this.#last = last && innerPointer(key, Number(after.head), last);
    this.#pointers = pointerRecords(log, Number(after.head), batch.id, own, expiry);
  }

  async run(): Promise<AppendOutcome | "again"> {
    const { after, header, messages, batch } = this.#append;
    const hint = this.#hint;
    const running = isRunning(header.state);
    const takesOver = header.fence > after.fence;
    const begins = running && (takesOver || !isRunning(hint.state));
    const ends = !running;
    const accesses = messages.length > 0 || ends || performance.now() - hint.confirmedAt > confirmMsOf(this.#context);

    const [item, summary] = await allOf([
      writeItem(this.#context, hint, Number(after.head) + 1, batch),
      header.summary === undefined ? Promise.resolve(undefined) : putInline(this.#context, hint, header.summary),
      begins ? this.#access() : Promise.resolve(),
      writePointers(this.#context, this.#pointers),
    ]);
    if (begins && this.#touched === undefined) {
      this.#removeUnnamed(item, summary);
      await this.#undo();
      return { outcome: "gone" };
    }
    const moved = hint.tailBytes + itemBytes(item) > tailBytesMax;
    if (moved && !(await moveTail(this.#context, this.#task, hint, after))) {
      return this.#refused(item, summary);
    }
    const longLived = !fitsRecord(batch) || moved || (running && messages.length > 0);
    const expiry = expiryChange(this.#context, hint, header);
    const parts = { item, summary, moved, longLived, expiry, last: this.#last };
    const [before] = await allOf([
      this.#update(parts),
      accesses && !begins && !(ends && takesOver) ? this.#access() : Promise.resolve(),
    ]);
    if (before === null) {
      return this.#refused(item, summary);
    }
    if (accesses && this.#touched === undefined) {
      // After the takeover was committed: before, the pin belongs to another replica.
      await this.#access();
    }
    return accesses && this.#touched === undefined ? { outcome: "gone" } : this.#committed(before, parts);
  }

  async #access(): Promise<void> {
    this.#touched ??= await touchConversation(this.#context, this.#hint, this.#touch);
  }

  #update(parts: AppendParts): Promise<UpdatedTask | null> {
    const { collections } = this.#context;
    const filter = appendFilter(this.#task, this.#hint, this.#append, parts);
    // Of the summary, the projection includes only the reference to its blob.
    return collections.tasks.findOneAndUpdate(filter, appendUpdate(this.#append, parts), {
      returnDocument: "before",
      projection: updatedFields,
    }) as Promise<UpdatedTask | null>;
  }

  async #committed(
    before: UpdatedTask,
    { item, summary, moved, longLived, expiry, last }: AppendParts,
  ): Promise<AppendOutcome> {
    const context = this.#context;
    const { after, batch, header, handled } = this.#append;
    const touched = this.#touched?.record;
    const size = itemBytes(item);
    const hint: TaskHint = {
      ...this.#hint,
      tailBytes: moved ? size : before.tailBytes + size,
      state: header.state,
      expireAt: expiry.expireAt ?? before.expireAt,
      lastSequence: last?.sequence ?? this.#hint.lastSequence,
      confirmedAt: touched === undefined ? this.#hint.confirmedAt : performance.now(),
    };
    context.hints.set(this.#task, hint);
    context.running.note(this.#task, hint, this.#touch.pin);
    if (touched !== undefined) {
      trimIfLong(context, touched);
      if (touched.covered !== undefined && hint.expireAt !== undefined && hint.expireAt < touched.covered) {
        coverTaskLater(context, this.#task, hint.log, touched.covered);
      }
    }
    if ((longLived || before.longLived === true) && !isRunning(header.state)) {
      context.ended.add(context, { ...hint, until: pinnedUntil(context, header) });
    }
    const closed = before.commands.filter(({ id }) => handled.includes(id)).map(({ bytes }) => bytes);
    const { blob } = before.summary ?? {};
    removeBlobsLater(context, summary === undefined || blob === undefined ? closed : [...closed, { blob }]);
    const open = before.commands.filter(({ id }) => !handled.includes(id));
    const head = after.head + BigInt(batch.entries.length);
    return { outcome: "committed", head, watchers: before.watchers, commands: await readCommands(context, open) };
  }

  /** The condition of the update failed. Finds out why from the latest state. */
  async #refused(item: LogItem, summary: Inline | undefined): Promise<AppendOutcome | "again"> {
    const context = this.#context;
    const { after } = this.#append;
    this.#removeUnnamed(item, summary);
    const found = await findTask(context, this.#task, { latest: true });
    // The task may go on running here if the append was lost to an earlier try of itself.
    if (found === undefined || !isRunning(found.state) || bigintOf(found.fence) > this.#append.header.fence) {
      context.running.forget(this.#task);
    }
    if (found === undefined) {
      context.hints.delete(this.#task);
      await this.#undo();
      return { outcome: "gone" };
    }
    const { head, batch, replica } = found;
    const fence = bigintOf(found.fence);
    if (head === Number(after.head) && batch === after.batch && fence === after.fence) {
      // The hint was wrong about the log or its tail, or an append that was first has been rolled back. The pointers
      // stay: an earlier try of this append may still be carried out, and the next one needs them anyway.
      await this.#undoAccess();
      return "again";
    }
    context.hints.set(this.#task, hintOf(found, this.#hint.confirmedAt));
    if (!(await this.#isInLog(found))) {
      await this.#undo();
    }
    return { outcome: "lost", head: BigInt(head), batch, replica, fence };
  }

  /**
   * Removes the records that this try's update would have referred to. A committed earlier try has records of its
   * own.
   */
  #removeUnnamed(item: LogItem, summary: Inline | undefined): void {
    removeItemLater(this.#context, this.#hint, item);
    removeBlobsLater(this.#context, summary === undefined ? [] : [summary]);
  }

  /** Whether an earlier try of this append was committed. Its pointers and its access then stay. */
  async #isInLog({ head, batch }: FoundTask): Promise<boolean> {
    const { after, batch: own } = this.#append;
    if (batch === own.id) {
      return true;
    }
    const isRetry = head > Number(after.head) && (this.#touched !== undefined || this.#pointers.length > 0);
    return isRetry && (await readTask(this.#context, this.#key, after.head, 0))[0]?.batch === own.id;
  }

  async #undo(): Promise<void> {
    // Errors are ignored: what is left over has no effect, and the outcome is known.
    await Promise.allSettled([removePointers(this.#context, this.#pointers), this.#undoAccess()]);
  }

  /** Errors are ignored, as above. */
  async #undoAccess(): Promise<void> {
    const touched = this.#touched;
    this.#touched = undefined;
    await Promise.allSettled(touched === undefined ? [] : [undoTouch(this.#context, touched, this.#touch)]);
  }
}
