import type { PlacedEntry } from "../domain/entry.ts";
import { type TaskKey, taskKeyString } from "../domain/scope.ts";
import { feedBytesMax, feedEntriesMax } from "./limits.ts";

/**
 * The newest committed entries of one task that is read or run in this process, and the readers that wait for more.
 *
 * Invariant: `entries` is dense, ends at `head`, and holds committed entries only. If it is empty, the log must be
 * read.
 */
export class TaskFeed {
  readonly key: TaskKey;
  #entries: PlacedEntry[] = [];
  #bytes = 0;
  #head = 0n;
  #readTo = 0n;
  #wakeCount = 0;
  #waiters: (() => void)[] = [];
  /** The log may have more entries than are known here. */
  #behind = true;
  /** A wake-up came after the last publication. */
  #woken = false;
  /**
   * Reads of the log under way, by cursor. Readers at one cursor share a read, if no wake-up came after it began. A
   * reader that joined an older read could get "nothing" from before its wake-up, and then wait for ever.
   */
  readonly reads = new Map<bigint, { readonly wakeCount: number; readonly page: Promise<readonly PlacedEntry[]> }>();
  /** How many readers and runs use this feed. At 0 it is dropped. */
  users = 0;
  #closed: Error | undefined;

  constructor(key: TaskKey) {
    this.key = key;
  }

  /**
   * Grows with every wake-up. A reader notes it before it looks at the log, and waits at the log's end only while it is
   * the same.
   */
  get wakeCount(): number {
    return this.#wakeCount;
  }

  /**
   * The newest sequence that a read of the log has shown in this process. The log may be ahead of the run here: an
   * append is in the log before its answer arrives.
   */
  get readTo(): bigint {
    return this.#readTo;
  }

  noteRead(sequence: bigint): void {
    if (sequence > this.#readTo) this.#readTo = sequence;
  }

  /** Adds entries that became durable in this process, and wakes the readers. */
  publish(entries: readonly PlacedEntry[]): void {
    const first = entries[0];
    const last = entries.at(-1);
    if (first === undefined || last === undefined) return;
    if (first.sequence <= this.#head) {
      // A late publication, by an abandoned writer that another one has replaced: the end of the log is unknown here.
      this.#clear();
      this.#head = 0n;
      this.wake();
      return;
    }
    // After a gap (another replica wrote meanwhile) the old entries are useless.
    if (first.sequence !== this.#head + 1n) this.#clear();
    for (const entry of entries) {
      this.#entries.push(entry);
      this.#bytes += entry.bytes;
    }
    this.#head = last.sequence;
    this.#trim();
    // A wake-up since the last publication may mean entries after these: these were durable before this call. The next
    // append begins after this call, so its publication covers them.
    this.#behind = this.#woken;
    this.#woken = false;
    this.#wakeWaiters();
  }

  /** Wakes the readers to look at the log: another process may have written, so the head here may be outdated. */
  wake(): void {
    this.#behind = true;
    this.#woken = true;
    this.#wakeWaiters();
  }

  /** Ends the feed: every wait, now or later, throws the error. */
  close(error: Error): void {
    this.#closed = error;
    this.#wakeWaiters();
  }

  #wakeWaiters(): void {
    this.#wakeCount++;
    for (const waiter of this.#waiters.splice(0)) waiter();
  }

  /** The entries after a cursor, from memory. Empty if the cursor is at the head; undefined if the log must be read. */
  after(cursor: bigint): readonly PlacedEntry[] | undefined {
    const first = this.#entries[0];
    if (first === undefined || cursor + 1n < first.sequence) return undefined;
    if (this.#behind && cursor >= this.#head) return undefined;
    return this.#entries.slice(Number(cursor + 1n - first.sequence));
  }

  /** Resolves at the next wake-up after `wakeCount`, or when the signal is aborted. Throws once the feed is closed. */
  async waitFor(wakeCount: number, signal: AbortSignal): Promise<void> {
    if (this.#closed !== undefined) throw this.#closed;
    if (this.#wakeCount !== wakeCount || signal.aborted) return;
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

  /** Drops the oldest entries, half of them at once, so that a long stream does not copy the array for every entry. */
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

/** Connects the writers and readers of this process. */
export class TaskHub {
  readonly #feeds = new Map<string, TaskFeed>();
  #closed: Error | undefined;

  /** The feed of a task. It is kept until every caller of `open` has released it. */
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

  /** Notes a sequence that a read of the log has shown, see `TaskFeed.readTo`. */
  noteRead(key: TaskKey, sequence: bigint): void {
    this.#feeds.get(taskKeyString(key))?.noteRead(sequence);
  }

  /** Wakes the readers of a task, if there are any. */
  wake(key: TaskKey): void {
    this.#feeds.get(taskKeyString(key))?.wake();
  }

  /** Wakes all readers, when it is unknown which tasks have changed. */
  wakeAll(): void {
    for (const feed of this.#feeds.values()) feed.wake();
  }

  /** Ends every wait, now or later, with the error. Entries in memory or in the log can still be read. */
  close(error: Error): void {
    this.#closed = error;
    for (const feed of this.#feeds.values()) feed.close(error);
  }

  /** How many tasks are read or run in this process. */
  get size(): number {
    return this.#feeds.size;
  }
}
