import { createHash } from "node:crypto";

/**
 * What makes two sends the same message: SHA-256 of its encoding, hexadecimal. protobuf-es writes fields in the order of their numbers, so the same message
 * from the same client gives the same bytes, over any binding; members of JSON objects keep the order the client gave them.
 */
export function contentHash(encodedMessage: Uint8Array): string {
  return createHash("sha256").update(encodedMessage).digest("hex");
}
