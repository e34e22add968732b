import type { PlacedEntry } from "../domain/entry.ts";
import { taskNotFound } from "../domain/task-error.ts";
import { readEntries } from "../log/load-task.ts";
import type { Storage } from "../storage/storage.ts";
import type { TaskFeed } from "./task-hub.ts";

/**
 * Reads the entries of one task after a cursor, without end: from the memory of the feed if that reaches back far
 * enough, else from the log. At the end of the log it waits.
 *
 * Invariant: no entry is lost or doubled. The cursor is the only state, and each page begins right after it, from
 * memory or from the log. The count of wake-ups is read before the log is. A wake-up between that and the wait changes
 * the count, so the wait ends at once.
 */
export class TaskReader {
  readonly #storage: Storage;
  readonly #feed: TaskFeed;
  readonly #contextId: string;
  #cursor: bigint;

  constructor(storage: Storage, feed: TaskFeed, contextId: string, cursor: bigint) {
    this.#storage = storage;
    this.#feed = feed;
    this.#contextId = contextId;
    this.#cursor = cursor;
  }

  /**
   * The next entries, at least one, in order. Empty only once the signal is aborted. Throws TaskError TASK_NOT_FOUND if
   * the task is removed.
   */
  async next(signal: AbortSignal): Promise<readonly PlacedEntry[]> {
    while (!signal.aborted) {
      const { wakeCount } = this.#feed;
      const remembered = this.#feed.after(this.#cursor);
      const entries = remembered === undefined ? await this.#read(wakeCount) : remembered;
      const last = entries.at(-1);
      if (last !== undefined) {
        this.#cursor = last.sequence;
        return entries;
      }
      await this.#feed.waitFor(wakeCount, signal);
    }
    return [];
  }

  /** One read of the log for all readers that are at this cursor and have seen the same wake-ups. */
  #read(wakeCount: number): Promise<readonly PlacedEntry[]> {
    const cursor = this.#cursor;
    const { reads } = this.#feed;
    const running = reads.get(cursor);
    if (running?.wakeCount === wakeCount) return running.page;
    const page = this.#look(cursor).finally(() => {
      if (reads.get(cursor)?.page === page) reads.delete(cursor);
    });
    reads.set(cursor, { wakeCount, page });
    return page;
  }

  async #look(cursor: bigint): Promise<readonly PlacedEntry[]> {
    const { key } = this.#feed;
    const entries = await readEntries(this.#storage, key, this.#contextId, cursor);
    const last = entries.at(-1);
    if (last !== undefined) this.#feed.noteRead(last.sequence);
    // At the head. A removed task never grows again, so its readers must not wait.
    if (entries.length === 0 && !(await this.#storage.taskExists(key))) throw taskNotFound(key.taskId);
    return entries;
  }
}
