import type { OutgoingHttpHeaders } from "node:http";
import { constants } from "node:http2";
import { partBytesMax } from "../load/load-limits.ts";
import type { CuttableAnswer, StalledAnswers } from "../load/stalled-answers.ts";
import type { ConnectionUnread } from "../load/unread-bytes.ts";

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
  /** `taken` is called once the network has the chunk, or the response is lost. */
  write(chunk: Uint8Array, taken: () => void): boolean;
  readonly end: { (): unknown; (chunk: Uint8Array): unknown };
  once(event: "drain" | "close", listener: () => void): unknown;
  on(event: "error", listener: (error: Error) => void): unknown;
  off(event: "drain" | "close", listener: () => void): unknown;
  destroy(): unknown;
}

/**
 * Writes the answer to one HTTP request, of any binding and either version of HTTP. It reports back-pressure, drops
 * what is written for a client that is gone, counts the bytes that the client has not taken, and is cut if that client
 * takes none for too long.
 *
 * Invariant: `#waitingBytes` is what was counted here and not yet given back to the connection's unread bytes. It is 0
 * once the client has taken all, and once the response is closed.
 */
export class ResponseWriter implements CuttableAnswer {
  readonly #response: HttpResponse;
  readonly #unread: ConnectionUnread;
  readonly #stalled: StalledAnswers;
  /** The bytes of the body that were written, as far as the client was there. */
  bodyBytes = 0;
  #waitingBytes = 0;
  #room: Promise<void> | undefined;
  #allTaken: PromiseWithResolvers<void> | undefined;

  /** The creator of the writer calls `release` when the response closes. */
  constructor(response: HttpResponse, unread: ConnectionUnread, stalled: StalledAnswers) {
    this.#response = response;
    this.#unread = unread;
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
   * Calls `write` with an answer or an event once there is room for a part among the unread bytes. Rejects with
   * TaskError TOO_MANY if there is none for too long, and with the signal's reason.
   */
  inRoom<T>(message: T, write: (message: T) => Promise<void> | void, signal: AbortSignal): Promise<void> | void {
    const room = this.#unread.partRoom(signal);
    return room === undefined ? write(message) : this.#afterRoom(room, message, write);
  }

  async #afterRoom<T>(room: Promise<void>, message: T, write: (message: T) => Promise<void> | void): Promise<void> {
    await room;
    let written: Promise<void> | void;
    try {
      written = write(message);
    } finally {
      this.#unread.give(partBytesMax);
    }
    await written;
  }

  /**
   * Writes a part of the body. Returns undefined if more may be written at once, else a promise that resolves when the
   * client has read or is gone. It never rejects. The bytes may be counted already, by `count`.
   */
  write(bytes: Uint8Array, isCounted = false): Promise<void> | undefined {
    if (this.isGone) return undefined;
    if (!isCounted) this.count(bytes.byteLength);
    if (this.#response.write(bytes, () => this.#taken(bytes.byteLength))) return undefined;
    this.#room ??= this.#untilRoom();
    return this.#room;
  }

  /**
   * Writes a large part of the body as the client reads it, or until it is gone. The pieces are not copied, and others
   * may write them at the same time.
   */
  async writePieces(pieces: readonly Uint8Array[]): Promise<void> {
    for (const piece of pieces) {
      for (let start = 0; start < piece.byteLength; start += partBytesMax) {
        await this.write(piece.subarray(start, start + partBytesMax));
        if (this.isGone) return;
      }
    }
  }

  /** Resolves when the client has taken all that was written, or is gone. */
  allTaken(): Promise<void> | undefined {
    if (this.#waitingBytes === 0) return undefined;
    this.#allTaken ??= Promise.withResolvers();
    return this.#allTaken.promise;
  }

  /** Ends the answer with its last bytes, at most a part, if there are any, and the trailers. */
  end(bytes?: Uint8Array, trailers?: OutgoingHttpHeaders): void {
    if (trailers !== undefined) this.#response.addTrailers(trailers);
    if (!this.isGone) {
      // What was written before may wait too.
      this.#stalled.begin(this);
      if (bytes !== undefined) this.count(bytes.byteLength);
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

  /** Counts bytes that wait for the client from now on. */
  count(bytes: number): void {
    if (this.#waitingBytes === 0) this.#stalled.begin(this);
    this.#waitingBytes += bytes;
    this.bodyBytes += bytes;
    this.#unread.take(bytes);
  }

  /** The response is closed: nothing waits any more. */
  release(): void {
    this.#stalled.end(this);
    this.#give(this.#waitingBytes);
  }

  /** Ends the answer: over HTTP/2 its stream alone, over HTTP/1.1 the connection, which nothing else could end. */
  cut(): void {
    const { stream } = this.#response;
    if (stream === undefined) this.#response.destroy();
    else stream.close(constants.NGHTTP2_CANCEL);
  }

  #taken(bytes: number): void {
    // Node also tells of bytes that a closed response has lost.
    if (this.#waitingBytes === 0) return;
    this.#give(bytes);
    // What the client took shows that it reads. The end of an answer waits for it as well.
    if (this.#waitingBytes > 0 || this.#response.writableEnded) this.#stalled.begin(this);
    else this.#stalled.end(this);
  }

  #give(bytes: number): void {
    this.#waitingBytes -= bytes;
    if (this.#waitingBytes === 0) {
      this.#allTaken?.resolve();
      this.#allTaken = undefined;
    }
    this.#unread.give(bytes);
  }

  #untilRoom(): Promise<void> {
    return new Promise((resolve) => {
      const response = this.#response;
      const done = () => {
        response.off("drain", done);
        response.off("close", done);
        this.#room = undefined;
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
