import { promisify } from "node:util";
import { brotliDecompress, gunzip, inflate } from "node:zlib";
import { Code, ConnectError } from "@connectrpc/connect";
import type { Compression } from "@connectrpc/connect/protocol";
import { compressionBrotli, compressionGzip } from "@connectrpc/connect-node";
import { TaskError } from "../../domain/task-error.ts";
import { freePlainBytes, plainRatioMax } from "../calls/call-limits.ts";
import { connectErrorOf } from "../errors/errors.ts";
import { compressedTooMuch, requestTooLarge } from "./request-faults.ts";

const decoders = {
  gzip: promisify(gunzip),
  "x-gzip": promisify(gunzip),
  deflate: promisify(inflate),
  br: promisify(brotliDecompress),
};

/**
 * Decompresses a request. Throws TaskError TOO_LARGE as soon as more plain bytes come out than `plainBytesMax` allows,
 * CONTENT_TYPE_NOT_SUPPORTED for an unknown encoding, and INVALID_REQUEST for broken compression.
 */
export async function decompress(bytes: Uint8Array, encoding: string, bytesMax: number): Promise<Uint8Array> {
  if (!isKnown(encoding)) {
    throw new TaskError(
      "CONTENT_TYPE_NOT_SUPPORTED",
      `The content encoding "${encoding}" is not supported: ${Object.keys(decoders).join(", ")} or none are`,
    );
  }
  try {
    return await decoders[encoding](bytes, { maxOutputLength: plainBytesMax(bytes, bytesMax) });
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ERR_BUFFER_TOO_LARGE")
      throw tooManyPlainBytes(bytes, bytesMax);
    throw brokenCompression("body", encoding, error);
  }
}

function isKnown(encoding: string): encoding is keyof typeof decoders {
  return Object.hasOwn(decoders, encoding);
}

/** The compressions of gRPC, gRPC-Web and Connect, with requests bounded as `decompress` bounds them. */
export const connectCompressions: readonly Compression[] = [compressionGzip, compressionBrotli].map((compression) => ({
  ...compression,
  async decompress(bytes, bytesMax) {
    try {
      return await compression.decompress(bytes, plainBytesMax(bytes, bytesMax));
    } catch (error) {
      if (error instanceof ConnectError && error.code === Code.ResourceExhausted)
        throw connectErrorOf(tooManyPlainBytes(bytes, bytesMax));
      // Connect tells some of these faults as INTERNAL.
      throw connectErrorOf(brokenCompression("message", compression.name, error));
    }
  },
}));

function brokenCompression(what: string, encoding: string, cause: unknown): TaskError {
  return new TaskError("INVALID_REQUEST", `The ${what} is not valid ${encoding}`, { cause });
}

/** Decompression stops here, so a small request can't take much memory. */
function plainBytesMax({ byteLength }: Uint8Array, bytesMax: number): number {
  return Math.min(bytesMax, Math.max(freePlainBytes, byteLength * plainRatioMax));
}

function tooManyPlainBytes(bytes: Uint8Array, bytesMax: number): TaskError {
  return plainBytesMax(bytes, bytesMax) === bytesMax ? requestTooLarge() : compressedTooMuch();
}
