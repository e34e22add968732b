/**
 * Bounds of what an error says, in bytes of UTF-8: errors quote what clients sent, of any length. gRPC sends an error in
 * headers, with its text twice and escaped. gRPC's clients in C and Java accept at most 8 KiB of headers and lose a
 * larger status. Node's HTTP/2 resets the stream or ends the connection beyond 64 KiB.
 */
export const errorTextBytesMax = 768;
/** Of one value in the metadata of ErrorInfo. */
export const errorMetadataBytesMax = 512;
/** Of all violations in BadRequest together. The at most twenty violations fit unless their fields have huge names. */
export const errorViolationsBytesMax = 2048;
