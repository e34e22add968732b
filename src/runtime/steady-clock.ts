import type { Clock } from "./clock.ts";

/**
 * A clock for time stamps that are compared with each other. When the wall clock is set back by up to an hour, `now`
 * doesn't follow: it goes on at half its speed until the wall clock has caught up. So what happens later gets a later
 * time. After a larger correction no stamp from before can be trusted, and `now` follows at once.
 */
export function steadyClock(clock: Clock): Clock {
  let lastMs = Number.NEGATIVE_INFINITY;
  let lastMonotonicMs = 0;
  return {
    monotonic: () => clock.monotonic(),
    after: (ms, callback) => clock.after(ms, callback),
    now() {
      const nowMs = clock.now();
      const monotonicMs = clock.monotonic();
      const slowMs = lastMs + (monotonicMs - lastMonotonicMs) / 2;
      lastMs = nowMs >= slowMs || lastMs - nowMs > setBackMsMax ? nowMs : slowMs;
      lastMonotonicMs = monotonicMs;
      return Math.floor(lastMs);
    },
  };
}

/** A wrong change between summer and winter time. Nothing legitimate sets a clock back by more. */
const setBackMsMax = 60 * 60 * 1000;
