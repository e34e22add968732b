import { Code, ConnectError } from "@connectrpc/connect";
import type { AnswerRoom, RoomWait, SharedAnswer } from "../../manager/read/answer-room.ts";
import type { Clock } from "../../runtime/clock.ts";
import { ByteBudget } from "./byte-budget.ts";
import { answerWaitMs, waitingAnswerBytesMax, waitingAnswersMax } from "./load-limits.ts";
import { RoomQueue } from "./room-queue.ts";

/** What the answers with one source hold together. */
interface Held {
  readonly shared: SharedAnswer;
  bytes: number;
  /** How many answers of each connection share it. */
  readonly users: Map<ByteBudget, number>;
}

/**
 * The bytes of large answers, from before their tasks are loaded until the clients have them.
 *
 * Invariant: the process holds the bytes of each source once, and so does each connection with an answer of it. So a
 * connection's budget is no part of that of the process, which would count a source for each connection. An answer
 * takes room in both in one step, so answers never wait for each other in a circle.
 */
export class AnswerBudget {
  readonly #process: ByteBudget;
  readonly #held = new Map<string, Held>();
  readonly queue: RoomQueue;

  constructor(clock: Clock, bytesMax: number) {
    this.#process = new ByteBudget(bytesMax);
    this.queue = new RoomQueue(clock, {
      waitMs: answerWaitMs,
      waitersMax: waitingAnswersMax,
      waitingBytesMax: waitingAnswerBytesMax,
      refusal: (full) => {
        const isProcess = full === this.#process;
        const where = isProcess ? "this server" : "this connection";
        const setting = isProcess ? "--max-answer-bytes" : "--max-connection-answer-bytes";
        return `Answers that wait for their clients fill the ${full.bytesMax} bytes of ${where} (${setting})`;
      },
    });
  }

  /** Bytes that large answers hold. */
  get held(): number {
    return this.#process.held;
  }

  /**
   * Takes the bytes of a source if there is room. Else the result is the budget that is full; one that is awaited
   * counts as full. What the answer shares takes nothing again.
   */
  take(connection: ByteBudget, source: string, bytes: number, awaited: ReadonlySet<ByteBudget>): Held | ByteBudget {
    const held = this.#held.get(source);
    if (held?.users.has(connection) !== true && isFull(connection, held?.bytes ?? bytes, awaited)) return connection;
    if (held === undefined && isFull(this.#process, bytes, awaited)) return this.#process;
    return this.force(connection, source, bytes);
  }

  /** Takes the bytes of a source, with room or without. */
  force(connection: ByteBudget, source: string, bytes: number): Held {
    let held = this.#held.get(source);
    if (held === undefined) {
      held = { shared: { load: undefined, views: new Map() }, bytes, users: new Map() };
      this.#held.set(source, held);
      this.#process.take(bytes);
    }
    const users = held.users.get(connection) ?? 0;
    if (users === 0) connection.take(held.bytes);
    held.users.set(connection, users + 1);
    return held;
  }

  give(connection: ByteBudget, source: string): void {
    const held = this.#held.get(source);
    const users = held?.users.get(connection);
    if (held === undefined || users === undefined) throw new Error(`Nothing is held of "${source}"`);
    if (users > 1) {
      held.users.set(connection, users - 1);
      return;
    }
    held.users.delete(connection);
    connection.give(held.bytes);
    if (held.users.size === 0) {
      this.#held.delete(source);
      this.#process.give(held.bytes);
    }
    this.queue.retry();
  }

  /**
   * Counts bytes that a source holds beyond what was taken for it, such as its encoding, for all who share it. They are
   * there already.
   */
  grow(source: string, bytes: number): void {
    const held = this.#held.get(source);
    if (held === undefined) return;
    held.bytes += bytes;
    this.#process.take(bytes);
    for (const connection of held.users.keys()) connection.take(bytes);
  }
}

function isFull(budget: ByteBudget, bytes: number, awaited: ReadonlySet<ByteBudget>): boolean {
  return awaited.has(budget) || budget.fullFor(bytes) !== undefined;
}

/** The room of one HTTP exchange. It holds what it took until it is released or closed. */
export class ExchangeRoom implements AnswerRoom {
  readonly #budget: AnswerBudget;
  readonly #connection: ByteBudget;
  readonly #signal: AbortSignal;
  readonly #taken = new Map<string, Held>();
  #newest = "";
  #closed = false;

  /** The signal ends what waits, with its reason. */
  constructor(budget: AnswerBudget, connection: ByteBudget, signal: AbortSignal) {
    this.#budget = budget;
    this.#connection = connection;
    this.#signal = signal;
  }

  /** Whether an answer is under way that took room. */
  get isTaken(): boolean {
    return this.#taken.size > 0;
  }

  /**
   * See `AnswerRoom`. Rejects with the reason of the exchange's signal as well. An exchange that holds room never waits
   * for more: another one might wait for what it holds. `existing` are bytes that exist while they wait.
   */
  share(source: string, bytes: number, wait: RoomWait = {}, existing = 0): SharedAnswer | Promise<SharedAnswer> {
    const own = this.#taken.get(source);
    if (own !== undefined) return own.shared;
    if (this.#closed) throw this.#over();
    if (this.isTaken) return this.#keep(source, this.#budget.force(this.#connection, source, bytes));
    const take = (awaited: ReadonlySet<ByteBudget>) => {
      // The answer ended while a call that it no longer needs waited.
      if (this.#closed) return undefined;
      const taken = this.#budget.take(this.#connection, source, bytes, awaited);
      if (taken instanceof ByteBudget) return taken;
      // In the same step, so that an end of the exchange gives it back.
      this.#keep(source, taken);
      return undefined;
    };
    const full = this.#budget.queue.takeNow(take);
    if (full === undefined) return this.#kept(source);
    const { signal, accepted = false } = wait;
    const ends = signal === undefined ? [this.#signal] : [this.#signal, signal];
    return this.#budget.queue.wait(take, full, { ends, accepted, existing }).then(() => this.#kept(source));
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

  /** The exchange is over: it takes no more. Its signal ends what waits. */
  close(): void {
    this.#closed = true;
    this.release();
  }

  #keep(source: string, held: Held): SharedAnswer {
    this.#taken.set(source, held);
    this.#newest = source;
    return held.shared;
  }

  /** What was taken for a source. Throws if the exchange has ended since: nobody sees what the call still does. */
  #kept(source: string): SharedAnswer {
    const held = this.#taken.get(source);
    if (held === undefined) throw this.#over();
    return held.shared;
  }

  #over(): unknown {
    return this.#signal.aborted ? this.#signal.reason : new ConnectError("The call is over", Code.Canceled);
  }
}
