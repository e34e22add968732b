import { Code, ConnectError } from "@connectrpc/connect";
import type { NodeRequest } from "../listener/request-handler.ts";
import { decompress } from "../request-bounds/decompress.ts";
import { requestTooLarge } from "../request-bounds/request-faults.ts";
import type { CallLoad } from "./call-hooks.ts";
import type { Exchange } from "./exchange.ts";

/** Pieces of a body that are kept before they are joined: a piece of one byte takes as much memory as one of sixty. */
const chunksMax = 1024;

/**
 * The whole body of a request, decompressed. Throws what `readBytes` and `decompress` do.
 */
export async function readBody(exchange: Exchange, bytesMax: number, signal?: AbortSignal): Promise<Uint8Array> {
  const bytes = await readBytes(exchange, bytesMax, signal);
  const encoding = String(exchange.request.headers["content-encoding"] ?? "identity").toLowerCase();
  if (encoding === "identity" || bytes.byteLength === 0) return bytes;
  return decompress(bytes, encoding, bytesMax);
}

/**
 * The whole body of a request as it was sent. Throws TaskError TOO_LARGE beyond `bytesMax` without reading on,
 * ConnectError CANCELED if the client hangs up before the end, and the signal's reason once that is aborted. The
 * listener drops what is left of the body. `isTooLong` is asked with each piece, and may refuse the body early.
 */
export async function readBytes(
  { request, hooks }: Pick<Exchange, "request" | "hooks">,
  bytesMax: number,
  signal?: AbortSignal,
  isTooLong: (piece: Uint8Array) => boolean = () => false,
): Promise<Buffer> {
  if (Number(request.headers["content-length"] ?? 0) > bytesMax) throw requestTooLarge();
  signal?.throwIfAborted();
  return allBytes(request, hooks.load, bytesMax, signal, isTooLong);
}

/** Not by iteration: an iteration that stops early destroys the request, and the connection with it. */
function allBytes(
  request: NodeRequest,
  load: CallLoad,
  bytesMax: number,
  signal: AbortSignal | undefined,
  isTooLong: (piece: Uint8Array) => boolean,
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    let chunks: Buffer[] = [];
    const joined: Buffer[] = [];
    let bytes = 0;
    const settle = (settled: () => void) => {
      request.off("data", onData).off("end", onEnd).off("close", onCut).off("error", onCut);
      signal?.removeEventListener("abort", onAbort);
      load.bodyBytes -= bytes;
      settled();
    };
    const fail = (error: unknown) => {
      request.pause();
      settle(() => reject(error));
    };
    const onData = (chunk: Buffer) => {
      bytes += chunk.byteLength;
      load.bodyBytes += chunk.byteLength;
      if (bytes > bytesMax || isTooLong(chunk)) return fail(requestTooLarge());
      chunks.push(chunk);
      if (chunks.length < chunksMax) return;
      joined.push(Buffer.concat(chunks));
      chunks = [];
    };
    const onEnd = () => settle(() => resolve(Buffer.concat([...joined, ...chunks], bytes)));
    const onCut = () => settle(() => reject(new ConnectError("The client has hung up", Code.Canceled)));
    const onAbort = () => fail(signal?.reason);
    request.on("data", onData).once("end", onEnd).once("close", onCut).once("error", onCut);
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}

/** Counts the pieces of a body that Connect reads, until the body is complete or no longer read. */
export function countedBody(body: AsyncIterable<Uint8Array>, load: CallLoad): AsyncIterable<Uint8Array> {
  return {
    [Symbol.asyncIterator]() {
      const pieces = body[Symbol.asyncIterator]();
      let bytes = 0;
      const release = () => {
        load.bodyBytes -= bytes;
        bytes = 0;
      };
      return {
        async next() {
          const piece = await pieces.next().catch((error: unknown) => {
            release();
            throw error;
          });
          if (piece.done) {
            release();
          } else {
            bytes += piece.value.byteLength;
            load.bodyBytes += piece.value.byteLength;
          }
          return piece;
        },
        async return() {
          release();
          return (await pieces.return?.()) ?? { done: true, value: undefined };
        },
      };
    },
  };
}
