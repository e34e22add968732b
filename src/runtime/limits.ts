/** Bounds of waits and queues, with the reason for each. Sizes of what a task may hold are in `domain/limits.ts`. */

/**
 * How long an append whose outcome is open is sent again before its turn is given up: longer than a replica set needs
 * to elect a primary.
 */
export const appendRetryMs = 120_000;
/** How long a client waits for its new task in that case: below the usual deadline of a call. */
export const createRetryMs = 10_000;
/** The waits between those tries. */
export const appendBackoff = { firstMs: 25, mostMs: 5_000 } as const;
/** The log since the last snapshot, at least, before another one is due (DESIGN 3). */
export const snapshotBytesMin = 64 * 1024;
/** One read of a log: large enough that a cold task needs few, small enough that many readers at once fit in memory. */
export const readBytesMax = 1024 * 1024;
/** What a running task keeps in memory for its readers. One that falls behind it reads from the log. */
export const feedEntriesMax = 1024;
export const feedBytesMax = 1024 * 1024;
/** `answerMessage` has this long (api.d.ts). */
export const answerMessageMs = 10_000;
