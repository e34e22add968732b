/** Bounds of the MongoDB engine, with the reason for each. */

/**
 * What a task's record holds of its log. Measured: appending to a record with 4 KiB or 64 KiB costs the same, so as few
 * segments as may be.
 */
export const tailBytesMax = 64 * 1024;
/** What a batch takes in a tail or a segment beside its bytes: its id, its place, and what BSON puts around them. */
export const itemOverheadBytes = 128;
/** A piece of a batch that is too large for the tail; a single entry may be larger. */
export const pieceBytesMax = 4 * 1024 * 1024;
/** A snapshot's piece: below MongoDB's 16 MiB with room. */
export const snapshotPieceBytes = 8 * 1024 * 1024;
/**
 * Summaries and requests up to this size are in the task's record; a larger one is beside it, since every append writes
 * the record.
 */
export const inlineBytesMax = 16 * 1024;
/** Open requests of a task. Far above what a task manager lets wait, far below what a record can hold. */
export const requestsMax = 256;
/**
 * Contents under one message id whose claims are kept. Who sends more than that under one id doesn't identify messages
 * by it.
 */
export const claimsPerMessageMax = 256;
/** A settling answer up to this size is in its claim. */
export const answerInlineBytesMax = 2 * 1024;
/** Tasks whose place in the database this process remembers. About 400 bytes each. */
export const hintsMax = 20_000;
/** Tries of a call whose ground shifts under it: each try that fails means that another one got through. */
export const attemptsMax = 16;
/** How long a write waits for a majority before its outcome is unknown. */
export const majorityTimeoutMs = 10_000;
/** How long a call waits for a server that can take it, and a socket for an answer. */
export const serverSelectionMs = 5_000;
export const socketTimeoutMs = 30_000;
/**
 * How often the driver looks after each server: one that hangs without closing its sockets is left after this and a
 * connect timeout.
 */
export const heartbeatMs = 2_000;
/**
 * An open change of primary silences a tailed inbox for this long at most (measured: it is the client's server
 * selection timeout).
 */
export const inboxSelectionMs = 4_500;
/** The inbox of wake-ups: some 10,000 of them. They are hints; whoever is further behind looks at everything. */
export const inboxBytes = 4 * 1024 * 1024;
/** Tasks named in one wake-up record. */
export const wakeKeysMax = 100;
/**
 * A task that runs holds its conversation this far ahead, renewed long before; a crash leaves a hold no longer than
 * this.
 */
export const runningPinMs = 30 * 24 * 60 * 60 * 1000;
/** "For ever", where a date is needed. */
export const foreverMs = 100 * 365 * 24 * 60 * 60 * 1000;
/** The least slack of what belongs to a conversation: more than clocks of replicas differ. */
export const slackMsMin = 2 * 60 * 1000;
/** Records that one step of a job reads, changes or removes. */
export const jobStepRecords = 500;
/** Conversations that a cleanup removes in one step. */
export const cleanupStepConversations = 50;
/** How long ended tasks are collected before their records' times are brought back, a few commands for all of them. */
export const endedDelayMs = 1_000;
/** A running task's conversation is looked at with an append no more often than this. */
export const confirmMsMax = 30_000;
/**
 * A replica without a beat for this long and without a task is forgotten. Far beyond any lease, so that nobody still
 * watches it.
 */
export const replicaKeptMs = 24 * 60 * 60 * 1000;
/** How often what was left over from interrupted removals is looked for. */
export const maintenanceMs = 10 * 60 * 1000;
/** A removal that is not done after this long was interrupted. */
export const removalStaleMs = 60 * 1000;
/** How long a close waits for the calls under way. */
export const closeMs = 10_000;
