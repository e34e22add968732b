import { type HttpResponse, isGone, roomToWrite } from "../calls/call-context.ts";
import { framed, prefixBytes } from "./frames.ts";

/**
 * So much is gathered at most before it is written: with more, a write costs next to nothing for each event, and less
 * waits in memory for a client that doesn't read.
 */
const gatheredBytesMax = 32 * 1024;

/**
 * Writes messages as they come, those of one turn of the event loop in one piece: a write, and a frame of HTTP/2, for
 * each event would cost more than the event.
 *
 * What waits for a client that doesn't read is bounded if whoever adds waits as it is told: what was gathered in one
 * turn is with the network's buffers, and one message here.
 */
export class FrameWriter {
  readonly #response: HttpResponse;
  #gathered: Uint8Array[] = [];
  #bytes = 0;
  #turnEnd: NodeJS.Immediate | undefined;
  /** Until the client has read what was written. */
  #full: Promise<void> | undefined;

  constructor(response: HttpResponse) {
    this.#response = response;
  }

  /** What is returned resolves when more may be added; undefined: at once. */
  add(message: Uint8Array): Promise<void> | undefined {
    this.#gathered.push(message);
    this.#bytes += prefixBytes + message.byteLength;
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
    if (isGone(this.#response) || this.#response.write(bytes)) return;
    this.#full = roomToWrite(this.#response).then(() => {
      this.#full = undefined;
      this.flush();
    });
  }
}
