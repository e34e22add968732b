import { TaskError } from "../../domain/task-error.ts";
import type { AnswerRoom, RoomWait, SharedAnswer } from "../../manager/read/answer-room.ts";
import type { Clock } from "../../runtime/clock.ts";
import { ByteBudget } from "./byte-budget.ts";

/** Bounds of the answers that wait for clients. */
export interface AnswerLimits {
  /** For all answers of the process, bytes. */
  readonly processBytesMax: number;
  /** For those of one connection, bytes. */
  readonly connectionBytesMax: number;
}

export const answerLimits: AnswerLimits = {
  // Several of the largest tasks, with their encodings.
  processBytesMax: 512 * 1024 * 1024,
  // One of the largest tasks. A single larger answer passes, alone.
  connectionBytesMax: 64 * 1024 * 1024,
};

/** How long an answer waits for room: most clients take an answer sooner, and few callers wait longer. */
const waitMs = 10_000;
/** Answers that wait for room and may be refused. They hold no more than their call. */
const waitersMax = 1_000;

/** What the answers with one source hold together. */
interface Held {
  readonly shared: SharedAnswer;
  bytes: number;
  users: number;
}

interface ConnectionRoom {
  readonly budget: ByteBudget;
  /** What the connection's answers hold by source: the bytes, and how many answers share them. */
  readonly sources: Map<string, { readonly bytes: number; users: number }>;
}

interface Waiter {
  /** Ends the wait if there is room now. Else the result is the budget that is full. */
  tryAgain(): ByteBudget | undefined;
}

/**
 * The bytes of large answers, from before their tasks are loaded until the clients have them.
 *
 * Invariant: the answers with one source count once in the process, and once on each connection. An answer takes room
 * on its connection and in the process in one step, so answers never wait for each other in a circle.
 */
export class AnswerBudget {
  readonly #process: ByteBudget;
  readonly #connectionBytesMax: number;
  readonly #clock: Clock;
  readonly #held = new Map<string, Held>();
  readonly #connections = new WeakMap<object, ConnectionRoom>();
  readonly #waiters = new Set<Waiter>();

  constructor(clock: Clock, { processBytesMax, connectionBytesMax }: AnswerLimits = answerLimits) {
    this.#clock = clock;
    this.#process = new ByteBudget(processBytesMax);
    this.#connectionBytesMax = connectionBytesMax;
  }

  /** Bytes that large answers hold. */
  get held(): number {
    return this.#process.held;
  }

  get waiting(): number {
    return this.#waiters.size;
  }

