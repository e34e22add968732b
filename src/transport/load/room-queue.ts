import { TaskError } from "../../domain/task-error.ts";
import type { Clock } from "../../runtime/clock.ts";
import type { ByteBudget } from "./byte-budget.ts";

/**
 * Takes what is needed if there is room, and returns undefined. Else returns the budget that is full. A budget that
 * others wait for already counts as full.
 */
export type Take = (awaited: ReadonlySet<ByteBudget>) => ByteBudget | undefined;

/** What a queue lets its waiters wait for, and how long. */
export interface QueueRules {
  readonly waitMs: number;
  readonly waitersMax: number;
  /** The bytes that may exist while they wait, of all waiters. */
  readonly waitingBytesMax: number;
  /** The text for those who get no room in this budget. */
  refusal(full: ByteBudget): string;
}

/** How somebody waits in a queue. */
export interface QueuedWait {
  /** Each of them ends the wait. */
  readonly ends: readonly AbortSignal[];
  /** The call has taken effect, so no refusal may end its wait: see `RoomWait`. Default false. */
  readonly accepted?: boolean;
  /** Bytes that exist while they wait. Default 0. */
  readonly existing?: number;
}

interface Waiter {
  readonly take: Take;
  /** The budget that has no room for it. */
  full: ByteBudget;
  granted(): void;
}

const none: ReadonlySet<ByteBudget> = new Set();

/**
 * Those who wait for room in budgets, first come, first served: nobody takes room in a budget that one who came earlier
 * waits for. Who waits for the budget of one connection keeps nobody of another connection waiting.
 *
 * Invariant: nobody waits who holds room that another one waits for, so what is held is given back at some time.
 */
export class RoomQueue {
  readonly #clock: Clock;
  readonly #rules: QueueRules;
  /** In the order in which they came. */
  readonly #waiters = new Set<Waiter>();
  #waitingBytes = 0;

  constructor(clock: Clock, rules: QueueRules) {
    this.#clock = clock;
    this.#rules = rules;
  }

  /** Those who wait. */
  get size(): number {
    return this.#waiters.size;
  }

  /** Takes at once what there is room for, and what nobody waits for. Else the result is the budget that is full. */
  takeNow(take: Take): ByteBudget | undefined {
    return take(this.#waiters.size === 0 ? none : new Set([...this.#waiters].map(({ full }) => full)));
  }

  /**
   * Waits until `take` has taken. Rejects with the reason of the first signal that ends the wait. Rejects with
   * TaskError TOO_MANY after a time or if too many wait, unless the call is accepted.
   */
  wait(take: Take, full: ByteBudget, { ends, accepted = false, existing = 0 }: QueuedWait): Promise<void> {
    const { waitMs, waitersMax, waitingBytesMax } = this.#rules;
    const ended = ends.find(({ aborted }) => aborted);
    if (ended !== undefined) return Promise.reject(ended.reason);
    if (!accepted && (this.#waiters.size >= waitersMax || this.#waitingBytes + existing > waitingBytesMax))
      return Promise.reject(this.#noRoom(full));
    return new Promise((resolve, reject) => {
      const settle = () => {
        cancel();
        for (const signal of ends) signal.removeEventListener("abort", onAbort);
        this.#waiters.delete(waiter);
        this.#waitingBytes -= existing;
      };
      const waiter: Waiter = {
        take,
        full,
        granted: () => {
          settle();
          resolve();
        },
      };
      const fail = (error: unknown) => {
        settle();
        reject(error);
        // Those behind it may fit.
        this.retry();
      };
      const onAbort = () => fail(ends.find(({ aborted }) => aborted)?.reason);
      const cancel = accepted ? () => {} : this.#clock.after(waitMs, () => fail(this.#noRoom(waiter.full)));
      for (const signal of ends) signal.addEventListener("abort", onAbort, { once: true });
      this.#waiters.add(waiter);
      this.#waitingBytes += existing;
    });
  }

  /** Something was given back. */
  retry(): void {
    if (this.#waiters.size === 0) return;
    const awaited = new Set<ByteBudget>();
    for (const waiter of this.#waiters) {
      const full = waiter.take(awaited);
      if (full === undefined) {
        waiter.granted();
      } else {
        waiter.full = full;
        awaited.add(full);
      }
    }
  }

  #noRoom(full: ByteBudget): TaskError {
    return new TaskError("TOO_MANY", `${this.#rules.refusal(full)}; try again later`);
  }
}
