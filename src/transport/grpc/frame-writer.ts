import type { ResponseWriter } from "../calls/response-writer.ts";
import { prefixBytes } from "../request-bounds/message-prefix.ts";
import { framed } from "./frames.ts";

/**
 * Events that are gathered before they are written, in bytes. With more, a write costs next to nothing for each event.
 * With less, less waits in memory for a client that doesn't read.
 */
const gatheredBytesMax = 32 * 1024;

/**
 * Gathers the messages of one turn of the event loop and writes them in one piece: a write and a frame of HTTP/2 for
 * each event would cost more than the event.
 *
 * If the caller waits for what `add` returns, a client that doesn't read holds no more than what was gathered in one
 * turn, in the network's buffers, and one message here.
 */
export class FrameWriter {
  readonly #response: ResponseWriter;
  #gathered: Uint8Array[] = [];
  #bytes = 0;
  #turnEnd: NodeJS.Immediate | undefined;
  /** Resolves when the client has read what was written. */
  #full: Promise<void> | undefined;

  constructor(response: ResponseWriter) {
    this.#response = response;
  }

  /** Returns undefined if more may be added at once, else a promise that resolves when more may be added. */
  add(message: Uint8Array): Promise<void> | undefined {
    this.#gathered.push(message);
    const bytes = prefixBytes + message.byteLength;
    this.#bytes += bytes;
    this.#response.count(bytes);
    if (this.#full !== undefined) return this.#full;
    if (this.#bytes >= gatheredBytesMax) this.flush();
    else this.#turnEnd ??= setImmediate(() => this.flush());
    return this.#full;
  }

  /** Writes what is gathered. */
  flush(): void {
    clearImmediate(this.#turnEnd);
    this.#turnEnd = undefined;
    if (this.#gathered.length === 0) return;
    const bytes = framed(this.#gathered);
    this.#gathered = [];
    this.#bytes = 0;
    this.#full = this.#response.write(bytes, true)?.then(() => {
      this.#full = undefined;
      this.flush();
    });
  }
}
