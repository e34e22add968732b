import { Agent } from "node:http";
import { constants } from "node:http2";
import { text } from "node:stream/consumers";
import { afterEach, describe, expect, it } from "vitest";
import type { ListenerHandler } from "../../../src/transport/listener/listener.ts";
import { ManualClock } from "../../runtime/manual-clock.ts";
import {
  clients,
  closeAll,
  echo,
  http1Call,
  http1Request,
  http2Call,
  http2Client,
  open,
  tcpClient,
  whenClosed,
} from "./fixtures.ts";

afterEach(closeAll);

describe("requests beyond the limits", () => {
  it("have a head that is too large: refused over HTTP/1.1", async () => {
    const { number } = await open({ limits: { headBytesMax: 4096 } });
    expect((await http1Request(number, { headers: { "x-large": "x".repeat(5000) } })).status).toBe(431);
    expect(await http1Call(number)).toBe("1.1 POST / 0");
  });

  it("have a head that is too large: reset over HTTP/2, and the connection goes on", async () => {
    const { number } = await open({ limits: { headBytesMax: 4096 } });
    const session = http2Client(`http://127.0.0.1:${number}`);
    expect(await http2Call(session, "/")).toBe("2.0 POST / 0");
    const stream = session.request({ ":path": "/", "x-large": "x".repeat(5000) });
    stream.on("error", () => undefined);
    await new Promise((resolve) => stream.once("close", resolve));
    expect(stream.rstCode).toBe(constants.NGHTTP2_ENHANCE_YOUR_CALM);
    expect(await http2Call(session, "/")).toBe("2.0 POST / 0");
  });

  it("are too many streams on one connection: they wait for their turn", async () => {
    const gate = Promise.withResolvers<void>();
    let open2 = 0;
    let most = 0;
    const full = Promise.withResolvers<void>();
    const handler: ListenerHandler = (request, response) => {
      most = Math.max(most, ++open2);
      if (open2 === 2) full.resolve();
      void gate.promise.then(() => {
        open2--;
        echo(request, response);
      });
    };
    const { number } = await open({ limits: { streamsMax: 2 }, handler });
    const session = http2Client(`http://127.0.0.1:${number}`);
    await new Promise((resolve) => session.once("remoteSettings", resolve));
    expect(session.remoteSettings).toMatchObject({ maxConcurrentStreams: 2 });
    const calls = Array.from({ length: 6 }, () => http2Call(session, "/"));
    await full.promise;
    gate.resolve();
    expect(await Promise.all(calls)).toEqual(Array(6).fill("2.0 POST / 0"));
    expect(most).toBe(2);
  });
});

describe("clients that hold on to what they get", () => {
  it.each([
    ["the head of a request", "POST / HTTP/1.1\r\nhost: x\r\n", { headMs: 100, requestMs: 60_000 }],
    ["a body", "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100000000\r\n\r\n", { headMs: 100, requestMs: 200 }],
  ])("send %s byte by byte: cut off", async (_, first, limits) => {
    const { number } = await open({ limits: { ...limits, checkMs: 20 } });
    const slow = tcpClient(number);
    slow.write(first);
    // biome-ignore lint/style/noRestrictedGlobals: the slowness of the client is what is tested.
    const drip = setInterval(() => slow.write("x"), 10);
    clients.push(() => clearInterval(drip));
    const closed = whenClosed(slow);
    await closed;
    clearInterval(drip);
    expect(await http1Call(number)).toBe("1.1 POST / 0");
  });

  describe("send on in small pieces after the answer", () => {
    const answered: ListenerHandler = (_, response) => response.end("no");
    // No time passes.
    const options = { clock: new ManualClock(), handler: answered, limits: { lastPiecesMax: 100 } };

    it("over HTTP/1.1: cut off", async () => {
      const { number } = await open(options);
      const client = tcpClient(number);
      const closed = whenClosed(client);
      client.write("POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n");
      client.write("1\r\nx\r\n".repeat(101));
      await closed;
      expect(await http1Call(number)).toBe("no");
    });

    it("over HTTP/2: their stream is closed, and the connection goes on", async () => {
      const { number } = await open(options);
      const session = http2Client(`http://127.0.0.1:${number}`);
      const stream = session.request({ ":method": "POST", ":path": "/" }).on("error", () => undefined);
      const closed = new Promise((resolve) => stream.once("close", resolve));
      stream.resume();
      await new Promise((resolve) => stream.once("end", resolve));
      for (let pieces = 0; pieces < 101; pieces++) await new Promise((resolve) => stream.write("x", resolve));
      await closed;
      expect(stream.rstCode).toBe(constants.NGHTTP2_NO_ERROR);
      expect(await http2Call(session, "/")).toBe("no");
    });
  });

  it("open more connections than there may be: refused", async () => {
    const { number } = await open({ limits: { connectionsMax: 1, firstBytesMs: 3_600_000 } });
    const session = http2Client(`http://127.0.0.1:${number}`);
    expect(await http2Call(session, "/")).toBe("2.0 POST / 0");
    await whenClosed(tcpClient(number));
    expect(await http2Call(session, "/")).toBe("2.0 POST / 0");
  });

  it("reset more streams than they may: their connection ends", async () => {
    const { number } = await open({ limits: { resetsBurst: 5, resetsPerSecond: 1 } });
    const session = http2Client(`http://127.0.0.1:${number}`);
    expect(await http2Call(session, "/")).toBe("2.0 POST / 0");
    for (let resets = 0; resets < 10; resets++) {
      const stream = session.request({ ":method": "POST", ":path": "/" }).on("error", () => undefined);
      stream.close(constants.NGHTTP2_CANCEL);
    }
    await whenClosed(session);
    expect(await http1Call(number)).toBe("1.1 POST / 0");
  });
});

