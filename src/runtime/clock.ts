/** The time, as an interface so that tests control it. */
export interface Clock {
  /**
   * The wall clock, in milliseconds since the Unix epoch. It may be set forward or back at any time, so a difference of
   * two of its times decides nothing.
   */
  now(): number;
  /** Milliseconds since some time. They never go back or jump, and stand still while the machine is suspended. */
  monotonic(): number;
  /** Calls `callback` once after `ms`. The result cancels the timer. The timer never keeps the process alive. */
  after(ms: number, callback: () => void): () => void;
}

/** For more than 2^31 - 1 ms `setTimeout` fires at once. No timer here needs more than these 24 days. */
const timeoutMsMax = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(ms, callback) {
    const timer = setTimeout(callback, Math.min(ms, timeoutMsMax));
    timer.unref();
    return () => clearTimeout(timer);
  },
};

/** Resolves after `ms`. Rejects with the signal's reason once the signal is aborted. */
export function sleep(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(signal.reason);
      return;
    }
    const cancel = clock.after(ms, () => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    });
    const onAbort = () => {
      cancel();
      reject(signal?.reason);
    };
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}
