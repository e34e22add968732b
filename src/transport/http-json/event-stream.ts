import type { OutgoingHttpHeaders } from "node:http";
import { type HttpResponse, isGone, nothing, writeBytes } from "../calls/call-context.ts";
import { eventStreamType } from "./media-types.ts";

/** One event of a stream of server-sent events. */
export interface StreamEvent {
  /** One line: JSON has no line breaks outside of its spaces, and ours has no spaces. */
  readonly data: string;
  /** What a client that lost its stream sends back as `Last-Event-ID`. */
  readonly id?: string | undefined;
  /** Left out for ordinary events. */
  readonly event?: "error";
}

export interface EventStream<T> {
  readonly events: AsyncIterator<T>;
  /** Read before anything was sent, so that what refuses the stream has been told as an ordinary error. */
  readonly first: IteratorResult<T>;
  readonly headers: OutgoingHttpHeaders;
  toEvent(value: T): StreamEvent;
  /** The last event of a stream that breaks. */
  toErrorEvent(error: unknown): StreamEvent;
  /** Silence after which a comment says that the stream is alive, milliseconds. */
  readonly keepAliveMs: number;
}

/** Headers that proxies understand: never cached, never changed, never held back. */
const streamHeaders = {
  "content-type": eventStreamType,
  "cache-control": "no-cache, no-transform",
  "x-accel-buffering": "no",
};

/** Read by nobody: that it goes over the line is all it is for. */
const comment = Buffer.from(":\n\n");

/**
 * Writes a stream until it ends, breaks, or the client hangs up; never rejects. An event is asked for when the ones
 * before are with the network: a client that doesn't read makes its subscription go back to the log, and fills no
 * memory.
 */
export async function writeEventStream<T>(response: HttpResponse, stream: EventStream<T>): Promise<void> {
  const { events, headers, keepAliveMs } = stream;
  let isWaiting = false;
  const keepAlive = setInterval(() => {
    if (!isWaiting && !isGone(response)) response.write(comment);
  }, keepAliveMs);
  response.writeHead(200, { ...headers, ...streamHeaders });
  const send = async (event: StreamEvent) => {
    isWaiting = true;
    await writeBytes(response, Buffer.from(eventText(event)));
    isWaiting = false;
  };
  try {
    let result = stream.first;
    while (!result.done) {
      keepAlive.refresh();
      await send(stream.toEvent(result.value));
      if (isGone(response)) break;
      result = await events.next();
    }
  } catch (error) {
    if (!isGone(response)) await send(stream.toErrorEvent(error));
  } finally {
    clearInterval(keepAlive);
    response.end(nothing);
    await events.return?.().catch(() => undefined);
  }
}

function eventText({ data, id, event }: StreamEvent): string {
  return `${id === undefined ? "" : `id: ${id}\n`}${event === undefined ? "" : `event: ${event}\n`}data: ${data}\n\n`;
}
