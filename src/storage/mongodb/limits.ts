/** Bounds of the MongoDB engine, with the reason for each. */

/**
 * The bytes of log in a task's record. Appending to a record with 4 KiB or 64 KiB costs the same (measured), so the
 * bound is high and segments are few.
 */
export const tailBytesMax = 64 * 1024;
/** The size of a batch in a tail or a segment beside its bytes: its id, its sequences and the BSON around them. */
export const itemOverheadBytes = 128;
/** A piece of a batch that is too large for the tail. A single entry may be larger. */
export const pieceBytesMax = 4 * 1024 * 1024;
/** A piece of a snapshot, well below MongoDB's 16 MiB for a document. */
export const snapshotPieceBytes = 8 * 1024 * 1024;
/**
 * Summaries and commands up to this size are in the task's record. A larger one is in a record of its own, because
 * every append rewrites the task's record.
 */
export const inlineBytesMax = 16 * 1024;
/** Open commands of a task: far more than a task manager queues, far fewer than a record can contain. */
export const commandsMax = 256;
/**
 * Claims of different contents that are kept under one message id. A client that sends more does not use the id to
 * identify messages.
 */
export const claimsPerMessageMax = 256;
/** An answer up to this size is in its claim. */
export const answerInlineBytesMax = 2 * 1024;
/** Tasks of which this process remembers the head and the tail. About 400 bytes each. */
export const hintsMax = 20_000;
/** Tries of an operation that conflicts with others. Each failed try means that another operation succeeded. */
export const attemptsMax = 16;
/** How long a write waits for a majority before its outcome is unknown. */
export const majorityTimeoutMs = 10_000;
/** How long a call waits for a usable server, and for an answer on a socket. */
export const serverSelectionMs = 5_000;
export const socketTimeoutMs = 30_000;
/**
 * How often the driver checks each server. A server that hangs without closing its sockets is abandoned after this time
 * and a connect timeout.
 */
export const heartbeatMs = 2_000;
/**
 * The longest time that a tailed inbox is silent during a change of primary. It is the client's server selection
 * timeout (measured).
 */
export const inboxSelectionMs = 4_500;
/**
 * The size of the wake-up collection: some 10,000 wake-ups. A replica that falls further behind checks all its
 * tasks.
 */
export const inboxBytes = 4 * 1024 * 1024;
/** Tasks named in one wake-up record. */
export const wakeKeysMax = 100;
/**
 * A running task pins its conversation for this long, renewed well before. A crash leaves a pin for no longer than
 * this.
 */
export const runningPinMs = 30 * 24 * 60 * 60 * 1000;
/** "Never", where a date is needed. */
export const foreverMs = 100 * 365 * 24 * 60 * 60 * 1000;
/** The smallest slack of a record: more than the clocks of replicas differ. */
export const slackMsMin = 2 * 60 * 1000;
/** Records that one step of a job reads, changes or removes. */
export const jobStepRecords = 500;
/** Conversations that a cleanup removes in one step. */
export const cleanupStepConversations = 50;
/**
 * Ended tasks are collected for this long before the expiry of their records is lowered by a few commands for all of
 * them.
 */
export const endedDelayMs = 1_000;
/** The shortest time between two checks of a running task's conversation by its appends. */
export const confirmMsMax = 30_000;
/**
 * A replica without a heartbeat for this long and without a task is forgotten. It is far longer than any lease, so no
 * other replica still watches it.
 */
export const replicaKeptMs = 24 * 60 * 60 * 1000;
/** How often interrupted removals are looked for. */
export const maintenanceMs = 10 * 60 * 1000;
/** A removal that is not done after this time was interrupted. */
export const removalStaleMs = 60 * 1000;
/** How long closing waits for calls under way. */
export const closeMs = 10_000;
/** Messages of a page that are read before their bytes are looked at: a page is read beyond its size by fewer. */
export const messagesReadAtOnce = 16;
