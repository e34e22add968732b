import { Agent } from "node:http";
import type { Socket } from "node:net";
import { Readable, type Writable } from "node:stream";
import { text } from "node:stream/consumers";
import { queryObjects } from "node:v8";
import { afterEach, describe, expect, it } from "vitest";
import { createListener } from "../../../src/transport/listener/listener.ts";
import { eventually } from "../../runner/eventually.ts";
import { ManualClock } from "../../runtime/manual-clock.ts";
import { clients, closeAll, echo, http1Call, http2Call, http2Client, open, tcpClient, whenClosed } from "./fixtures.ts";

afterEach(closeAll);

function* endlessText(): Generator<string> {
  for (;;) yield "x".repeat(10_000);
}

describe("a cleartext port", () => {
  it("answers HTTP/1.1", async () => {
    const { number } = await open();
    const response = await fetch(`http://127.0.0.1:${number}/a?b`, { method: "POST", body: "12345" });
    expect(await response.text()).toBe("1.1 POST /a?b 5");
  });

  it("answers HTTP/2 with prior knowledge", async () => {
    const { number } = await open();
    expect(await http2Call(http2Client(`http://127.0.0.1:${number}`), "/a", "12345")).toBe("2.0 POST /a 5");
  });

  it("answers both at once, many times over, bodies larger than a packet included", async () => {
    const { number } = await open();
    const session = http2Client(`http://127.0.0.1:${number}`);
    const body = "x".repeat(3_000_000);
    const calls = Array.from({ length: 20 }, async (_, index) => [
      await http1Call(number, { path: `/${index}`, body: index % 5 === 0 ? body : "" }),
      await http2Call(session, `/${index}`, index % 5 === 0 ? body : ""),
    ]);
    const answers = await Promise.all(calls);
    expect(answers).toEqual(
      answers.map((_, index) =>
        ["1.1", "2.0"].map((version) => `${version} POST /${index} ${index % 5 === 0 ? body.length : 0}`),
      ),
    );
  });

  it("recognises a preface and a request that come one byte at a time", async () => {
    const { number } = await open();
    const socket = tcpClient(number);
    socket.setNoDelay(true);
    for (const byte of "PUT /slow HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n") {
      socket.write(byte);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(await text(socket)).toContain("1.1 PUT /slow 0");
    const second = tcpClient(number);
    const received: Buffer[] = [];
    const settings = new Promise<void>((resolve) =>
      second.on("data", (data: Buffer) => {
        received.push(data);
        resolve();
      }),
    );
    for (const byte of "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") {
      second.write(byte);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await settings;
    // The fourth byte of the first frame is its type: SETTINGS.
    expect(Buffer.concat(received)[3]).toBe(4);
  });

  it("keeps an HTTP/1.1 connection for the next request", async () => {
    const { number } = await open();
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    clients.push(() => agent.destroy());
    const ports = new Set<unknown>();
    agent.on("free", (socket: Socket) => ports.add(socket.localPort));
    await http1Call(number, { agent });
    await http1Call(number, { agent });
    expect(ports.size).toBe(1);
  });

  it.each([
    ["garbage", "\u0000\u0001\u0002 nonsense\r\n\r\n"],
    ["a TLS greeting", "\u0016\u0003\u0001\u0002\u0000\u0001\u0000"],
    ["half a preface", "PRI * HTTP/2.0\r\n\r\nXX"],
    ["an unknown protocol", "SSH-2.0-OpenSSH_9.6\r\n"],
  ])("refuses %s and goes on", async (_, bytes) => {
    const { number } = await open();
    const socket = tcpClient(number);
    socket.write(bytes, "latin1");
    expect(await text(socket)).toMatch(/^(HTTP\/1\.1 400 |$)/);
    expect(await http1Call(number)).toBe("1.1 POST / 0");
  });

  it("outlives clients that reset connections amid requests and answers", async () => {
    let answering = () => {};
    const started = new Promise<void>((resolve) => {
      answering = resolve;
    });
    const { number } = await open({
      handler: (request, response) => {
        if (request.url !== "/endless") return echo(request, response);
        response.statusCode = 200;
        Readable.from(endlessText()).pipe(response as Writable);
        answering();
        return undefined;
      },
    });
    const half = tcpClient(number);
    half.write("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\nhalf");
    const reading = tcpClient(number);
    reading.write("GET /endless HTTP/1.1\r\nhost: x\r\n\r\n");
    const session = http2Client(`http://127.0.0.1:${number}`);
    const stream = session.request({ ":path": "/endless" });
    stream.on("error", () => undefined);
    await new Promise((resolve) => stream.once("data", resolve));
    await started;
    half.resetAndDestroy();
    reading.resetAndDestroy();
    (session.socket as Socket).destroy();
    tcpClient(number).once("connect", function reset(this: Socket) {
      this.resetAndDestroy();
    });
    expect(await http1Call(number)).toBe("1.1 POST / 0");
  });

  it("ends a request whose handler throws, and goes on", async () => {
    const { number } = await open({
      handler: (request, response) => {
        if (request.url === "/bug") throw new Error("bug");
        echo(request, response);
      },
    });
    await expect(http1Call(number, { path: "/bug" })).rejects.toThrow();
    expect(await http1Call(number)).toBe("1.1 POST / 0");
  });

  it("says why it can't listen", async () => {
    const { number } = await open();
    const second = createListener({ handler: echo, host: "127.0.0.1", port: number });
    await expect(second.listen()).rejects.toMatchObject({ code: "EADDRINUSE" });
    await second.close(0);
  });
});

describe("time limits", () => {
  it.each([
    ["nothing at all", ""],
    ["the beginning of a preface", "PRI * HT"],
  ])("cut a client that sends %s", async (_, bytes) => {
    const clock = new ManualClock();
    const accepted = Promise.withResolvers<void>();
    const watched = {
      now: () => clock.now(),
      monotonic: () => clock.monotonic(),
      after(ms: number, callback: () => void) {
        accepted.resolve();
        return clock.after(ms, callback);
      },
    };
    const { number } = await open({ clock: watched, limits: { firstBytesMs: 1000 } });
    const socket = tcpClient(number);
    socket.write(bytes);
    const closed = whenClosed(socket);
    await accepted.promise;
    await clock.advance(999);
    expect(socket.destroyed).toBe(false);
    await clock.advance(1);
    await closed;
  });

  it("cut a client that doesn't get to the end of its head", async () => {
    const { number } = await open({ limits: { headMs: 50, requestMs: 60, checkMs: 10 } });
    const socket = tcpClient(number);
    socket.write("GET / HTTP/1.1\r\nhost: x\r\nx-endless: ");
    expect(await text(socket)).toMatch(/^HTTP\/1\.1 408 /);
  });

  it("never cut an answer that streams for longer than a request may take", async () => {
    const chunks = Promise.withResolvers<void>();
    const { number } = await open({
      limits: { headMs: 30, requestMs: 30, checkMs: 5, keepAliveMs: 20, idleMs: 30 },
      handler: (_, response) => {
        (response as { write(chunk: string): boolean }).write("first ");
        void chunks.promise.then(() => response.end("last"));
      },
    });
    const overHttp1 = http1Call(number);
    const overHttp2 = http2Call(http2Client(`http://127.0.0.1:${number}`), "/");
    // The same limits have cut a request that came later, and an idle session, when the answers go on.
    const cut = tcpClient(number);
    cut.write("GET / HTTP/1.1\r\nx-endless: ");
    expect(await text(cut)).toMatch(/^HTTP\/1\.1 408 /);
    await whenClosed(http2Client(`http://127.0.0.1:${number}`));
    chunks.resolve();
    expect(await overHttp1).toBe("first last");
    expect(await overHttp2).toBe("first last");
  });

  it("close an HTTP/2 connection that is idle", async () => {
    const { number } = await open({ limits: { idleMs: 30 } });
    const session = http2Client(`http://127.0.0.1:${number}`);
    expect(await http2Call(session, "/")).toBe("2.0 POST / 0");
    await whenClosed(session);
    expect(session.destroyed).toBe(true);
  });

  it("close an HTTP/2 connection that is idle after an answer that was silent for longer than that", async () => {
    const answers: (() => void)[] = [];
    const { number } = await open({
      limits: { idleMs: 30 },
      handler: (_, response) => void answers.push(() => response.end("late")),
    });
    const session = http2Client(`http://127.0.0.1:${number}`);
    const answer = http2Call(session, "/");
    await eventually("the request has come", () => answers.length === 1);
    await whenClosed(http2Client(`http://127.0.0.1:${number}`));
    for (const end of answers) end();
    expect(await answer).toBe("late");
    await whenClosed(session);
  });
});

it("nothing is held of an HTTP/2 connection that has ended", async () => {
  let kind: new () => object = Object;
  const { number } = await open({
    handler: (request, response) => {
      if ("stream" in request) kind = request.stream.session?.constructor as typeof kind;
      echo(request, response);
    },
  });
  for (let count = 0; count < 3; count++) {
    const session = http2Client(`http://127.0.0.1:${number}`);
    await http2Call(session, "/");
    session.close();
    await whenClosed(session);
  }
  expect(kind).not.toBe(Object);
  // It collects what it can first.
  await eventually("no session is held", () => queryObjects(kind, { format: "count" }) === 0);
});
