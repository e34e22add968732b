import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { Agent, request as http1Request } from "node:http";
import { type ClientHttp2Session, connect as connectHttp2 } from "node:http2";
import { request as httpsRequest } from "node:https";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { connect as connectTls } from "node:tls";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { createPort, type Port, type PortHandler, type PortOptions } from "../../src/transport/port.ts";
import { ManualClock } from "./manual-clock.ts";

const opened: Port[] = [];
const clients: (() => void)[] = [];

afterEach(async () => {
  for (const close of clients.splice(0)) close();
  await Promise.all(opened.splice(0).map((port) => port.close(0)));
});

/** Answers with what it was asked. */
const echo: PortHandler = (request, response) => {
  let bytes = 0;
  request.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
  });
  request.on("end", () => {
    response.setHeader("content-type", "text/plain");
    response.end(`${request.httpVersion} ${request.method} ${request.url} ${bytes}`);
  });
};

async function open(options: Partial<PortOptions> = {}): Promise<{ readonly port: Port; readonly number: number }> {
  const port = createPort({ handler: echo, host: "127.0.0.1", port: 0, ...options });
  opened.push(port);
  const address = await port.listen();
  expect(address.host).toBe("127.0.0.1");
  return { port, number: address.port };
}

function http2Client(url: string, options: object = {}): ClientHttp2Session {
  const session = connectHttp2(url, options);
  session.on("error", () => undefined);
  clients.push(() => session.destroy());
  return session;
}

function tcpClient(port: number): Socket {
  const socket = connect({ host: "127.0.0.1", port });
  socket.on("error", () => undefined);
  clients.push(() => socket.destroy());
  return socket;
}

function http2Call(session: ClientHttp2Session, path: string, body = ""): Promise<string> {
  const stream = session.request({ ":method": "POST", ":path": path });
  stream.end(body);
  return text(stream);
}

function http1Call(
  port: number,
  options: { readonly agent?: Agent; readonly path?: string; readonly method?: string; readonly body?: string } = {},
): Promise<string> {
  const { agent, path = "/", method = "POST", body = "" } = options;
  return new Promise((resolve, reject) => {
    const request = http1Request({ host: "127.0.0.1", port, path, method, ...(agent && { agent }) }, (response) => resolve(text(response)));
    request.on("error", reject);
    request.end(body);
  });
}

function whenClosed(socket: Socket | ClientHttp2Session): Promise<void> {
  return new Promise((resolve) => {
    if (socket.closed) return resolve();
    if ("resume" in socket) socket.resume();
    socket.once("close", () => resolve());
    return undefined;
  });
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
    expect(answers).toEqual(answers.map((_, index) => ["1.1", "2.0"].map((version) => `${version} POST /${index} ${index % 5 === 0 ? body.length : 0}`)));
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
        const timer = setInterval(() => (response as { write(chunk: string): boolean }).write("x".repeat(10_000)), 1);
        response.once("close", () => clearInterval(timer));
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
    const second = createPort({ handler: echo, host: "127.0.0.1", port: number });
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
    clock.advance(999);
    expect(socket.destroyed).toBe(false);
    clock.advance(1);
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
    setTimeout(() => chunks.resolve(), 200);
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
});

