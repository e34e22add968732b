import { createHash } from "node:crypto";

/**
 * A key for databases: SHA-256 over length-prefixed parts. A key always has 32 bytes, so no collation, index limit or
 * trailing space makes two ids equal. Equal parts give equal keys, and different parts different ones.
 */
export function hashKey(...parts: readonly string[]): Uint8Array {
  const hash = createHash("sha256");
  for (const part of parts) {
    hash.update(`${Buffer.byteLength(part)}:`);
    hash.update(part);
  }
  return hash.digest();
}
