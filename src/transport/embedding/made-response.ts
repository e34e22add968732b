import type { OutgoingHttpHeader, OutgoingHttpHeaders } from "node:http";
import { Writable } from "node:stream";
import type { HttpResponse } from "../calls/response-writer.ts";

/** Statuses whose answers have no body, not even an empty one (Fetch standard, "null body status"). */
const statusesWithoutBody: ReadonlySet<number> = new Set([204, 205, 304]);

/**
 * What the handlers use of Node's response, as a `Response` of fetch. The head waits for the first bytes, as Node's
 * does. An answer that is written at once becomes a body of bytes, which hosts send with its length. Any other becomes
 * a stream that holds nothing: a chunk is given when the host reads it, and only then counts as taken. What waits
 * before it is bounded by the mark of a `Writable`, 64 KiB, which the handlers get as back-pressure.
 *
 * Invariant: `#waiting` is the one chunk that `Writable` has passed on and no reader has asked for yet. While there is
 * none, `#isAsked` says that a reader waits.
 */
export class MadeResponse extends Writable implements HttpResponse {
  /** Resolves with the head. Rejects if the answer is cut before it has begun. */
  readonly answer: Promise<Response>;
  statusCode = 200;
  headersSent = false;
  readonly #headers = new Headers();
  readonly #resolve: (response: Response) => void;
  readonly #reject: (reason: unknown) => void;
  #isEnding = false;
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  #isBegun = false;
  #isAsked = false;
  #waiting: { readonly chunk: Uint8Array; readonly done: () => void } | undefined;

  constructor() {
    super({ decodeStrings: true });
    const { promise, resolve, reject } = Promise.withResolvers<Response>();
    this.answer = promise;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  getHeader(name: string): string | undefined {
    return this.#headers.get(name) ?? undefined;
  }

  setHeader(name: string, value: OutgoingHttpHeader | readonly string[]): this {
    this.#headers.delete(name);
    return this.appendHeader(name, value);
  }

  appendHeader(name: string, value: OutgoingHttpHeader | readonly string[]): this {
    for (const one of Array.isArray(value) ? value : [value]) this.#headers.append(name, String(one));
    return this;
  }

  writeHead(status: number, headers: OutgoingHttpHeaders = {}): this {
    this.statusCode = status;
    for (const [name, value] of Object.entries(headers)) if (value !== undefined) this.setHeader(name, value);
    this.headersSent = true;
    return this;
  }

  /** Plain gRPC alone has trailers, and is refused before. */
  addTrailers(): void {
    throw new Error("A Response of fetch has no trailers");
  }

  /** The only overloads that the handlers use. */
  override end(chunk?: unknown): this {
    this.#isEnding = true;
    return chunk === undefined ? super.end() : super.end(chunk);
  }

  override _write(chunk: Buffer<ArrayBuffer>, _encoding: BufferEncoding, done: () => void): void {
    if (!this.#isBegun && this.#isEnding) {
      this.#begin(chunk);
      done();
      return;
    }
    if (!this.#isBegun) this.#begin(this.#stream());
    if (this.#isAsked) this.#give(chunk, done);
    else this.#waiting = { chunk, done };
  }

  override _final(done: () => void): void {
    if (!this.#isBegun) this.#begin(null);
    this.#controller?.close();
    done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#waiting = undefined;
    // After its end this changes nothing any more.
    const cut = error ?? new Error("The answer was cut");
    this.#reject(cut);
    if (!this.writableFinished) this.#controller?.error(cut);
    done(error);
  }

  #begin(body: Uint8Array<ArrayBuffer> | ReadableStream<Uint8Array> | null): void {
    this.#isBegun = true;
    this.headersSent = true;
    const given = statusesWithoutBody.has(this.statusCode) ? null : body;
    this.#resolve(new Response(given, { status: this.statusCode, headers: this.#headers }));
  }

  #stream(): ReadableStream<Uint8Array> {
    return new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#controller = controller;
        },
        pull: () => {
          this.#isAsked = true;
          const next = this.#waiting;
          this.#waiting = undefined;
          if (next !== undefined) this.#give(next.chunk, next.done);
        },
        cancel: () => {
          this.#controller = undefined;
          this.destroy();
        },
      },
      { highWaterMark: 0 },
    );
  }

  #give(chunk: Uint8Array, done: () => void): void {
    this.#isAsked = false;
    this.#controller?.enqueue(chunk);
    done();
  }
}
