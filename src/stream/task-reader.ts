import type { PlacedEntry } from "../domain/entry.ts";
import { taskNotFound } from "../domain/task-error.ts";
import { readEntries } from "../log/load-task.ts";
import type { Storage } from "../storage/storage.ts";
import type { TaskFeed } from "./task-hub.ts";

/**
 * Reads one task's entries after a cursor, for ever: from the feed's memory where it reaches back far enough, else from
 * the log, else it waits.
 *
 * Why nothing is lost or doubled: the cursor is the only state. Each page begins right behind it, whichever place it
 * comes from, and what counts as "nothing yet" is checked against the feed's count of wake-ups, read before the log
 * was. A wake-up that comes between that look and the wait changes the count, and the wait ends at once.
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
   * At least one entry, in order, right after those given before. Empty only once the signal is aborted. Throws
   * TASK_NOT_FOUND if the task goes away.
   */
  async next(signal: AbortSignal): Promise<readonly PlacedEntry[]> {
    while (!signal.aborted) {
      const { wakes } = this.#feed;
      const remembered = this.#feed.after(this.#cursor);
      const entries = remembered === undefined ? await this.#read(wakes) : remembered;
      const last = entries.at(-1);
      if (last !== undefined) {
        this.#cursor = last.sequence;
        return entries;
      }
      await this.#feed.waitFor(wakes, signal);
    }
    return [];
  }

  /** One look at the log for all readers that are at this place and have seen the same wake-ups. */
  #read(wakes: number): Promise<readonly PlacedEntry[]> {
    const cursor = this.#cursor;
    const { reads } = this.#feed;
    const running = reads.get(cursor);
    if (running?.wakes === wakes) return running.page;
    const page = this.#look(cursor).finally(() => {
      if (reads.get(cursor)?.page === page) reads.delete(cursor);
    });
    reads.set(cursor, { wakes, page });
    return page;
  }

  async #look(cursor: bigint): Promise<readonly PlacedEntry[]> {
    const { key } = this.#feed;
    const entries = await readEntries(this.#storage, key, this.#contextId, cursor);
    // At the head. A task that was removed never grows again: its readers must not wait for it.
    if (entries.length === 0 && !(await this.#storage.taskExists(key))) throw taskNotFound(key.taskId);
    return entries;
  }
}
