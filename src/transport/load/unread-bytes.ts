import type { Clock } from "../../runtime/clock.ts";
import { ByteBudget } from "./byte-budget.ts";
import { partBytesMax, partWaitMs, waitingPartsMax } from "./load-limits.ts";
import { RoomQueue } from "./room-queue.ts";

/**
 * The written bytes of all answers that clients have not taken yet. Each part is written only while there is room for
 * one: a client that doesn't read holds what was written before, and one part.
 */
export class UnreadBytes {
  readonly #budget: ByteBudget;
  readonly #connectionBytesMax: number;
  readonly #queue: RoomQueue;

  constructor(clock: Clock, bytesMax: number, connectionBytesMax: number) {
    this.#budget = new ByteBudget(bytesMax);
    this.#connectionBytesMax = connectionBytesMax;
    this.#queue = new RoomQueue(clock, {
      waitMs: partWaitMs,
      waitersMax: waitingPartsMax,
      waitingBytesMax: waitingPartsMax * partBytesMax,
      refusal: ({ bytesMax }) => `Answers that their clients don't read fill the ${bytesMax} bytes that they may have`,
    });
  }

  /** Bytes that clients have not taken. */
  get held(): number {
    return this.#budget.held;
  }

  /** Parts that wait to be written. */
  get waiting(): number {
    return this.#queue.size;
  }

  connection(): ConnectionUnread {
    return new ConnectionUnread(new ByteBudget(this.#connectionBytesMax, this.#budget), this.#queue);
  }
}

/** Those of one connection. */
export class ConnectionUnread {
  readonly #budget: ByteBudget;
  readonly #queue: RoomQueue;

  constructor(budget: ByteBudget, queue: RoomQueue) {
    this.#budget = budget;
    this.#queue = queue;
  }

  /** Counts bytes that are written now. */
  take(bytes: number): void {
    this.#budget.take(bytes);
  }

  give(bytes: number): void {
    this.#budget.give(bytes);
    this.#queue.retry();
  }

  /**
   * Undefined if a part may be written at once. Else it takes `partBytesMax` when there is room, which the caller gives
   * back once the part is written. Rejects with TaskError TOO_MANY after a time, and with the signal's reason.
   */
  partRoom(signal: AbortSignal): Promise<void> | undefined {
    if (this.#queue.size === 0 && this.#budget.fullFor(1) === undefined) return undefined;
    const fullFor = (awaited: ReadonlySet<ByteBudget>) => this.#budget.awaitedIn(awaited) ?? this.#budget.fullFor(1);
    const full = this.#queue.takeNow(fullFor);
    if (full === undefined) return undefined;
    const take = (awaited: ReadonlySet<ByteBudget>) => {
      const stillFull = fullFor(awaited);
      if (stillFull === undefined) this.#budget.take(partBytesMax);
      return stillFull;
    };
    return this.#queue.wait(take, full, { ends: [signal] });
  }
}
