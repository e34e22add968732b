import { constants } from "node:http2";
import { connect as connectTcp } from "node:net";
import { fromJson, toBinary } from "@bufbuild/protobuf";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { Role, SendMessageRequestSchema } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { demoProcessor } from "../../../src/agent/demo-processor.ts";
import type { MessageProcessor } from "../../../src/agent/message-processor.ts";
import { completed } from "../../../src/agent/processor-events.ts";
import { eventually } from "../../runner/eventually.ts";
import { fields, frame } from "../../transport/listener/http2-frames.ts";
import { bindings } from "../bindings.ts";
import { type Served, served } from "../served.ts";

/** A client that leaves before its request is complete has asked for nothing, whatever has arrived of it by then. */

const begun: string[] = [];
const processor: MessageProcessor = {
  ...(demoProcessor.card && { card: demoProcessor.card }),
  async *processMessage({ message }) {
    begun.push(message.messageId);
    yield completed();
  },
};

let server: Served;
beforeAll(async () => {
  server = await served({ processor });
});
afterAll(() => server[Symbol.asyncDispose]());
beforeEach(() => {
  begun.length = 0;
});

let calls = 0;
const message = () => ({ messageId: `left ${++calls}`, role: "ROLE_USER", parts: [{ text: "hello" }] });
const inJson = () => Buffer.from(JSON.stringify({ message: message() }));
const inProtobuf = () => toBinary(SendMessageRequestSchema, fromJson(SendMessageRequestSchema, { message: message() }));

function framed(bytes: Uint8Array): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(bytes.byteLength, 1);
  return Buffer.concat([prefix, bytes]);
}

const rpc = "/lf.a2a.v1.A2AService/SendMessage";
const streamRpc = "/lf.a2a.v1.A2AService/SendStreamingMessage";
const inRpc = (method: string) => () =>
  Buffer.from(JSON.stringify({ jsonrpc: "2.0", id: 1, method, params: { message: message() } }));

/** Bodies that are whole, as far as their bytes tell. */
const forms: readonly (readonly [name: string, path: string, type: string, body: () => Uint8Array])[] = [
  ["gRPC", rpc, "application/grpc", () => framed(inProtobuf())],
  ["gRPC, a stream", streamRpc, "application/grpc", () => framed(inProtobuf())],
  ["gRPC in JSON", rpc, "application/grpc+json", () => framed(inJson())],
  ["gRPC-Web", rpc, "application/grpc-web", () => framed(inProtobuf())],
  ["Connect", rpc, "application/proto", inProtobuf],
  ["Connect in JSON", rpc, "application/json", inJson],
  ["Connect, a stream", streamRpc, "application/connect+json", () => framed(inJson())],
  ["HTTP+JSON", "/message:send", "application/json", inJson],
  ["HTTP+JSON, a stream", "/message:stream", "application/json", inJson],
  ["JSON-RPC", "/", "application/json", inRpc("SendMessage")],
  ["JSON-RPC, a stream", "/", "application/json", inRpc("SendStreamingMessage")],
];

const needsHttp2 = /^application\/grpc(\+|$)/;

/** A whole call after all others: what they begin has begun by then. */
async function another(): Promise<void> {
  const [grpc] = bindings;
  await grpc?.connect(server.url.href).a2a.sendMessage({
    message: {
      messageId: `another ${++calls}`,
      role: Role.USER,
      parts: [{ content: { case: "text", value: "hello" } }],
    },
  });
}

const frames = { data: 0, headers: 1, reset: 3, settings: 4, ping: 6 };

/**
 * Opens streams, sends the whole body on each, and resets them before their end; or ends them, to show that nothing but
 * the end is missing. Resolves when the server has read all that.
 */
async function leave(
  headers: Readonly<Record<string, string>>,
  bodies: readonly Uint8Array[],
  code: number | "END_STREAM",
) {
  const socket = connectTcp(Number(server.url.port), server.url.hostname);
  let received = Buffer.alloc(0);
  socket.on("data", (bytes: Buffer) => {
    received = Buffer.concat([received, bytes]);
  });
  let pings = 0;
  const answered = () => {
    const mark = Buffer.alloc(8);
    mark.writeUInt32BE(++pings);
    socket.write(frame(frames.ping, 0, 0, mark));
    return eventually("the answer to a ping", () => received.includes(frame(frames.ping, 1, 0, mark)));
  };
  const isEnded = code === "END_STREAM";
  const reset = Buffer.alloc(4);
  if (!isEnded) reset.writeUInt32BE(code);
  socket.write(Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), frame(frames.settings, 0, 0)]));
  for (const [index, body] of bodies.entries()) {
    const stream = 2 * index + 1;
    const request = [
      frame(frames.headers, 4, stream, fields(headers)),
      frame(frames.data, isEnded ? 1 : 0, stream, body),
    ];
    // The server reads the bytes before the reset, or both at once.
    if (index % 2 === 0) {
      socket.write(Buffer.concat(request.splice(0)));
      await answered();
    }
    socket.write(Buffer.concat([...request, ...(isEnded ? [] : [frame(frames.reset, 0, stream, reset)])]));
  }
  await answered();
  socket.destroy();
}

describe.each(forms)("%s", (_name, path, type, body) => {
  test.each([
    ["CANCEL", constants.NGHTTP2_CANCEL],
    ["NO_ERROR", constants.NGHTTP2_NO_ERROR],
  ])("over HTTP/2 a stream that is reset with %s before its end begins no call", async (_code, code) => {
    const head = { ":method": "POST", ":scheme": "http", ":authority": server.url.host, ":path": path };
    const headers = { ...head, "content-type": type, "a2a-version": "1.0", te: "trailers" };
    await leave(headers, [body(), body(), body(), body()], code);
    await another();
    expect(begun).toEqual([`another ${calls}`]);
  });

  test("the same bytes with their end begin a call", async () => {
    const head = { ":method": "POST", ":scheme": "http", ":authority": server.url.host, ":path": path };
    await leave({ ...head, "content-type": type, "a2a-version": "1.0", te: "trailers" }, [body()], "END_STREAM");
    await another();
    await eventually("both turns", () => begun.length === 2);
    expect(begun).toContain(`left ${calls - 1}`);
  });
});

describe.each(forms.filter(([, , type]) => !needsHttp2.test(type)))("%s", (_name, path, type, body) => {
  test.each([
    "with a length",
    "in chunks",
  ])("over HTTP/1.1 a connection that closes before the end of a body %s begins no call", async (form) => {
    const bytes = body();
    const head = { host: server.url.host, "content-type": type, "a2a-version": "1.0" };
    const length =
      form === "in chunks"
        ? `transfer-encoding: chunked\r\n\r\n${bytes.byteLength.toString(16)}\r\n`
        : `content-length: ${bytes.byteLength + 1}\r\n\r\n`;
    const socket = connectTcp(Number(server.url.port), server.url.hostname);
    socket.on("error", () => undefined).resume();
    socket.write(`POST ${path} HTTP/1.1\r\n${lines(head)}${length}`);
    socket.write(bytes);
    const closed = new Promise((resolve) => socket.once("close", resolve));
    socket.end(form === "in chunks" ? "\r\n" : "");
    await closed;
    await another();
    expect(begun).toEqual([`another ${calls}`]);
  });
});

function lines(head: Readonly<Record<string, string>>): string {
  return Object.entries(head)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join("");
}
