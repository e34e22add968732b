import { createHash } from "node:crypto";

/**
 * The key of something that a client named, for databases: SHA-256 over the length-prefixed parts. 32 bytes whatever
 * the ids hold, so no collation, index limit or trailing space can make two ids one. Equal parts give equal keys, and
 * nothing else does.
 */
export function hashKey(...parts: readonly string[]): Uint8Array {
  const hash = createHash("sha256");
  for (const part of parts) {
    hash.update(`${Buffer.byteLength(part)}:`);
    hash.update(part);
  }
  return hash.digest();
}
