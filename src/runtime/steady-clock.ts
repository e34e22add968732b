import type { Clock } from "./clock.ts";

/**
 * A clock for time stamps that are compared with each other. When the wall clock is set back by up to an hour, `now`
 * doesn't follow: it goes on at half its speed until the wall clock has caught up. So what happens later gets a later
 * time. After a larger correction no stamp from before can be trusted, and `now` follows at once.
 */
export function steadyClock(clock: Clock): Clock {
  return new SteadyClock(clock);
}

/** A class, since fields hold changing numbers without an object for each, as the variables of a closure don't. */
class SteadyClock implements Clock {
  readonly #clock: Clock;
  #lastMs = Number.NEGATIVE_INFINITY;
  #lastMonotonicMs = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  now(): number {
    const nowMs = this.#clock.now();
    const monotonicMs = this.#clock.monotonic();
    const slowMs = this.#lastMs + (monotonicMs - this.#lastMonotonicMs) / 2;
    this.#lastMs = nowMs >= slowMs || this.#lastMs - nowMs > setBackMsMax ? nowMs : slowMs;
    this.#lastMonotonicMs = monotonicMs;
    return Math.floor(this.#lastMs);
  }

  monotonic(): number {
    return this.#clock.monotonic();
  }

  after(ms: number, callback: () => void): () => void {
    return this.#clock.after(ms, callback);
  }
}

/** A wrong change between summer and winter time. Nothing legitimate sets a clock back by more. */
const setBackMsMax = 60 * 60 * 1000;
