/** Bounds of one request over the JSON bindings, with their reasons. */

/** Calls in one JSON-RPC batch. They run one after the other, so a larger batch gains a client nothing. */
export const batchCallsMax = 50;
/**
 * `Retry-After` of 429 and 503, seconds. By then a full queue has moved on, or a replica set has elected a new primary.
 */
export const retryAfterSeconds = 2;
