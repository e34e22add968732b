import { type Clock, systemClock } from "./clock.ts";

/** From one reading on, the wall clock was this far ahead of the monotonic clock. */
interface Offset {
  readonly fromMs: number;
  readonly aheadMs: number;
}

/**
 * A wall clock with a memory of its jumps, which it finds by the monotonic clock. It tells the earliest time that it
 * can be, so that a clock that was set forward by mistake ends nothing.
 *
 * Something that lives for a time L is over only if it is by every offset that was in force in the last L of monotonic
 * time. So a jump is believed once L has passed: what was used since then has a time after the jump, and all else is
 * older than L by the monotonic clock too. A machine that was suspended looks like a clock that was set forward, and is
 * treated alike.
 *
 * The memory is that of this process: a clock that is wrong from the start of the process is believed.
 */
export class WallClock {
  readonly #clock: Pick<Clock, "now" | "monotonic">;
  /** Oldest first. The last one is in force. */
  readonly #offsets: Offset[] = [];
  #nowMs = 0;
  #monotonicMs = 0;

  constructor(clock: Pick<Clock, "now" | "monotonic"> = systemClock) {
    this.#clock = clock;
    this.read();
  }

  /** The present time of the wall clock. Both methods below refer to the last reading. */
  read(): number {
    this.#takeTimes();
    const aheadMs = this.#nowMs - this.#monotonicMs;
    const last = this.#offsets.at(-1);
    if (last === undefined || Math.abs(aheadMs - last.aheadMs) > steadyMs) {
      this.#offsets.push({ fromMs: this.#monotonicMs, aheadMs });
      if (this.#offsets.length > offsetsMax) this.#mergeOldest();
    }
    return this.#nowMs;
  }

  /** The earliest time that it can be for something that lives so long. Never later than the wall clock. */
  readonly earliest = (lifetimeMs: number): number => {
    let earliestMs = this.#nowMs;
    for (const { aheadMs } of this.#before(lifetimeMs)) earliestMs = Math.min(earliestMs, this.#monotonicMs + aheadMs);
    return earliestMs;
  };

  /** How far the wall clock and the monotonic clock have run apart in that time. */
  ranApartMs(withinMs: number): number {
    let [leastMs, mostMs] = [this.#nowMs, this.#nowMs];
    for (const { aheadMs } of this.#before(withinMs)) {
      leastMs = Math.min(leastMs, this.#monotonicMs + aheadMs);
      mostMs = Math.max(mostMs, this.#monotonicMs + aheadMs);
    }
    return mostMs - leastMs;
  }

  /** Earlier offsets that were in force within the last `withinMs`. Each was in force until the next one was found. */
  #before(withinMs: number): readonly Offset[] {
    const offsets = this.#offsets;
    let first = offsets.length - 1;
    while (first > 0 && (offsets[first] as Offset).fromMs > this.#monotonicMs - withinMs) first -= 1;
    return first === offsets.length - 1 ? none : offsets.slice(first, -1);
  }

  /** Takes both times at one moment: a thread that is interrupted between the two would see a jump. */
  #takeTimes(): void {
    for (let attempt = 1; attempt <= readingsMax; attempt++) {
      const beforeMs = this.#clock.monotonic();
      this.#nowMs = this.#clock.now();
      this.#monotonicMs = this.#clock.monotonic();
      if (this.#monotonicMs - beforeMs < steadyMs / 2) return;
    }
  }

  /** The lower of the two oldest offsets stands for both, for as long as both: that errs on the side of the earlier. */
  #mergeOldest(): void {
    const [oldest, next] = this.#offsets as [Offset, Offset];
    this.#offsets.splice(0, 2, { fromMs: oldest.fromMs, aheadMs: Math.min(oldest.aheadMs, next.aheadMs) });
  }
}

const none: readonly Offset[] = [];
/** A change below this is no jump: that much a clock is corrected by, bit by bit. */
const steadyMs = 100;
/** Jumps that are remembered one by one. A clock that jumps more often is believed late. */
const offsetsMax = 64;
/** Each further reading means that the thread was interrupted for long within a few instructions. */
const readingsMax = 3;