  connection(key: object): ConnectionRoom {
    let room = this.#connections.get(key);
    if (room === undefined) {
      room = { budget: new ByteBudget(this.#connectionBytesMax), sources: new Map() };
      this.#connections.set(key, room);
    }
    return room;
  }

  /** Takes the bytes of a source if there is room. Else the result is the budget that is full. */
  take(connection: ConnectionRoom, source: string, bytes: number): Held | ByteBudget {
    const held = this.#held.get(source);
    const here = connection.sources.get(source);
    const full =
      (here === undefined ? connection.budget.fullFor(bytes) : undefined) ??
      (held === undefined ? this.#process.fullFor(bytes) : undefined);
    if (full !== undefined) return full;
    if (here === undefined) {
      connection.budget.take(bytes);
      connection.sources.set(source, { bytes, users: 1 });
    } else {
      here.users++;
    }
    if (held !== undefined) {
      held.users++;
      return held;
    }
    this.#process.take(bytes);
    const made = { shared: { load: undefined, views: new Map() }, bytes, users: 1 };
    this.#held.set(source, made);
    return made;
  }

  give(connection: ConnectionRoom, source: string): void {
    const here = connection.sources.get(source);
    if (here !== undefined && --here.users === 0) {
      connection.sources.delete(source);
      connection.budget.give(here.bytes);
    }
    const held = this.#held.get(source);
    if (held !== undefined && --held.users === 0) {
      this.#held.delete(source);
      this.#process.give(held.bytes);
    }
    this.#retry();
  }

  /** Counts bytes that a source holds beyond what was taken for it, such as its encoding. They are there already. */
  grow(source: string, bytes: number): void {
    const held = this.#held.get(source);
    if (held === undefined) return;
    held.bytes += bytes;
    this.#process.take(bytes);
  }

  /**
   * Waits for room. Rejects with TaskError TOO_MANY after a time, unless the call is accepted, and once the function
   * that `onEnd` gets is called. Rejects with the signal's reason too.
   */
  wait(
    connection: ConnectionRoom,
    source: string,
    bytes: number,
    full: ByteBudget,
    { signal, accepted = false }: RoomWait,
    onEnd: (end: () => void) => void,
  ) {
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (!accepted && this.#waiters.size >= waitersMax) return Promise.reject(this.#noRoom(full));
    return new Promise<Held>((resolve, reject) => {
      let last = full;
      const waiter: Waiter = {
        tryAgain: () => {
          const taken = this.take(connection, source, bytes);
          if (taken instanceof ByteBudget) {
            last = taken;
            return taken;
          }
          settle();
          resolve(taken);
          return undefined;
        },
      };
      const fail = (error: unknown) => {
        settle();
        reject(error);
        // Those behind it may fit.
        this.#retry();
      };
      const tooLong = () => fail(this.#noRoom(last));
      const onAbort = () => fail(signal?.reason);
      const cancel = accepted ? () => {} : this.#clock.after(waitMs, tooLong);
      const settle = () => {
        cancel();
        signal?.removeEventListener("abort", onAbort);
        this.#waiters.delete(waiter);
      };
      this.#waiters.add(waiter);
      signal?.addEventListener("abort", onAbort, { once: true });
      onEnd(tooLong);
    });
  }

  /** In order: who waits for the process lets nobody behind pass that waits for it too. */
  #retry(): void {
    for (const waiter of this.#waiters) if (waiter.tryAgain() === this.#process) return;
  }

  #noRoom(full: ByteBudget): TaskError {
    const [where, setting] =
      full === this.#process
        ? ["this server", "--max-answer-bytes"]
        : ["this connection", "--max-connection-answer-bytes"];
    return new TaskError(
      "TOO_MANY",
      `Answers that wait for their clients fill the ${full.bytesMax} bytes of ${where} (${setting}); try again later`,
    );
  }
}

/** The room of one HTTP exchange. It holds what it took until it is released or closed. */
export class ExchangeRoom implements AnswerRoom {
  readonly #budget: AnswerBudget;
  readonly #connection: ConnectionRoom;
  readonly #taken = new Map<string, Held>();
  #newest = "";
  #closed = false;
  #end = () => {};

  constructor(budget: AnswerBudget, connection: object) {
    this.#budget = budget;
    this.#connection = budget.connection(connection);
  }

  /** Whether an answer is under way that took room. */
  get isTaken(): boolean {
    return this.#taken.size > 0;
  }

  share(source: string, bytes: number, wait: RoomWait = {}): SharedAnswer | Promise<SharedAnswer> {
    const own = this.#taken.get(source);
    if (own !== undefined) return own.shared;
    const taken = this.#budget.take(this.#connection, source, bytes);
    if (!(taken instanceof ByteBudget)) return this.#keep(source, taken);
    return this.#budget
      .wait(this.#connection, source, bytes, taken, wait, (end) => {
        this.#end = end;
      })
      .then((held) => this.#keep(source, held));
  }

  /** Counts the bytes of an encoding that was made for this answer, and that others of its source use too. */
  grow(bytes: number): void {
    if (this.#taken.has(this.#newest)) this.#budget.grow(this.#newest, bytes);
  }

  release(): void {
    const sources = [...this.#taken.keys()];
    this.#taken.clear();
    for (const source of sources) this.#budget.give(this.#connection, source);
  }

  /** The exchange is over: it takes no more, and waits no longer. */
  close(): void {
    this.#closed = true;
    this.#end();
    this.release();
  }

  #keep(source: string, held: Held): SharedAnswer {
    // The client left meanwhile. What the call still does is seen by nobody.
    if (this.#closed) {
      this.#budget.give(this.#connection, source);
      throw new TaskError("TOO_MANY", "The client has hung up");
    }
    this.#taken.set(source, held);
    this.#newest = source;
    return held.shared;
  }
}
