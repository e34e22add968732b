import { once } from "node:events";
import { request } from "node:http";
import { connect } from "node:http2";
import type { Readable } from "node:stream";
import { afterEach, describe, expect, test } from "vitest";
import { type Clock, systemClock } from "../../../src/runtime/clock.ts";
import { defaultHooks } from "../../../src/transport/calls/call-hooks.ts";
import { Exchange } from "../../../src/transport/calls/exchange.ts";
import { nodeHeaders } from "../../../src/transport/calls/response-writer.ts";
import { type LoadLimits, partBytesMax } from "../../../src/transport/load/load-limits.ts";
import { ServerLoad } from "../../../src/transport/load/server-load.ts";
import { ManualClock } from "../../runtime/manual-clock.ts";
import { testSettings } from "../call-settings.ts";
import { clients, closeAll, open } from "../listener/fixtures.ts";

afterEach(closeAll);

const megabyte = Buffer.alloc(1024 * 1024);

/** Asks over either version of HTTP and reads nothing of the answer until it is resumed. */
const requests = {
  "HTTP/1.1": (port: number) =>
    new Promise<{ resume(): unknown; destroy(): unknown }>((resolve) => {
      const asked = request({ host: "127.0.0.1", port, agent: false }, resolve).on("error", () => undefined);
      asked.end();
    }),
  "HTTP/2": (port: number) =>
    new Promise<{ resume(): unknown; destroy(): unknown }>((resolve) => {
      const session = connect(`http://127.0.0.1:${port}`).on("error", () => undefined);
      clients.push(() => session.destroy());
      const stream = session.request({ ":path": "/" }).on("error", () => undefined);
      stream.once("response", () => resolve(stream));
      stream.end();
    }),
};

async function serve(clock: Clock = systemClock, limits: Partial<LoadLimits> = {}) {
  const hooks = { ...defaultHooks(), load: new ServerLoad(limits, clock) };
  const exchanges: Exchange[] = [];
  const { number } = await open({
    handler: (asked, response) => {
      exchanges.push(new Exchange(asked, response as never, testSettings({ hooks })));
      exchanges.at(-1)?.response.begin(200, { "content-type": "text/plain" });
    },
  });
  return { number, load: hooks.load, exchanges };
}

describe.each(Object.entries(requests))("an answer over %s", (_, ask) => {
  test("to a client that doesn't read is held back and counted, until it is read", async () => {
    const { number, load, exchanges } = await serve();
    const asking = ask(number);
    await expect.poll(() => exchanges.length).toBe(1);
    const [{ response } = expect.fail("no request")] = exchanges;
    let written = 0;
    let room: Promise<void> | undefined;
    while (room === undefined) {
      room = response.write(megabyte);
      written++;
      expect(written).toBeLessThan(1000);
    }
    expect([response.isFull, load.unreadBytes]).toEqual([true, megabyte.byteLength]);
    (await asking).resume();
    await room;
    expect([response.isFull, load.unreadBytes]).toEqual([false, 0]);
    response.end();
  });

  test("to a client that takes nothing for 60 s is cut, over HTTP/2 without its connection", async () => {
    const clock = new ManualClock();
    const { number, load, exchanges } = await serve(clock);
    const asking = ask(number);
    await expect.poll(() => exchanges.length).toBe(1);
    const [{ request: asked, response } = expect.fail("no request")] = exchanges;
    const writing = response.writePieces(Array.from({ length: 100 }, () => megabyte));
    await expect.poll(() => response.isFull).toBe(true);
    await clock.advance(59_000);
    expect(response.isGone).toBe(false);
    await clock.advance(12_000);
    await writing;
    await expect.poll(() => [response.isGone, load.unreadBytes, clock.waiting]).toEqual([true, 0, 0]);
    const connection = "stream" in asked ? asked.stream.session : asked.socket;
    expect(connection?.destroyed ?? false).toBe(!("stream" in asked));
    (await asking).destroy();
  });

  test("that ends with much at once is counted until the client has it", async () => {
    const { number, load, exchanges } = await serve();
    const asking = ask(number);
    await expect.poll(() => exchanges.length).toBe(1);
    const bytes = Buffer.alloc(64 * megabyte.byteLength);
    exchanges[0]?.response.end(bytes);
    expect(load.unreadBytes).toBe(bytes.byteLength);
    (await asking).resume();
    await expect.poll(() => load.unreadBytes).toBe(0);
  });

  test("to a client that leaves is counted no longer, and aborts the calls' signal", async () => {
    const { number, load, exchanges } = await serve();
    const asking = ask(number);
    await expect.poll(() => exchanges.length).toBe(1);
    const [{ response, signal } = expect.fail("no request")] = exchanges;
    let room: Promise<void> | undefined;
    while (room === undefined) room = response.write(megabyte);
    expect(load.unreadBytes).toBeGreaterThan(0);
    (await asking).destroy();
    await room;
    await expect.poll(() => [response.isGone, load.unreadBytes, signal.aborted]).toEqual([true, 0, true]);
    expect(response.write(megabyte)).toBeUndefined();
    response.end(megabyte);
    expect(load.unreadBytes).toBe(0);
  });
});

