import type { OutgoingHttpHeaders } from "node:http";
import { constants } from "node:http2";
import { getDefaultHighWaterMark } from "node:stream";
import type { ServerLoad } from "../load/server-load.ts";
import type { CuttableAnswer, StalledAnswers } from "../load/stalled-answers.ts";

/**
 * What is used of a response, over HTTP/1.1 and HTTP/2. Node's own types overload so differently that their union can't
 * be called. Only bytes are written: Node 26.10 sends freed memory if texts are written one after the other on a stream
 * of HTTP/2.
 */
export interface HttpResponse {
  readonly headersSent: boolean;
  readonly writableEnded: boolean;
  readonly destroyed?: boolean;
  /** HTTP/2 only. There it is the stream that knows whether the client is gone. */
  readonly stream?: { readonly destroyed: boolean; close(code: number): void };
  writeHead(status: number, headers: OutgoingHttpHeaders): unknown;
  setHeader(name: string, value: string | readonly string[]): unknown;
  addTrailers(trailers: OutgoingHttpHeaders): void;
  write(chunk: Uint8Array): boolean;
  readonly end: { (): unknown; (chunk: Uint8Array): unknown };
  once(event: "drain" | "close", listener: () => void): unknown;
  on(event: "error", listener: (error: Error) => void): unknown;
  off(event: "drain" | "close", listener: () => void): unknown;
  destroy(): unknown;
}

/** Bytes that a response buffers before a write reports back-pressure, and those of one write of a large answer. */
const ownBufferBytes = getDefaultHighWaterMark(false);

/**
 * Writes the answer to one HTTP request, of any binding and either version of HTTP. It reports back-pressure, drops
 * what is written for a client that is gone, counts the bytes that wait for a client that doesn't read, and is cut if
 * that client takes none for too long.
 */
export class ResponseWriter implements CuttableAnswer {
  readonly #response: HttpResponse;
  readonly #load: Pick<ServerLoad, "answerBytes">;
  readonly #stalled: StalledAnswers;
  #waitingBytes = 0;
  #room: Promise<void> | undefined;

  /** The creator of the writer calls `release` when the response closes. */
  constructor(response: HttpResponse, load: Pick<ServerLoad, "answerBytes">, stalled: StalledAnswers) {
    this.#response = response;
    this.#load = load;
    this.#stalled = stalled;
  }

  /** Whether the head is sent: from then on an error can only go into the body. */
  get isBegun(): boolean {
    return this.#response.headersSent;
  }

  /** Whether the client is gone. */
  get isGone(): boolean {
    const { destroyed, stream } = this.#response;
    return destroyed === true || stream?.destroyed === true;
  }

  /** Whether the client has not read what was written: the next write should wait. */
  get isFull(): boolean {
    return this.#room !== undefined;
  }

  /** Sends the head. */
  begin(status: number, headers: OutgoingHttpHeaders): void {
    this.#response.writeHead(status, headers);
  }

  /**
   * Writes a part of the body. Returns undefined if more may be written at once, else a promise that resolves when the
   * client has read or is gone. It never rejects.
   */
  write(bytes: Uint8Array): Promise<void> | undefined {
    if (this.isGone) return undefined;
    if (this.#response.write(bytes)) return undefined;
    this.#count(bytes.byteLength);
    this.#room ??= this.#untilRoom();
    return this.#room;
  }

  /**
   * Writes a large part of the body as the client reads it, or until it is gone. The pieces are not copied, and others
   * may write them at the same time.
   */
  async writePieces(pieces: readonly Uint8Array[]): Promise<void> {
    for (const piece of pieces) {
      for (let start = 0; start < piece.byteLength; start += ownBufferBytes) {
        await this.write(piece.subarray(start, start + ownBufferBytes));
        if (this.isGone) return;
      }
    }
  }

  /** Ends the answer with its last bytes, if there are any, and the trailers. */
  end(bytes?: Uint8Array, trailers?: OutgoingHttpHeaders): void {
    if (trailers !== undefined) this.#response.addTrailers(trailers);
    if (!this.isGone) {
      // What was written before may wait too.
      this.#stalled.begin(this);
      if (bytes !== undefined) this.#count(bytes.byteLength);
    }
    if (bytes === undefined) this.#response.end();
    else this.#response.end(bytes);
  }

  /** Answers with a head and nothing behind it. Over HTTP/2 it is one frame, as gRPC wants it for an error. */
  endWithHead(headers: OutgoingHttpHeaders): void {
    for (const [name, value] of Object.entries(headers))
      if (value !== undefined) this.#response.setHeader(name, Array.isArray(value) ? value : String(value));
    this.#response.end();
  }

  /** Takes the waiting bytes off the count. Called when the client has read them and when the response closes. */
  release(): void {
    this.#stalled.end(this);
    this.#load.answerBytes -= this.#waitingBytes;
    this.#waitingBytes = 0;
  }

  /** Ends the answer: over HTTP/2 its stream alone, over HTTP/1.1 the connection, which nothing else could end. */
  cut(): void {
    const { stream } = this.#response;
    if (stream === undefined) this.#response.destroy();
    else stream.close(constants.NGHTTP2_CANCEL);
  }

  #count(bytes: number): void {
    this.#waitingBytes += bytes;
    this.#load.answerBytes += bytes;
  }

  #untilRoom(): Promise<void> {
    this.#stalled.begin(this);
    return new Promise((resolve) => {
      const response = this.#response;
      const done = () => {
        response.off("drain", done);
        response.off("close", done);
        this.#room = undefined;
        this.release();
        resolve();
      };
      response.once("drain", done);
      response.once("close", done);
      if (this.isGone) done();
    });
  }
}

/** Web headers as Node's: cookies stay separate lines. */
export function nodeHeaders(headers: Headers): OutgoingHttpHeaders {
  const outgoing: OutgoingHttpHeaders = {};
  for (const [name, value] of headers) outgoing[name] = name === "set-cookie" ? headers.getSetCookie() : value;
  return outgoing;
}
