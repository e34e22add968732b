/** Bounds of the SQLite engine, with the reason for each. */

/**
 * Operations in one transaction of the writer. Beyond a few hundred the cost of COMMIT is spread thin enough, and each
 * further one only makes the first wait longer for its answer.
 */
export const groupOperationsMax = 512;
/**
 * Bytes in one transaction, unless a single operation is larger: keeps the dirty pages in the cache and a commit below
 * a second.
 */
export const groupBytesMax = 16 * 1024 * 1024;
/**
 * Reads answered in one go: few enough that the first doesn't wait for long, enough that a crossing of threads costs
 * little each.
 */
export const readGroupOperationsMax = 64;
/** Bytes of answers after which the reader answers what it has. */
export const readGroupBytesMax = 1024 * 1024;
/** Operations that wait for one worker. Beyond it callers are refused, so that they learn that the disk is too slow. */
export const queueOperationsMax = 20_000;
/** Bytes that wait for one worker: the memory that the process spends while the disk stalls. */
export const queueBytesMax = 256 * 1024 * 1024;
/**
 * Arrays from this size on change threads without a copy; below, the bookkeeping of a transfer costs more than the
 * copy.
 */
export const transferBytesMin = 16 * 1024;
/** How long a connection waits for the lock of another process before the operation is refused. */
export const busyTimeoutMs = 5_000;
/**
 * Pages in the write-ahead log before it is copied into the database: 16 MiB. The default of 1,000 checkpoints several
 * times a second under load.
 */
export const walPagesMax = 4_000;
/**
 * The size at which the writer waits for the readers to be able to begin the write-ahead log anew, and which it is cut
 * back to.
 */
export const walBytesKept = 64 * 1024 * 1024;
/** Commits after which the write-ahead log's size is looked at. */
export const commitsPerWalCheck = 64;
/** The page cache of each connection. */
export const cacheBytes = 32 * 1024 * 1024;
/**
 * Free pages given back in one transaction: 2 MiB, each a page that is moved from the end of the file. A few
 * milliseconds between two groups of appends.
 */
export const pagesGivenBackMax = 512;
/**
 * Free pages that the file keeps, as a number and as a part of all its pages. New rows use them; giving them back only
 * to grow again would write every page twice.
 */
export const freePagesKept = 256;
export const freePartKept = 1 / 8;
/** Pieces of abandoned snapshots removed in one transaction at the start: 64 MiB. */
export const abandonedPiecesMax = 64;
