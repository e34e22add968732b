import { promisify } from "node:util";
import { brotliDecompress, gunzip, inflate } from "node:zlib";
import { Code, ConnectError } from "@connectrpc/connect";
import { TaskError } from "../domain/task-error.ts";
import type { Request } from "./request-handler.ts";

const decoders = { gzip: promisify(gunzip), "x-gzip": promisify(gunzip), deflate: promisify(inflate), br: promisify(brotliDecompress) };

/**
 * The whole body of a request, decompressed. Throws TaskError TOO_LARGE beyond `bytesMax`, without reading on, CONTENT_TYPE_NOT_SUPPORTED for an unknown encoding,
 * INVALID_REQUEST for broken compression, and ConnectError CANCELED if the client hangs up before its end. What is left of a body is the port's to drop.
 */
export async function readBody(request: Request, bytesMax: number): Promise<Uint8Array> {
  if (Number(request.headers["content-length"] ?? 0) > bytesMax) throw tooLarge();
  const bytes = await allBytes(request, bytesMax);
  const encoding = String(request.headers["content-encoding"] ?? "identity").toLowerCase();
  if (encoding === "identity" || bytes.byteLength === 0) return bytes;
  if (!isKnown(encoding)) {
    throw new TaskError("CONTENT_TYPE_NOT_SUPPORTED", `The content encoding "${encoding}" is not supported: ${Object.keys(decoders).join(", ")} or none are`);
  }
  try {
    return await decoders[encoding](bytes, { maxOutputLength: bytesMax });
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ERR_BUFFER_TOO_LARGE") throw tooLarge();
    throw new TaskError("INVALID_REQUEST", `The body is not valid ${encoding}`, { cause: error });
  }
}

function isKnown(encoding: string): encoding is keyof typeof decoders {
  return Object.hasOwn(decoders, encoding);
}

function tooLarge(): TaskError {
  return new TaskError("TOO_LARGE", "The request is larger than requests may be");
}

/** Not by iteration, which would destroy the request, and the connection with it, when it stops early. */
function allBytes(request: Request, bytesMax: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const settle = (settled: () => void) => {
      request.off("data", onData).off("end", onEnd).off("close", onCut).off("error", onCut);
      settled();
    };
    const onData = (chunk: Buffer) => {
      bytes += chunk.byteLength;
      if (bytes > bytesMax) {
        request.pause();
        settle(() => reject(tooLarge()));
      } else chunks.push(chunk);
    };
    const onEnd = () => settle(() => resolve(Buffer.concat(chunks, bytes)));
    const onCut = () => settle(() => reject(new ConnectError("The client has hung up", Code.Canceled)));
    request.on("data", onData).once("end", onEnd).once("close", onCut).once("error", onCut);
  });
}
