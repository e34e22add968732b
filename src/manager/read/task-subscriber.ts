import type { Message, StreamResponse, Task } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import type { TaskSubscriber } from "../../agent/task-subscriber.ts";
import { eventOf, type PlacedEntry, streamResponse } from "../../domain/entry.ts";
import { type StreamEnd, streamEndAfter } from "../../domain/stream-end.ts";
import type { TaskReader } from "../../stream/task-reader.ts";
import { asTaskError } from "../map-storage-errors.ts";

/** What a subscription begins with, after every check that may refuse it. */
export type OpenedStream =
  | { readonly kind: "message"; readonly message: Message }
  | {
      readonly kind: "task";
      readonly reader: TaskReader;
      readonly cursor: bigint;
      /** The task at the cursor, which readers get first. */
      readonly first?: Task;
      readonly end: StreamEnd;
      readonly release: () => void;
    };

/** One reason for all: without a reason each abort creates an error with its stack. */
const closing = new Error("The subscription is closed");

/**
 * One reader of one task: a cursor and the page it reads from, which it shares with other readers. It asks for the next
 * page only when it has passed this one, so its memory is bounded.
 */
export class Subscription implements TaskSubscriber, AsyncIterator<StreamResponse> {
  readonly #abort = new AbortController();
  readonly #opening: Promise<OpenedStream>;
  readonly #now: () => number;
  #opened: OpenedStream | undefined;
  #first: Task | undefined;
  #page: readonly PlacedEntry[] = [];
  #place = 0;
  #cursor = 0n;
  #end: StreamEnd | undefined;
  #ended = false;
  #lastAccessMs: number;
  /** How many calls of `next` are under way, and the newest of them. */
  #pending = 0;
  #last: Promise<IteratorResult<StreamResponse, undefined>> | undefined;
  /** Ends the wait for a page. */
  #letGo = () => {};

  /** Calls `open` at once, with a signal that is aborted on close. The first `next` throws what `open` throws. */
  constructor(open: (signal: AbortSignal) => Promise<OpenedStream>, now: () => number) {
    this.#now = now;
    this.#lastAccessMs = now();
    this.#opening = open(this.#abort.signal).then((opening) => {
      this.#opened = opening;
      // The subscription was closed before: `close` had nothing to release then.
      if (this.closed && opening.kind === "task") opening.release();
      if (opening.kind === "task") {
        this.#cursor = opening.cursor;
        this.#first = opening.first;
        this.#end = opening.end;
        this.#ended = opening.cursor === opening.end.endsAt;
      }
      return opening;
    });
    this.#opening.catch(() => undefined);
  }

  get cursor(): bigint {
    return this.#cursor;
  }

  get closed(): boolean {
    return this.#abort.signal.aborted;
  }

  get lastAccessTime(): Date {
    return new Date(this.#lastAccessMs);
  }

  /** Resolves when the stream is open. Throws what refuses it. */
  async opened(): Promise<void> {
    await this.#opening;
  }

  /** Calls that overlap run one after another, as those of a generator do: two at once would share a page. */
  next(): Promise<IteratorResult<StreamResponse, undefined>> {
    // Nearly every event of a fast stream is in the page already. It costs one promise.
    if (this.#pending === 0 && this.#first === undefined) {
      const value = this.#fromPage();
      if (value !== undefined) return Promise.resolve({ done: false, value });
    }
    const take = () => this.#take();
    this.#last = this.#pending === 0 || this.#last === undefined ? take() : this.#last.then(take, take);
    this.#pending++;
    return this.#last;
  }

  async #take(): Promise<IteratorResult<StreamResponse, undefined>> {
    try {
      return await this.#next();
    } catch (error) {
      await this.close();
      throw asTaskError(error);
    } finally {
      this.#pending--;
    }
  }

  async return(): Promise<IteratorResult<StreamResponse, undefined>> {
    await this.close();
    return { done: true, value: undefined };
  }

  /** Ends the subscription with an error of who reads it. A generator that delegates to it passes the error on. */
  async throw(error: unknown): Promise<never> {
    await this.close();
    throw error;
  }

  [Symbol.asyncIterator](): AsyncIterator<StreamResponse> {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.#abort.abort(closing);
    if (this.#opened?.kind === "task") this.#opened.release();
    this.#page = [];
    this.#letGo();
  }

  async #next(): Promise<IteratorResult<StreamResponse, undefined>> {
    if (this.closed) return { done: true, value: undefined };
    const opening = this.#opened ?? (await Promise.race([this.#opening, this.#whenClosed()]));
    // Closed while `open` runs: this call ends at once, however long `open` takes.
    if (opening === undefined || this.closed) return { done: true, value: undefined };
    this.#lastAccessMs = this.#now();
    if (opening.kind === "message") {
      this.#abort.abort(closing);
      return { done: false, value: streamResponse({ case: "message", value: opening.message }) };
    }
    if (this.#first !== undefined) {
      const task = this.#first;
      this.#first = undefined;
      return { done: false, value: streamResponse({ case: "task", value: task }) };
    }
    while (!this.#ended) {
      const value = this.#fromPage();
      if (value !== undefined) return { done: false, value };
      if (this.#ended) break;
      const page = await this.#read(opening.reader);
      if (this.closed) break;
      if (this.#end !== undefined) this.#end = streamEndAfter(this.#end, page);
      this.#page = page;
      this.#place = 0;
    }
    return this.return();
  }

  /** The next page. Empty as soon as the subscription is closed, even if the storage does not answer. */
  #read(reader: TaskReader): Promise<readonly PlacedEntry[]> {
    return new Promise((resolve, reject) => {
      this.#letGo = () => resolve([]);
      reader.next(this.#abort.signal).then(resolve, reject);
    });
  }

  /** The next event of the page; undefined at its end. The page of a closed subscription is empty. */
  #fromPage(): StreamResponse | undefined {
    while (!this.#ended && this.#place < this.#page.length) {
      const value = this.#pass(this.#page[this.#place++] as PlacedEntry);
      if (value !== undefined) {
        this.#lastAccessMs = this.#now();
        return value;
      }
    }
    return undefined;
  }

  #whenClosed(): Promise<undefined> {
    return new Promise((resolve) => {
      this.#abort.signal.addEventListener("abort", () => resolve(undefined), { once: true });
    });
  }

  /** Moves the cursor over one entry. Gives what readers see of it; undefined for an internal entry. */
  #pass(entry: PlacedEntry): StreamResponse | undefined {
    this.#cursor = entry.sequence;
    this.#ended = entry.sequence === this.#end?.endsAt;
    return eventOf(entry.entry);
  }
}
