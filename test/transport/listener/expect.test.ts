import { once } from "node:events";
import { connect } from "node:net";
import { expect, test } from "vitest";
import { fields, frame } from "./http2-frames.ts";
import { startRawServer, userMessage } from "./raw-server.ts";

test("a stream over HTTP/2 that expects 100 and is reset at once does not end the server", async () => {
  await using raw = await startRawServer();
  const head = fields({
    ":method": "POST",
    ":scheme": "http",
    ":path": "/message:send",
    ":authority": "127.0.0.1",
    expect: "100-continue",
  });
  const socket = connect(Number(raw.server.url.port), "127.0.0.1");
  await once(socket, "connect");
  const settings = frame(4, 0, 0, Buffer.alloc(0));
  const canceled = [1, 3, 5].flatMap((stream) => [
    frame(1, 4, stream, head),
    frame(3, 0, stream, Buffer.from([0, 0, 0, 8])),
  ]);
  // PING: its answer shows that the frames before it were handled.
  const ping = frame(6, 0, 0, Buffer.from("received"));
  let received = "";
  const answered = new Promise<void>((resolve) => {
    socket.on("data", (chunk) => {
      received += chunk.toString("latin1");
      if (received.includes("received")) resolve();
    });
  });
  socket.write(Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), settings, ...canceled, ping]));
  await answered;
  socket.destroy();
  expect((await raw.http2("/readyz")).status).toBe(200);
});

test("a client over HTTP/2 that expects 100 is answered", async () => {
  await using raw = await startRawServer();
  const headers = { "content-type": "application/json", expect: "100-continue" };
  const body = JSON.stringify({ message: userMessage("hello") });
  const { status, json } = await raw.http2("/message:send", { method: "POST", headers, body });
  expect([status, json]).toMatchObject([200, { task: {} }]);
});
