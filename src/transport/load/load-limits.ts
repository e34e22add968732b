/** What clients may make the server hold at once, with the reasons. */

/** The bounds that an operator sets, bytes. */
export interface LoadLimits {
  /** Bytes of request bodies that are being read, in the process. */
  readonly readingBytesMax: number;
  /** Bytes of request bodies that are being read, on one connection. */
  readonly connectionReadingBytesMax: number;
  /** Bytes of large answers that wait for clients, in the process. */
  readonly answerBytesMax: number;
  /** Bytes of large answers that wait for clients, on one connection. */
  readonly connectionAnswerBytesMax: number;
}

export const loadDefaults: LoadLimits = {
  /** Half of a small server's memory. Every request of 6 MB that is being read on 80 connections fits. */
  readingBytesMax: 512 * 1024 * 1024,
  /** Ten requests of the largest size at once. */
  connectionReadingBytesMax: 64 * 1024 * 1024,
  /** Several of the largest tasks, with their encodings. */
  answerBytesMax: 512 * 1024 * 1024,
  /** One of the largest tasks. A single larger answer passes, alone. */
  connectionAnswerBytesMax: 64 * 1024 * 1024,
};

/**
 * The largest part of an answer that is written at once, bytes: as much as a response buffers before a write reports
 * back-pressure. An encoding with more takes room before it is written.
 */
export const partBytesMax = 64 * 1024;
/**
 * Of the bounds for large answers, the share that the written and untaken parts of all answers may have on top. They
 * have a bound of their own, so that a client that reads a large answer slowly still gets small ones.
 */
export const unreadShare = 1 / 2;

/** How long an answer waits for room: most clients take an answer sooner, and few callers wait longer. */
export const answerWaitMs = 10_000;
/** Answers that wait for room. Most hold no more than their call. */
export const waitingAnswersMax = 1_000;
/** Bytes of finished answers that wait for room, and that exist meanwhile: as one of the largest tasks has. */
export const waitingAnswerBytesMax = 64 * 1024 * 1024;

/** How long a part waits until clients have taken others: longer than it takes to cut those who take nothing. */
export const partWaitMs = 30_000;
/** Parts that wait to be written. Each holds at most `partBytesMax`. */
export const waitingPartsMax = 2_000;

/**
 * A client that takes nothing for this time while bytes wait for it is cut: longer than any pause of a network that
 * heals, and much longer than a reader needs for `partBytesMax`.
 */
export const stallMs = 60_000;
/** The same while others wait for the room that such clients hold. Ordinary pauses of a network are shorter. */
export const pressedStallMs = 10_000;
/** How often it is looked. An answer is cut up to this much later. */
export const stallRoundMs = 10_000;

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
