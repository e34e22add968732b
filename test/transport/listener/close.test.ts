import { Agent } from "node:http";
import { constants, type Http2ServerResponse } from "node:http2";
import { text } from "node:stream/consumers";
import { afterEach, describe, expect, it } from "vitest";
import { ManualClock } from "../../runtime/manual-clock.ts";
import { clients, closeAll, http1Call, http2Call, http2Client, open, tcpClient, whenClosed } from "./fixtures.ts";

afterEach(closeAll);

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
    await expect(port.close(60_000)).resolves.toBeUndefined();
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

  it.each([
    ["ended", true],
    ["still open", false],
  ])("lets the trailers of an HTTP/2 stream out, the client's side being %s", async (_, ended) => {
    const gate = Promise.withResolvers<void>();
    const { port, number } = await open({
      handler: (_, response) => {
        (response as Http2ServerResponse).write("body");
        void gate.promise.then(() => {
          response.addTrailers({ "x-status": "0" });
          response.end();
        });
      },
    });
    const stream = http2Client(`http://127.0.0.1:${number}`).request({ ":method": "POST", ":path": "/" });
    const trailers = new Promise<Record<string, unknown>>((resolve, reject) => {
      stream.once("trailers", resolve);
      stream.once("close", () => reject(new Error("closed without trailers")));
    });
    if (ended) stream.end();
    await new Promise((resolve) => stream.once("data", resolve));
    const closed = port.close(60_000);
    gate.resolve();
    expect(await trailers).toMatchObject({ "x-status": "0" });
    await closed;
  });

  it("doesn't wait for an HTTP/2 stream that its client has reset, even while a call writes to it", async () => {
    const asked = Promise.withResolvers<Http2ServerResponse>();
    const { port, number } = await open({
      handler: (_, response) => {
        (response as Http2ServerResponse).write("body");
        asked.resolve(response as Http2ServerResponse);
      },
    });
    const stream = http2Client(`http://127.0.0.1:${number}`).request({ ":method": "POST", ":path": "/" });
    stream.on("error", () => undefined);
    await new Promise((resolve) => stream.once("data", resolve));
    const response = await asked.promise;
    const gone = new Promise((resolve) => response.once("close", resolve));
    stream.close(constants.NGHTTP2_CANCEL);
    await gone;
    await expect(port.close(60_000)).resolves.toBeUndefined();
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
    await clock.advance(1000);
    await closed;
    await expect(calls[0]).rejects.toThrow("socket hang up");
    await calls[1];
  });
});
