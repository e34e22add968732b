/** What clients may make the server hold at once, with the reasons. */

/** The bounds that an operator sets, bytes. */
export interface LoadLimits {
  /** Bytes of request bodies that are being read, in the process. */
  readonly readingBytesMax: number;
  /** Bytes of request bodies that are being read, on one connection. */
  readonly connectionReadingBytesMax: number;
}

export const loadDefaults: LoadLimits = {
  /** Half of a small server's memory. Every request of 6 MB that is being read on 80 connections fits. */
  readingBytesMax: 512 * 1024 * 1024,
  /** Ten requests of the largest size at once. */
  connectionReadingBytesMax: 64 * 1024 * 1024,
};

/**
 * Calls that compute or wait for the storage, at once. Beyond a few hundred a database only queues them, and here their
 * requests take memory.
 */
export const workingCallsMax = 1_000;
/** The same on one connection, so that ten clients can't keep all others waiting. */
export const connectionWorkingCallsMax = 100;
/** Calls that wait to work, on one connection: as many as HTTP/2 has streams there. */
export const connectionWaitingCallsMax = 10_000;
/** Calls that wait to work, in the process. Their requests are bounded in bytes as well; this bounds the rest. */
export const waitingCallsMax = 20_000;
