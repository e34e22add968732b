import { transferBytesMin } from "../limits.ts";

/** Bytes in a buffer of their own size. Cloning a view clones the whole buffer that it is a window on. */
export function ownBytes(bytes: Uint8Array): Uint8Array {
  return bytes.byteLength === bytes.buffer.byteLength ? bytes : new Uint8Array(bytes);
}

/** The buffer of an array, if the array is the whole of it and large enough for a transfer to pay. */
export function transferable({ buffer, byteLength }: Uint8Array): ArrayBuffer | undefined {
  const pays = byteLength >= transferBytesMin && byteLength === buffer.byteLength && buffer instanceof ArrayBuffer;
  return pays ? buffer : undefined;
}

/** Adds the transferable buffers in a result to a set. A result is nothing but plain objects, arrays and bytes. */
export function findTransferable(value: unknown, buffers: Set<ArrayBuffer>): void {
  if (typeof value !== "object" || value === null) {
    return;
  }
  if (value instanceof Uint8Array) {
    const buffer = transferable(value);
    if (buffer !== undefined) {
      buffers.add(buffer);
    }
    return;
  }
  for (const part of Object.values(value)) {
    findTransferable(part, buffers);
  }
}
