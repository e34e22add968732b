/** Bounds of what one request over the JSON bindings may ask for, with the reason for each. */

/**
 * Calls in one JSON-RPC batch: they are carried out one after the other, so that a client gains nothing by more, and
 * holds one connection for all of them.
 */
export const batchCallsMax = 50;
/**
 * When a client may come back after it was told that there is too much to do or nothing to do it with, seconds: a queue
 * has moved on, a replica set has a new primary.
 */
export const retryAfterSeconds = 2;
