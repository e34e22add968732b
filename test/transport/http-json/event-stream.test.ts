import { EventEmitter } from "node:events";
import { describe, expect, test, vi } from "vitest";
import { systemClock } from "../../../src/runtime/clock.ts";
import { type HttpResponse, ResponseWriter } from "../../../src/transport/calls/response-writer.ts";
import { writeEvents } from "../../../src/transport/calls/run-call.ts";
import { EventStreamWriter } from "../../../src/transport/http-json/event-stream.ts";
import { ServerLoad } from "../../../src/transport/load/server-load.ts";

/** A response of which the test decides when it takes more. */
class SlowResponse extends EventEmitter implements HttpResponse {
  headersSent = false;
  writableEnded = false;
  /** As HTTP/2 has it: the response itself doesn't know. */
  readonly stream = { destroyed: false, close: () => this.hangUp() };
  isFull = false;
  text = "";
  head: unknown;

  writeHead(status: number, headers: object): void {
    this.headersSent = true;
    this.head = { status, ...headers };
  }

  setHeader(): void {}
  addTrailers(): void {}

  write(chunk: Uint8Array): boolean {
    this.text += Buffer.from(chunk).toString();
    return !this.isFull;
  }

  end(): void {
    this.writableEnded = true;
  }

  destroy(): void {}

  drain(): void {
    this.isFull = false;
    this.emit("drain");
  }

  hangUp(): void {
    this.stream.destroyed = true;
    this.emit("close");
  }
}

interface Source extends AsyncGenerator<number> {
  asked: number;
  isReturned: boolean;
}

function numbers(count: number, error?: Error): Source {
  const seen = { asked: 0, isReturned: false };
  async function* events() {
    try {
      for (let number = 1; number <= count; number++) {
        source.asked = number;
        yield number;
      }
      if (error !== undefined) throw error;
    } finally {
      source.isReturned = true;
    }
  }
  const source: Source = Object.assign(events(), seen);
  return source;
}

/** Writes a stream as a call does. */
async function write(
  response: HttpResponse,
  events: AsyncGenerator<number>,
  options: { readonly keepAliveMs?: number; readonly withIds?: boolean } = {},
) {
  const { keepAliveMs = 60_000, withIds = false } = options;
  const load = new ServerLoad();
  const writer = new ResponseWriter(response, load.connectionOf(undefined).unread, load.stalled);
  const stream = new EventStreamWriter(writer, { "x-own": "1" }, systemClock, keepAliveMs);
  const toEvent = (number: number) => ({
    data: JSON.stringify({ number }),
    ...(withIds && { id: String(number) }),
  });
  const form = {
    get isDone() {
      return writer.isGone;
    },
  };
  try {
    await writeEvents(events, (number) => stream.write(toEvent(number)), form);
  } catch (error) {
    await stream.write({ event: "error", data: JSON.stringify({ error: String(error) }) });
  }
  stream.end();
}

/** Lets everything that can go on go on. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve));
}

describe("a stream of events", () => {
  test("is written to its end", async () => {
    const response = new SlowResponse();
    await write(response, numbers(2));
    expect(response.text).toBe('data: {"number":1}\n\ndata: {"number":2}\n\n');
    expect(response.head).toMatchObject({ status: 200, "content-type": "text/event-stream", "x-own": "1" });
    expect(response.writableEnded).toBe(true);
  });

  test("can carry ids", async () => {
    const response = new SlowResponse();
    await write(response, numbers(1), { withIds: true });
    expect(response.text).toBe('id: 1\ndata: {"number":1}\n\n');
  });

  test("asks for no event while the client doesn't read", async () => {
    const response = new SlowResponse();
    response.isFull = true;
    const source = numbers(100);
    const writing = write(response, source, { keepAliveMs: 1 });
    await settled();
    await expect.poll(() => response.headersSent).toBe(true);
    await settled();
    expect([source.asked, response.text]).toEqual([1, 'data: {"number":1}\n\n']);
    response.drain();
    await writing;
    expect(source.asked).toBe(100);
  });

  test("has comments in silence only", async () => {
    vi.useFakeTimers();
    try {
      const response = new SlowResponse();
      async function* slowly() {
        for (let number = 1; number <= 5; number++) {
          // biome-ignore lint/style/noRestrictedGlobals: the timers are fake, so nothing waits.
          if (number > 1) await new Promise((resolve) => setTimeout(resolve, number === 5 ? 250 : 80));
          yield number;
        }
      }
      const writing = write(response, slowly(), { keepAliveMs: 100 });
      await vi.advanceTimersByTimeAsync(3 * 80 + 250);
      await writing;
      expect(response.text.split("\n\n").map((block) => block.replace(/\D/g, "") || block)).toEqual([
        "1",
        "2",
        "3",
        "4",
        ":",
        ":",
        "5",
        "",
      ]);
    } finally {
      vi.useRealTimers();
    }
  });

  test("ends when the client hangs up, also while it doesn't read", async () => {
    const response = new SlowResponse();
    response.isFull = true;
    const source = numbers(100);
    const writing = write(response, source);
    await settled();
    response.hangUp();
    await writing;
    expect([source.asked, source.isReturned, response.listenerCount("drain"), response.listenerCount("close")]).toEqual(
      [1, true, 0, 0],
    );
  });

  test("isn't waited for when the client is gone before it is written", async () => {
    const response = new SlowResponse();
    response.isFull = true;
    response.hangUp();
    const source = numbers(100);
    await write(response, source);
    expect([source.asked, source.isReturned, response.text]).toEqual([1, true, ""]);
  });

  test("that breaks says so in its last event", async () => {
    const response = new SlowResponse();
    await write(response, numbers(1, new Error("broken")));
    expect(response.text).toBe('data: {"number":1}\n\nevent: error\ndata: {"error":"Error: broken"}\n\n');
    expect(response.writableEnded).toBe(true);
  });
});