describe("a port with TLS", () => {
  let folder = "";
  let cert = "";
  let key = "";

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "port-test-"));
    const files = { key: join(folder, "key.pem"), cert: join(folder, "cert.pem") };
    const subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
    const parts = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1", "-keyout", files.key, "-out", files.cert];
    execFileSync("openssl", ["req", "-x509", ...parts, ...subject], { stdio: "pipe" });
    cert = readFileSync(files.cert, "utf8");
    key = readFileSync(files.key, "utf8");
  });

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it("offers HTTP/2 and HTTP/1.1 by ALPN, and serves a client without ALPN", async () => {
    const { number } = await open({ tls: { cert, key } });
    const session = http2Client(`https://127.0.0.1:${number}`, { ca: cert });
    expect(await http2Call(session, "/", "x".repeat(500_000))).toBe("2.0 POST / 500000");
    expect(session.alpnProtocol).toBe("h2");
    for (const ALPNProtocols of [["http/1.1"], undefined]) {
      const answer = new Promise<string>((resolve, reject) => {
        const options = { host: "127.0.0.1", port: number, method: "POST", path: "/", ca: cert, agent: false, ...(ALPNProtocols && { ALPNProtocols }) };
        httpsRequest(options, (response) => resolve(text(response)))
          .on("error", reject)
          .end("x".repeat(500_000));
      });
      expect(await answer).toBe("1.1 POST / 500000");
    }
  });

  it("refuses cleartext, and handshakes that don't end, and goes on", async () => {
    const { number } = await open({ tls: { cert, key }, limits: { firstBytesMs: 50 } });
    const cleartext = tcpClient(number);
    cleartext.write("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
    await whenClosed(cleartext);
    await whenClosed(tcpClient(number));
    const silent = connectTls({ host: "127.0.0.1", port: number, ca: cert });
    silent.on("error", () => undefined);
    await whenClosed(silent);
    expect(await http2Call(http2Client(`https://127.0.0.1:${number}`, { ca: cert }), "/")).toBe("2.0 POST / 0");
  });

  it("closes with handshakes, idle connections and requests open", async () => {
    const { port, number } = await open({ tls: { cert, key } });
    const handshake = tcpClient(number);
    await new Promise((resolve) => handshake.once("connect", resolve));
    const idle = http2Client(`https://127.0.0.1:${number}`, { ca: cert });
    await http2Call(idle, "/");
    await port.close(10_000);
    await Promise.all([whenClosed(handshake), whenClosed(idle)]);
  });
});

describe("closing a port", () => {
  it("lets requests end, on both versions, and takes no more", async () => {
    const gate = Promise.withResolvers<void>();
    let waiting = 0;
    const both = Promise.withResolvers<void>();
    const { port, number } = await open({
      handler: (_, response) => {
        if (++waiting === 2) both.resolve();
        void gate.promise.then(() => response.end("done"));
      },
    });
    const agent = new Agent({ keepAlive: true });
    clients.push(() => agent.destroy());
    const session = http2Client(`http://127.0.0.1:${number}`);
    const calls = Promise.all([http1Call(number, { agent }), http2Call(session, "/")]);
    await both.promise;
    const closed = port.close(10_000);
    expect(port.close(0)).toBe(closed);
    await expect(http1Call(number)).rejects.toThrow("ECONNREFUSED");
    gate.resolve();
    expect(await calls).toEqual(["done", "done"]);
    await closed;
  });

  it("ends idle and silent connections at once", async () => {
    const { port, number } = await open();
    const agent = new Agent({ keepAlive: true });
    clients.push(() => agent.destroy());
    await http1Call(number, { agent });
    await http2Call(http2Client(`http://127.0.0.1:${number}`), "/");
    const silent = tcpClient(number);
    await new Promise((resolve) => silent.once("connect", resolve));
    await port.close(60_000);
    await whenClosed(silent);
  });

  it("doesn't cut an answer that is written but not yet sent", async () => {
    const written = Promise.withResolvers<void>();
    const size = 20_000_000;
    const { port, number } = await open({
      handler: (_, response) => {
        response.end("x".repeat(size));
        written.resolve();
      },
    });
    const slow = tcpClient(number);
    slow.write("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
    slow.pause();
    await written.promise;
    const closed = port.close(60_000);
    const received = await text(slow);
    expect(received.length).toBeGreaterThan(size);
    await closed;
  });

  it("cuts what is left when the time is over", async () => {
    const clock = new ManualClock();
    const asked = Promise.withResolvers<void>();
    let waiting = 0;
    const { port, number } = await open({
      clock,
      handler: () => {
        if (++waiting === 2) asked.resolve();
      },
    });
    const calls = [
      http1Call(number),
      new Promise((resolve) =>
        http2Client(`http://127.0.0.1:${number}`)
          .request({ ":path": "/" })
          .on("error", () => undefined)
          .once("close", resolve),
      ),
    ];
    calls[0]?.catch(() => undefined);
    await asked.promise;
    const closed = port.close(1000);
    clock.advance(1000);
    await closed;
    await expect(calls[0]).rejects.toThrow("socket hang up");
    await calls[1];
  });
});
