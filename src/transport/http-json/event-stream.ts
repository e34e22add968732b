import type { OutgoingHttpHeaders } from "node:http";
import type { Clock } from "../../runtime/clock.ts";
import type { ResponseWriter } from "../calls/response-writer.ts";
import { eventStreamType } from "./media-types.ts";

/** One event of a stream of server-sent events. */
export interface StreamEvent {
  /** One line. Our JSON has no line breaks. */
  readonly data: string;
  /** What a client that lost its stream sends back as `Last-Event-ID`. */
  readonly id?: string | undefined;
  /** Left out for ordinary events. */
  readonly event?: "error";
}

/** Headers that proxies understand: never cached, never changed, never held back. */
const streamHeaders = {
  "content-type": eventStreamType,
  "cache-control": "no-store, no-transform",
  "x-accel-buffering": "no",
};

/** Clients ignore it: it keeps the connection in use. */
const comment = Buffer.from(":\n\n");

/** Writes server-sent events, and a comment after each `keepAliveMs` of silence. */
export class EventStreamWriter {
  readonly #response: ResponseWriter;
  readonly #clock: Clock;
  readonly #keepAliveMs: number;
  #cancelComment = () => {};

  /** Sends the head. */
  constructor(response: ResponseWriter, headers: OutgoingHttpHeaders, clock: Clock, keepAliveMs: number) {
    this.#response = response;
    this.#clock = clock;
    this.#keepAliveMs = keepAliveMs;
    response.begin(200, { ...headers, ...streamHeaders });
    this.#scheduleComment();
  }

  /** Returns undefined if the next event may follow at once, else a promise that resolves when it may. */
  write(event: StreamEvent): Promise<void> | undefined {
    this.#cancelComment();
    const full = this.#response.write(Buffer.from(eventText(event)));
    if (full === undefined) {
      this.#scheduleComment();
      return undefined;
    }
    return full.then(() => this.#scheduleComment());
  }

  /** Writes an event whose data come in pieces, as the client reads them. */
  async writePieces(pieces: readonly Uint8Array[], id: string | undefined): Promise<void> {
    this.#cancelComment();
    await this.#response.writePieces([Buffer.from(`${idLine(id)}data: `), ...pieces, Buffer.from("\n\n")]);
    this.#scheduleComment();
  }

  end(): void {
    this.#cancelComment();
    this.#response.end();
  }

  #scheduleComment(): void {
    this.#cancelComment = this.#clock.after(this.#keepAliveMs, () => {
      if (this.#response.isGone) return;
      // A client that doesn't read gets no more comments until it does.
      if (!this.#response.isFull) void this.#response.write(comment);
      this.#scheduleComment();
    });
  }
}

function eventText({ data, id, event }: StreamEvent): string {
  return `${idLine(id)}${event === undefined ? "" : `event: ${event}\n`}data: ${data}\n\n`;
}

function idLine(id: string | undefined): string {
  return id === undefined ? "" : `id: ${id}\n`;
}
