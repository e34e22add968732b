/** Bounds of one request, with their reasons. */

/** Calls in one JSON-RPC batch. They run one after the other, so a larger batch gains a client nothing. */
export const batchCallsMax = 50;
/**
 * Values of one request, in JSON or protobuf. A value of two bytes takes hundreds of bytes of memory once it is parsed.
 * Names of free JSON count by their costs (`name-costs.ts`).
 */
export const requestValuesMax = 100_000;
/**
 * Plain bytes for each byte of a compressed request. Text and JSON of requests stay far below. Beyond it a few bytes
 * would make the server work on megabytes.
 */
export const plainRatioMax = 50;
/** Plain bytes that a compressed request may have at any ratio. */
export const freePlainBytes = 64 * 1024;
/**
 * One message of a client's stream, bytes. The only such calls are those of reflection, whose messages are names. They
 * are read as they come, so their values aren't counted.
 */
export const streamedMessageBytesMax = 16 * 1024;
/**
 * `Retry-After` of 429 and 503, seconds. By then a full queue has moved on, or a replica set has elected a new primary.
 */
export const retryAfterSeconds = 2;

/**
 * The largest request with a message of these bytes. JSON takes 4/3 of the bytes for binary content, and a request
 * holds more than its message. The manager measures exactly.
 */
export function requestBytesMax(eventBytesMax: number): number {
  return Math.ceil(eventBytesMax * 1.5) + 64 * 1024;
}
