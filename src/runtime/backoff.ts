/** The waits between tries: exponential, with jitter so that many waiters do not come back together. */
export interface Backoff {
  readonly firstMs: number;
  readonly mostMs: number;
}

/** The wait before try number `attempt` (1 is the first retry), in whole milliseconds. */
export function backoffMs({ firstMs, mostMs }: Backoff, attempt: number, random: () => number = Math.random): number {
  const ceiling = Math.min(mostMs, firstMs * 2 ** Math.min(attempt - 1, 30));
  // At least half, so that small random numbers do not make a busy loop.
  return Math.ceil(ceiling * (0.5 + random() / 2));
}
