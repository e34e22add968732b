import type { Binary } from "mongodb";
import type { TaskKey } from "../../../domain/scope.ts";
import type { TaskAppend } from "../../storage.ts";
import type { AppendOutcome } from "../../storage-engine.ts";
import { StorageError } from "../../storage-error.ts";
import { expiryOf, type MongoContext } from "../context.ts";
import type { Touch } from "../conversations/conversation-pipelines.ts";
import { pinnedUntil, pinOf, type Touched, touchConversation, undoTouch } from "../conversations/conversations.ts";
import { type PointedLog, pointerRecords, removePointers, writePointers } from "../conversations/pointers.ts";
import { trimIfLong } from "../conversations/trim.ts";
import { allOf } from "../errors.ts";
import { bigintOf, newId, taskKey } from "../keys.ts";
import { coverTaskLater } from "../lifetime/expiry.ts";
import { confirmMsOf } from "../lifetime/running.ts";
import { attemptsMax, tailBytesMax } from "../limits.ts";
import type { Inline, LogItem, MessageRecord, TaskRecord } from "../records.ts";
import type { TaskHint } from "../replicas/hints.ts";
import { isRunning } from "../states.ts";
import { type AppendParts, appendFilter, appendUpdate, expiryChange } from "./append-update.ts";
import { putInline, removeBlobsLater } from "./blobs.ts";
import { itemBytes } from "./entries.ts";
import { type FoundTask, findTask } from "./find-task.ts";
import { readTask } from "./read-log.ts";
import { fitsRecord, moveTail, removeItemLater, writeItem } from "./tail.ts";
import { readRequests } from "./task-reads.ts";

/**
 * Appends to a task that exists. One conditional update of the task's record decides. What goes with it:
 * - before: what the update names (pieces of a large batch, the segment that makes room), and, where the task begins to
 *   run (again), the hold on its conversation, which must not expire under it;
 * - at the same time: pointers to messages, which count only if their batch is in the log, and the access to the
 *   conversation, which is undone if the append is lost. Only the owner under the present fence does that, so nobody's
 *   hold is released who has taken over.
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
    // What this process remembered isn't so any more.
    context.hints.delete(task);
  }
  throw new StorageError("unavailable", `Task "${key.taskId}" changes too fast`);
}

async function readHint(context: MongoContext, task: Binary): Promise<TaskHint | undefined> {
  const found = await findTask(context, task);
  return found === undefined ? undefined : hintOf(found, Number.NEGATIVE_INFINITY);
}

export function hintOf(record: Omit<TaskRecord, "tail">, confirmedAt: number): TaskHint {
  const { log, conversation, incarnation, contextId, tailBytes, state, expireAt } = record;
  return { log, conversation, incarnation, contextId, tailBytes, state, expireAt, confirmedAt };
}

/**
 * What an append needs to know of the record that it changed: as it was before, since that names what isn't needed any
 * more.
 */
type UpdatedTask = Pick<TaskRecord, "tailBytes" | "requests" | "watchers" | "expireAt" | "longLived"> & {
  readonly summary?: { readonly blob?: Binary };
};
const updatedFields = { tailBytes: 1, requests: 1, watchers: 1, expireAt: 1, longLived: 1, "summary.blob": 1 };

class Attempt {
  readonly #context: MongoContext;
  readonly #key: TaskKey;
  readonly #task: Binary;
  readonly #append: TaskAppend;
  readonly #hint: TaskHint;
  readonly #touch: Touch;
  readonly #pointers: readonly MessageRecord[];
  #touched: Touched | undefined;

