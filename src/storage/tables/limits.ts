/** Bounds of the operations, with the reason for each. */

/**
 * A snapshot is stored in pieces of this size, so that no row is large, and a few pieces a transaction, so that appends
 * run in between.
 */
export const snapshotPieceBytes = 1024 * 1024;
export const snapshotCallBytes = 4 * 1024 * 1024;
/** Conversations looked at in one transaction of a cleanup. */
export const cleanupConversationsMax = 20;
/** Conversations looked at in one transaction of a look for expired ones: some milliseconds of reading. */
export const expiredConversationsMax = 256;
/**
 * Rows removed in one transaction of a sweep, and their bytes unless one row is larger: a few milliseconds between two
 * groups of appends.
 */
export const sweepRowsMax = 512;
export const sweepBytesMax = 4 * 1024 * 1024;
/**
 * Transactions of a cleanup that give space back. In SQLite 128 MiB every cleanup, in which other calls run in between:
 * a database that shrinks by much does so over several cleanups.
 */
export const giveBacksMax = 64;
/**
 * A replica that sent no heartbeat for this long and runs no task is forgotten. Far longer than any lease, so nothing
 * watches the replica by then.
 */
export const replicaKeptMs = 24 * 60 * 60 * 1000;
/**
 * How long a jump of the wall clock keeps claims from being swept. The sweep doesn't know their windows; it is longer
 * than any that makes sense.
 */
export const claimsKeptMs = 24 * 60 * 60 * 1000;
/** Messages of a page that are read before their bytes are looked at: a page is read beyond its size by fewer. */
export const messagesReadAtOnce = 16;