describe("a request over HTTP/2 that doesn't end", () => {
  async function begun(handler: ListenerHandler, method = "POST") {
    const clock = new ManualClock();
    const asked = Promise.withResolvers<void>();
    const { number } = await open({
      clock,
      limits: { requestMs: 10_000, silentMs: 3_600_000 },
      handler: (request, response) => {
        asked.resolve();
        handler(request, response);
      },
    });
    const session = http2Client(`http://127.0.0.1:${number}`);
    const stream = session.request({ ":method": method, ":path": "/" });
    stream.on("error", () => undefined).resume();
    const closed = new Promise((resolve) => stream.once("close", resolve));
    await asked.promise;
    return { clock, session, stream, closed };
  }

  it("is reset in time, and the connection goes on", async () => {
    const { clock, session, stream, closed } = await begun(echo);
    stream.write("half");
    await clock.advance(9_999);
    expect(await http2Call(session, "/")).toBe("2.0 POST / 0");
    expect(stream.closed).toBe(false);
    await clock.advance(1);
    await closed;
    expect(stream.rstCode).toBe(constants.NGHTTP2_CANCEL);
    expect(await http2Call(session, "/")).toBe("2.0 POST / 0");
  });

  it.each([
    "POST",
    "GET",
  ])("is no other than %s that waits for its answer for as long as that takes", async (method) => {
    const gate = Promise.withResolvers<void>();
    const read = Promise.withResolvers<void>();
    const { clock, stream, closed } = await begun((request, response) => {
      if (method === "POST") request.once("end", read.resolve).resume();
      else read.resolve();
      void gate.promise.then(() => response.end());
    }, method);
    stream.end();
    await read.promise;
    await clock.advance(10_000);
    gate.resolve();
    await closed;
    expect(stream.rstCode).toBe(constants.NGHTTP2_NO_ERROR);
  });

  it("goes on once its answer has begun: it may be a conversation", async () => {
    const { clock, stream, closed } = await begun((request, response) => {
      if (!("stream" in response)) throw new Error("Not HTTP/2");
      response.stream.respond({ ":status": 200 });
      request.pipe(response.stream);
    });
    await clock.advance(10_000);
    stream.end("last word");
    await closed;
    expect(stream.rstCode).toBe(constants.NGHTTP2_NO_ERROR);
  });
});