  constructor(context: MongoContext, key: TaskKey, task: Binary, append: TaskAppend, hint: TaskHint) {
    const { after, batch, header, messages } = append;
    this.#context = context;
    this.#key = key;
    this.#task = task;
    this.#append = append;
    this.#hint = hint;
    const head = Number(after.head) + batch.entries.length;
    this.#touch = { access: "now", pin: pinOf(context, task, header, head), said: messages.length, token: newId() };
    const log: PointedLog = { scope: key, task, taskId: key.taskId, ...hint };
    const expiry = expiryOf(context, { running: isRunning(header.state), until: pinnedUntil(context, header) });
    this.#pointers = pointerRecords(log, Number(after.head), batch.id, messages, expiry);
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
      begins ? writePointers(this.#context, this.#pointers) : Promise.resolve(),
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
    const [before] = await allOf([
      this.#update({ item, summary, moved, longLived, expiry }),
      accesses && !begins && !(ends && takesOver) ? this.#access() : Promise.resolve(),
      begins ? Promise.resolve() : writePointers(this.#context, this.#pointers),
    ]);
    if (before === null) {
      return this.#refused(item, summary);
    }
    if (accesses && this.#touched === undefined) {
      // Not before the takeover was committed: until then the hold is another's.
      await this.#access();
    }
    return accesses && this.#touched === undefined
      ? { outcome: "gone" }
      : this.#committed(before, { item, summary, moved, longLived, expiry });
  }

  async #access(): Promise<void> {
    this.#touched ??= await touchConversation(this.#context, this.#hint, this.#touch);
  }

  #update(parts: AppendParts): Promise<UpdatedTask | null> {
    const { collections } = this.#context;
    const filter = appendFilter(this.#task, this.#hint, this.#append, parts);
    // The projection leaves of the summary only where it is, if it isn't in the record.
    return collections.tasks.findOneAndUpdate(filter, appendUpdate(this.#append, parts), {
      returnDocument: "before",
      projection: updatedFields,
    }) as Promise<UpdatedTask | null>;
  }

  async #committed(
    before: UpdatedTask,
    { item, summary, moved, longLived, expiry }: AppendParts,
  ): Promise<AppendOutcome> {
    const context = this.#context;
    const { after, batch, header, handled: answered } = this.#append;
    const touched = this.#touched?.record;
    const size = itemBytes(item);
    const hint: TaskHint = {
      ...this.#hint,
      tailBytes: moved ? size : before.tailBytes + size,
      state: header.state,
      expireAt: expiry.expireAt ?? before.expireAt,
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
    const closed = before.requests.filter(({ id }) => answered.includes(id)).map(({ bytes }) => bytes);
    const { blob } = before.summary ?? {};
    removeBlobsLater(context, summary === undefined || blob === undefined ? closed : [...closed, { blob }]);
    const open = before.requests.filter(({ id }) => !answered.includes(id));
    const head = after.head + BigInt(batch.entries.length);
    return { outcome: "committed", head, watchers: before.watchers, commands: await readRequests(context, open) };
  }

  /** The update's condition didn't hold: why not, by what a majority holds. */
  async #refused(item: LogItem, summary: Inline | undefined): Promise<AppendOutcome | "again"> {
    const context = this.#context;
    const { after } = this.#append;
    this.#removeUnnamed(item, summary);
    const found = await findTask(context, this.#task);
    // Lost to itself, it may well go on running here.
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
      // The hint was wrong about the log or its tail, or whoever came first was rolled back.
      await this.#undo();
      return "again";
    }
    context.hints.set(this.#task, hintOf(found, this.#hint.confirmedAt));
    if (!(await this.#isInLog(found))) {
      await this.#undo();
    }
    return { outcome: "lost", head: BigInt(head), batch, replica, fence };
  }

  /** Removes what was written for this try's update to name. An earlier try that was committed names its own. */
  #removeUnnamed(item: LogItem, summary: Inline | undefined): void {
    removeItemLater(this.#context, this.#hint, item);
    removeBlobsLater(this.#context, summary === undefined ? [] : [summary]);
  }

  /** Whether it was lost to itself: an earlier try of it was committed, and what goes with it must stay. */
  async #isInLog({ head, batch }: FoundTask): Promise<boolean> {
    const { after, batch: own } = this.#append;
    if (batch === own.id) {
      return true;
    }
    const isRetry = head > Number(after.head) && (this.#touched !== undefined || this.#pointers.length > 0);
    return isRetry && (await readTask(this.#context, this.#key, after.head, 0))[0]?.batch === own.id;
  }

  async #undo(): Promise<void> {
    const touched = this.#touched;
    this.#touched = undefined;
    // Nothing that is left over counts for anything, so that this fails is no reason to keep the outcome back.
    await Promise.allSettled([
      removePointers(this.#context, this.#pointers),
      touched === undefined ? Promise.resolve() : undoTouch(this.#context, touched, this.#touch),
    ]);
  }
}
