/**
 * Bounds of what an error says, in bytes of UTF-8. gRPC tells it in headers, the text twice and escaped, and its
 * clients in C and Java take no more than 8 KiB of them in all: a larger status is lost to them. Node's HTTP/2 resets
 * the stream, or ends the whole connection, for one beyond 64 KiB. What clients sent stands in errors, however long.
 */
export const errorTextBytesMax = 768;
/** Of one value in the metadata of ErrorInfo. */
export const errorMetadataBytesMax = 512;
/**
 * Of all violations in BadRequest together: the twenty that there are at most, as long as their fields aren't named by
 * something huge.
 */
export const errorViolationsBytesMax = 2048;