describe("a silent HTTP/2 connection", () => {
  const limits = { silentMs: 1000, pingAnswerMs: 500, idleMs: 3_600_000 };
  const preface = Buffer.concat([
    Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]),
  ]);

  it("is asked by PING, and goes on as long as the client answers", async () => {
    const clock = new ManualClock();
    const { number } = await open({ clock, limits });
    const session = http2Client(`http://127.0.0.1:${number}`);
    for (let round = 0; round < 3; round++) {
      expect(await http2Call(session, "/")).toBe("2.0 POST / 0");
      const asked = new Promise((resolve) => session.once("ping", resolve));
      // The bytes of the call are heard at the first look, silence at the second.
      await clock.advance(1000);
      await clock.advance(1000);
      await asked;
      // Behind the answer to the PING on the same line.
      await http2Call(session, "/");
      await clock.advance(500);
    }
    expect(session.closed).toBe(false);
  });

  it("is cut where nothing is answered", async () => {
    const clock = new ManualClock();
    const { number } = await open({ clock, limits });
    const dead = tcpClient(number);
    const frames: number[] = [];
    const pinged = Promise.withResolvers<void>();
    // Frames are as small as can be: each chunk holds whole ones, whose fourth byte is the type.
    dead.on("data", (data: Buffer) => {
      for (let at = 0; at + 9 <= data.length; at += 9 + data.readUIntBE(at, 3)) frames.push(data[at + 3] ?? -1);
      if (frames.includes(6)) pinged.resolve();
    });
    const begun = new Promise((resolve) => dead.once("data", resolve));
    dead.write(preface);
    await begun;
    await clock.advance(1000);
    await pinged.promise;
    expect(dead.destroyed).toBe(false);
    const closed = whenClosed(dead);
    await clock.advance(500);
    await closed;
  });

  it("still ends when it is idle for too long, PINGs or not", async () => {
    const { number } = await open({ limits: { silentMs: 10, pingAnswerMs: 1000, idleMs: 200 } });
    const session = http2Client(`http://127.0.0.1:${number}`);
    let pings = 0;
    session.on("ping", () => pings++);
    await http2Call(session, "/");
    await whenClosed(session);
    expect(pings).toBeGreaterThan(0);
  });
});

describe("a connection of a certain age", () => {
  const limits = { ageMs: 10_000, ageGraceMs: 5_000, silentMs: 3_600_000 };

  it("over HTTP/2 is told to go by GOAWAY, lets streams end, and is cut behind the grace time", async () => {
    const clock = new ManualClock();
    const gates: (() => void)[] = [];
    const { number } = await open({
      clock,
      limits,
      handler: (request, response) => void gates.push(() => echo(request, response)),
    });
    const [short, long] = [http2Client(`http://127.0.0.1:${number}`), http2Client(`http://127.0.0.1:${number}`)];
    const goaways = [short, long].map((session) => new Promise((resolve) => session.once("goaway", resolve)));
    const answer = http2Call(short, "/");
    const cut = new Promise((resolve) =>
      long
        .request({ ":path": "/" })
        .on("error", () => undefined)
        .once("close", resolve),
    );
    while (gates.length < 2) await new Promise((resolve) => setImmediate(resolve));
    await clock.advance(8_999);
    expect([short.closed, long.closed]).toEqual([false, false]);
    await clock.advance(2_001);
    await Promise.all(goaways);
    for (const gate of gates.splice(0, 1)) gate();
    expect(await answer).toBe("2.0 POST / 0");
    await whenClosed(short);
    await clock.advance(5_000);
    await Promise.all([whenClosed(long), cut]);
  });

  it("over HTTP/1.1 ends with the answer that is open, or at once", async () => {
    const clock = new ManualClock();
    const gate = Promise.withResolvers<void>();
    const asked = Promise.withResolvers<void>();
    const handler: ListenerHandler = (request, response) => {
      if (request.url === "/idle") return echo(request, response);
      asked.resolve();
      return void gate.promise.then(() => echo(request, response));
    };
    const { number } = await open({ clock, limits, handler });
    const agent = new Agent({ keepAlive: true });
    clients.push(() => agent.destroy());
    const idle = tcpClient(number);
    idle.write("GET /idle HTTP/1.1\r\nhost: x\r\n\r\n");
    await new Promise((resolve) => idle.once("data", resolve));
    const answer = http1Request(number, { agent });
    await asked.promise;
    await clock.advance(11_000);
    await text(idle);
    gate.resolve();
    expect(await answer).toMatchObject({ status: 200, body: "1.1 POST / 0", headers: { connection: "close" } });
  });
});
