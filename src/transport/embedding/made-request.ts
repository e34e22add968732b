import type { IncomingHttpHeaders } from "node:http";
import { Readable } from "node:stream";
import type { NodeRequest } from "../listener/request-handler.ts";

/** Where the bytes of a body come from. */
export interface BodySource {
  /** The next piece; undefined at the end. Rejects if the client is gone. */
  next(): Promise<Uint8Array | undefined>;
  /** No more is wanted. */
  cancel(reason: unknown): void;
}

/** The head of a request. */
export interface RequestHead {
  readonly method: string;
  /** Path and query. */
  readonly url: string;
  /** By lower-case names. */
  readonly headers: IncomingHttpHeaders;
  /** Names and values in turns. */
  readonly rawHeaders: readonly string[];
  /** What stands for the connection: its bounds hold for all requests that share it. */
  readonly socket: object;
}

/** What the handlers use of Node's request, over a body from elsewhere. It asks for bytes as they are read. */
class MadeRequest extends Readable implements RequestHead {
  readonly method: string;
  url: string;
  readonly headers: IncomingHttpHeaders;
  readonly rawHeaders: readonly string[];
  readonly socket: object;
  readonly httpVersion = "1.1";
  readonly #source: BodySource;

  constructor({ method, url, headers, rawHeaders, socket }: RequestHead, source: BodySource) {
    super();
    this.method = method;
    this.url = url;
    this.headers = headers;
    this.rawHeaders = rawHeaders;
    this.socket = socket;
    this.#source = source;
  }

  override _read(): void {
    this.#source.next().then(
      (piece) => this.push(piece ?? null),
      (error) => this.destroy(error),
    );
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    if (!this.readableEnded) this.#source.cancel(error);
    done(error);
  }
}

/** A request of Node's made of its parts. Its errors say no more than its closing does. */
export function makeRequest(head: RequestHead, source: BodySource): NodeRequest {
  const request = new MadeRequest(head, source);
  request.on("error", () => undefined);
  return request as unknown as NodeRequest;
}

/** A body that is there already. */
export function bytesSource(bytes: Uint8Array): BodySource {
  let rest: Uint8Array | undefined = bytes.byteLength === 0 ? undefined : bytes;
  return {
    async next() {
      const piece = rest;
      rest = undefined;
      return piece;
    },
    cancel: () => undefined,
  };
}
