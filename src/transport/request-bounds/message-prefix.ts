/** Before each message of gRPC and of a stream: a byte of flags, and the length in four bytes. */
export const prefixBytes = 5;

/**
 * Tells from the pieces of a body, given one after the other, whether the length of its first message is beyond
 * `bytesMax`. So such a message is refused before it comes.
 */
export function tooLongPrefix(bytesMax: number): (piece: Uint8Array) => boolean {
  const prefix = Buffer.alloc(prefixBytes);
  let known = 0;
  return (piece) => {
    if (known < prefixBytes) {
      const added = piece.subarray(0, prefixBytes - known);
      prefix.set(added, known);
      known += added.byteLength;
    }
    return known === prefixBytes && prefix.readUInt32BE(1) > bytesMax;
  };
}
