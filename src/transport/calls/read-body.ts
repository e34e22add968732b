import { Code, ConnectError } from "@connectrpc/connect";
import { connectErrorOf } from "../errors/errors.ts";
import type { NodeRequest } from "../listener/request-handler.ts";
import { decompress } from "../request-bounds/decompress.ts";
import { PieceCount } from "../request-bounds/piece-count.ts";
import { requestTooLarge, tooManyPieces } from "../request-bounds/request-faults.ts";
import type { Exchange } from "./exchange.ts";

/** Pieces of a body that are kept before they are joined: a piece of one byte takes as much memory as one of sixty. */
const chunksMax = 1024;

/** The body of a request without its compression. Throws what `decompress` does. */
export async function plainBody({ headers }: NodeRequest, bytes: Uint8Array, bytesMax: number): Promise<Uint8Array> {
  const encoding = String(headers["content-encoding"] ?? "identity").toLowerCase();
  if (encoding === "identity" || bytes.byteLength === 0) return bytes;
  return decompress(bytes, encoding, bytesMax);
}

/**
 * The whole body of a request as it was sent. It counts among those that are being read until the exchange drops it.
 * Throws TaskError TOO_LARGE beyond `bytesMax` and for too many small pieces, without reading on, TaskError TOO_MANY if
 * there is no room for it, ConnectError CANCELED if the client hangs up before the end, and the signal's reason once
 * that is aborted. The listener drops what is left of the body. `isTooLong` is asked with each piece, and may refuse
 * the body early.
 */
export async function readBytes(
  exchange: Exchange,
  bytesMax: number,
  signal?: AbortSignal,
  isTooLong: (piece: Uint8Array) => boolean = () => false,
): Promise<Buffer> {
  if (Number(exchange.request.headers["content-length"] ?? 0) > bytesMax) throw requestTooLarge();
  signal?.throwIfAborted();
  // Its events are over: nothing would end the wait for them.
  if (exchange.response.isGone) throw hungUp();
  return allBytes(exchange, bytesMax, signal, isTooLong);
}

/** Not by iteration: an iteration that stops early destroys the request, and the connection with it. */
function allBytes(
  exchange: Exchange,
  bytesMax: number,
  signal: AbortSignal | undefined,
  isTooLong: (piece: Uint8Array) => boolean,
): Promise<Buffer> {
  const { request } = exchange;
  return new Promise((resolve, reject) => {
    let chunks: Buffer[] = [];
    const joined: Buffer[] = [];
    let bytes = 0;
    const pieces = new PieceCount();
    const settle = () => {
      request.off("data", onData).off("end", onEnd).off("close", onCut).off("error", onCut);
      signal?.removeEventListener("abort", onAbort);
    };
    const fail = (error: unknown) => {
      settle();
      request.pause();
      body.close();
      reject(error);
    };
    const onData = (chunk: Buffer) => {
      bytes += chunk.byteLength;
      if (bytes > bytesMax || isTooLong(chunk)) return fail(requestTooLarge());
      if (pieces.add(chunk.byteLength)) return fail(tooManyPieces());
      if (!body.take(chunk.byteLength)) return;
      chunks.push(chunk);
      if (chunks.length < chunksMax) return;
      joined.push(Buffer.concat(chunks));
      chunks = [];
    };
    const onEnd = () => {
      settle();
      body.complete();
      resolve(Buffer.concat([...joined, ...chunks], bytes));
    };
    const onCut = () => fail(hungUp());
    const onAbort = () => fail(signal?.reason);
    const body = exchange.openBody(fail);
    request.on("data", onData).once("end", onEnd).once("close", onCut).once("error", onCut);
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}

function hungUp(): ConnectError {
  return new ConnectError("The client has hung up", Code.Canceled);
}

/**
 * The pieces of a body that Connect reads, with those that are kept counted as `readBytes` counts them. A whole message
 * is kept to its end; of a client's stream only the newest piece is. Reading throws ConnectError RESOURCE_EXHAUSTED if
 * there is no room for the body.
 */
export function countedBody(
  pieces: AsyncIterator<Uint8Array>,
  exchange: Exchange,
  isWhole: boolean,
): AsyncIterable<Uint8Array> {
  let refusal: ConnectError | undefined;
  /** Ends the wait for a piece. */
  let cut = (_: ConnectError) => {};
  const open = () =>
    exchange.openBody((error) => {
      refusal = connectErrorOf(error);
      cut(refusal);
    });
  let body = open();
  const count = new PieceCount();
  const iterator: AsyncIterator<Uint8Array> = {
    async next() {
      if (!isWhole) {
        body.close();
        body = open();
      }
      try {
        const piece = await new Promise<IteratorResult<Uint8Array>>((resolve, reject) => {
          cut = reject;
          pieces.next().then(resolve, reject);
        });
        if (piece.done) body.complete();
        else if (count.add(piece.value.byteLength)) throw connectErrorOf(tooManyPieces());
        else body.take(piece.value.byteLength);
        if (refusal !== undefined) throw refusal;
        return piece;
      } catch (error) {
        body.close();
        throw error;
      }
    },
    async return() {
      body.close();
      return (await pieces.return?.()) ?? { done: true, value: undefined };
    },
  };
  return { [Symbol.asyncIterator]: () => iterator };
}
