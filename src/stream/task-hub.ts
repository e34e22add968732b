import type { PlacedEntry } from "../domain/entry.ts";
import { type TaskKey, taskKeyString } from "../domain/scope.ts";
import { feedBytesMax, feedEntriesMax } from "./limits.ts";

/**
 * What this process knows of one task that somebody reads or runs: the newest committed entries, and who waits for
 * more.
 *
 * Invariant: `entries` is dense, ends at `head`, and holds committed entries only. It may be empty; then the log must
 * be asked.
 */
export class TaskFeed {
  readonly key: TaskKey;
  #entries: PlacedEntry[] = [];
  #bytes = 0;
  #head = 0n;
  #wakes = 0;
  #waiters: (() => void)[] = [];
  /** The log may have more than is known here. */
  #behind = true;
  /** A wake-up came since the last publication. */
  #woken = false;
  /**
   * Reads of the log under way, by cursor: readers at one place share one, if no wake-up came since it began. (A reader
   * that was woken later and joined an older read could be told "nothing" by a look from before the wake-up, and then
   * wait for ever.)
   */
  readonly reads = new Map<bigint, { readonly wakes: number; readonly page: Promise<readonly PlacedEntry[]> }>();
  /** How many use this feed; at 0 it is forgotten. */
  users = 0;
  #closed: Error | undefined;

  constructor(key: TaskKey) {
    this.key = key;
  }

  /**
   * Grows with every wake-up. A reader that saw the log's end notes it before its look, and waits only while it is the
   * same.
   */
  get wakes(): number {
    return this.#wakes;
  }

  /** Takes entries in that became durable here, and wakes the readers. */
  publish(entries: readonly PlacedEntry[]): void {
    const first = entries[0];
    const last = entries.at(-1);
    if (first === undefined || last === undefined) return;
    if (first.sequence <= this.#head) {
      // Told late, by a writer that was given up and whose place another one has taken: where the log ends now isn't
      // known here.
      this.#clear();
      this.#head = 0n;
      this.wake();
      return;
    }
    // After a gap (another replica wrote meanwhile) the old ones are of no use.
    if (first.sequence !== this.#head + 1n) this.#clear();
    for (const entry of entries) {
      this.#entries.push(entry);
      this.#bytes += entry.bytes;
    }
    this.#head = last.sequence;
    this.#trim();
    // What woke since the last publication may have come after these entries: they were durable before they were told
    // here. The append of the next ones begins after that, so their publication covers it.
    this.#behind = this.#woken;
    this.#woken = false;
    this.#wakeWaiters();
  }

  /** "Look": something may have happened elsewhere, so the head here may not be the log's any more. */
  wake(): void {
    this.#behind = true;
    this.#woken = true;
    this.#wakeWaiters();
  }

  /** Nothing comes any more: who waits, now or later, is given the error. */
  close(error: Error): void {
    this.#closed = error;
    this.#wakeWaiters();
  }

  #wakeWaiters(): void {
    this.#wakes++;
    for (const waiter of this.#waiters.splice(0)) waiter();
  }

  /**
   * The entries after a cursor, from memory; empty if the cursor is at the head; undefined if the log must be asked.
   */
  after(cursor: bigint): readonly PlacedEntry[] | undefined {
    const first = this.#entries[0];
    if (first === undefined || cursor + 1n < first.sequence) return undefined;
    if (this.#behind && cursor >= this.#head) return undefined;
    return this.#entries.slice(Number(cursor + 1n - first.sequence));
  }

  /** Resolves at the next wake-up after `wakes`, or when the signal is aborted. Throws once the feed is closed. */
  async waitFor(wakes: number, signal: AbortSignal): Promise<void> {
    if (this.#closed !== undefined) throw this.#closed;
    if (this.#wakes !== wakes || signal.aborted) return;
    await new Promise<void>((resolve) => {
      const done = () => {
        signal.removeEventListener("abort", onAbort);
        resolve();
      };
      const onAbort = () => {
        this.#waiters = this.#waiters.filter((waiter) => waiter !== done);
        resolve();
      };
      this.#waiters.push(done);
      signal.addEventListener("abort", onAbort, { once: true });
    });
  }

  #clear(): void {
    this.#entries = [];
    this.#bytes = 0;
  }

  /** Drops the oldest, in halves so that a long stream doesn't move the array for every entry. */
  #trim(): void {
    if (this.#entries.length <= feedEntriesMax * 2 && this.#bytes <= feedBytesMax * 2) return;
    let drop = Math.max(0, this.#entries.length - feedEntriesMax);
    let bytes = this.#bytes;
    for (const [place, entry] of this.#entries.entries()) {
      if (place >= drop && bytes <= feedBytesMax) break;
      bytes -= entry.bytes;
      drop = Math.max(drop, place + 1);
    }
    this.#entries = this.#entries.slice(drop);
    this.#bytes = bytes;
  }
}

/** The meeting point of this process's writers and readers. */
export class TaskHub {
  readonly #feeds = new Map<string, TaskFeed>();
  #closed: Error | undefined;

  /** The feed of a task, kept until every opener has released it. */
  open(key: TaskKey): TaskFeed {
    const id = taskKeyString(key);
    let feed = this.#feeds.get(id);
    if (feed === undefined) {
      feed = new TaskFeed(key);
      if (this.#closed !== undefined) feed.close(this.#closed);
      this.#feeds.set(id, feed);
    }
    feed.users++;
    return feed;
  }

  release(feed: TaskFeed): void {
    feed.users--;
    const id = taskKeyString(feed.key);
    if (feed.users === 0 && this.#feeds.get(id) === feed) this.#feeds.delete(id);
  }

  /** Wakes the readers of a task, if there are any. */
  wake(key: TaskKey): void {
    this.#feeds.get(taskKeyString(key))?.wake();
  }

  /** Wakes all readers: something happened to tasks that can't be named. */
  wakeAll(): void {
    for (const feed of this.#feeds.values()) feed.wake();
  }

  /** Whoever waits here, now or later, is given the error; what is in memory or in the log is still read. */
  close(error: Error): void {
    this.#closed = error;
    for (const feed of this.#feeds.values()) feed.close(error);
  }

  /** How many tasks are read or run here. */
  get size(): number {
    return this.#feeds.size;
  }
}