describe.each(Object.entries(requests))("a large answer over %s", (_, ask) => {
  test("to a slow client that takes a little now and then is not cut", async () => {
    const clock = new ManualClock();
    const { number, load, exchanges } = await serve(clock);
    const asking = ask(number);
    await expect.poll(() => exchanges.length).toBe(1);
    const [{ response } = expect.fail("no request")] = exchanges;
    const pieces = Array.from({ length: 32 }, () => megabyte);
    const written = response.writePieces(pieces);
    const reader = (await asking) as Readable;
    let bytes = 0;
    // A minute passes several times over, and each time the client has taken some.
    for (let round = 0; round < 16; round++) {
      await expect.poll(() => response.isFull).toBe(true);
      await clock.advance(20_000);
      for (let taken = 0; taken < megabyte.byteLength; ) {
        const chunk: Buffer | null = reader.read();
        if (chunk === null) await once(reader, "readable");
        else taken += chunk.byteLength;
        bytes += chunk?.byteLength ?? 0;
      }
    }
    expect(response.isGone).toBe(false);
    reader.on("data", (chunk: Buffer) => {
      bytes += chunk.byteLength;
    });
    await written;
    response.end();
    await once(reader, "end");
    expect(bytes).toBe(pieces.length * megabyte.byteLength);
    await expect.poll(() => load.unreadBytes).toBe(0);
  });

  test("is all taken once the client has read it", async () => {
    const { number, load, exchanges } = await serve();
    const asking = ask(number);
    await expect.poll(() => exchanges.length).toBe(1);
    const [{ response } = expect.fail("no request")] = exchanges;
    const state: string[] = [];
    const written = response
      .writePieces(Array.from({ length: 32 }, () => megabyte))
      .then(() => response.allTaken())
      .then(() => state.push("taken"));
    await expect.poll(() => response.isFull).toBe(true);
    expect([state.length, load.unreadBytes <= 2 * partBytesMax]).toEqual([0, true]);
    (await asking).resume();
    await written;
    expect(load.unreadBytes).toBe(0);
    response.end();
  });
});

test("parts wait while clients don't read, and those who take nothing are cut sooner then", async () => {
  const clock = new ManualClock();
  const { number, load, exchanges } = await serve(clock, { answerBytesMax: megabyte.byteLength });
  const askings = [requests["HTTP/2"](number), requests["HTTP/2"](number)];
  await expect.poll(() => exchanges.length).toBe(2);
  const [stuck, next] = exchanges as [Exchange, Exchange];
  for (let written = 0; written < 16 * megabyte.byteLength; written += partBytesMax)
    void stuck.response.write(megabyte.subarray(0, partBytesMax));
  await expect.poll(() => load.unreadBytes).toBeGreaterThan(megabyte.byteLength / 2);
  const state: string[] = [];
  const waiting = next.response.inRoom(
    "event",
    (text) => {
      state.push(text);
    },
    next.signal,
  );
  await clock.advance(9_000);
  expect([state, stuck.response.isGone]).toEqual([[], false]);
  await clock.advance(20_000);
  await waiting;
  await expect.poll(() => [state, stuck.response.isGone, load.unreadBytes]).toEqual([["event"], true, 0]);
  for (const each of askings) (await each).destroy();
});

test("a part that finds no room for too long is refused, and one whose client leaves waits no longer", async () => {
  const clock = new ManualClock();
  const load = new ServerLoad({ answerBytesMax: 10 }, clock);
  const { unread } = load.connectionOf(undefined);
  unread.take(10);
  const { signal } = new AbortController();
  const refused = expect(unread.partRoom(signal)).rejects.toMatchObject({ reason: "TOO_MANY" });
  const leaving = new AbortController();
  const left = expect(unread.partRoom(leaving.signal)).rejects.toBe("left");
  leaving.abort("left");
  await left;
  await clock.advance(30_000);
  await refused;
  unread.give(10);
  expect([unread.partRoom(signal), load.unreadBytes, clock.waiting]).toEqual([undefined, 0, 0]);
});

test("cookies stay separate lines", () => {
  const headers = new Headers({ a: "1" });
  for (const cookie of ["b=2", "c=3; Expires=Wed, 21 Oct 2026 07:28:00 GMT"]) headers.append("set-cookie", cookie);
  expect(nodeHeaders(headers)).toEqual({ a: "1", "set-cookie": ["b=2", "c=3; Expires=Wed, 21 Oct 2026 07:28:00 GMT"] });
});
