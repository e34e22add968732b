/** Bounds of what the log does: retries, reads and snapshots, with the reason for each. */

/**
 * How long an append with an unknown outcome is sent again before the writer gives up: longer than a MongoDB replica
 * set needs to elect a primary.
 */
export const appendRetryMs = 120_000;
/** The same for the append that creates a task: shorter than the usual deadline of the call that waits for it. */
export const createRetryMs = 10_000;
/**
 * How long a creation may take in all: a try that began in time may need some seconds for its answer. After that the
 * outcome counts as unknown, also while a call is still open.
 */
export const createAnswerMs = 15_000;
/** The waits between those tries. */
export const appendBackoff = { firstMs: 25, mostMs: 5_000 } as const;
/** The waits before a turn runs again whose server failed in it before. */
export const againBackoff = { firstMs: 1_000, mostMs: 60_000 } as const;
/** The fewest bytes of log between two snapshots. A shorter log is cheap to fold. */
export const snapshotBytesMin = 64 * 1024;
/** The most bytes of one read of a log: a cold task needs few reads, and many readers fit in memory. */
export const readBytesMax = 1024 * 1024;
