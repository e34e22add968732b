import { once } from "node:events";
import {
  type ClientHttp2Session,
  connect as connectHttp2,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
} from "node:http2";
import { buffer } from "node:stream/consumers";
import { gzipSync } from "node:zlib";
import { create, fromBinary, type MessageInitShape, toBinary, toJsonString } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  GetTaskRequestSchema,
  ListTasksRequestSchema,
  ListTasksResponseSchema,
  type MessageSchema,
  Role,
  SendMessageRequestSchema,
  SendMessageResponseSchema,
  StreamResponseSchema,
} from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { framed } from "../../../src/transport/grpc/frames.ts";
import { type RawServer, startRawServer } from "../listener/raw-server.ts";

const service = "/lf.a2a.v1.A2AService";
const frame = (message: Uint8Array) => framed([message]);
const maxEventBytes = 64 * 1024;

let raw: RawServer;
let session: ClientHttp2Session;

beforeAll(async () => {
  raw = await startRawServer({ manager: { maxEventBytes } });
  session = connectHttp2(raw.server.url.origin);
});

afterAll(async () => {
  session.close();
  await raw[Symbol.asyncDispose]();
});

interface Answer {
  readonly headers: IncomingHttpHeaders;
  readonly trailers: IncomingHttpHeaders;
  readonly messages: readonly Buffer[];
}

async function call(method: string, body: Uint8Array, headers: OutgoingHttpHeaders = {}): Promise<Answer> {
  const stream = session.request({
    ":method": "POST",
    ":path": `${service}/${method}`,
    "content-type": "application/grpc",
    te: "trailers",
    ...headers,
  });
  let told: IncomingHttpHeaders = {};
  let trailers: IncomingHttpHeaders = {};
  const chunks: Buffer[] = [];
  stream.once("response", (given) => {
    told = given;
  });
  stream.once("trailers", (given) => {
    trailers = given;
  });
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  stream.end(body);
  await once(stream, "close");
  return { headers: told, trailers, messages: messagesOf(Buffer.concat(chunks)) };
}

function messagesOf(body: Buffer): readonly Buffer[] {
  const messages: Buffer[] = [];
  for (let at = 0; at < body.byteLength; ) {
    const end = at + 5 + body.readUInt32BE(at + 1);
    messages.push(body.subarray(at + 5, end));
    at = end;
  }
  return messages;
}

/** A call whose request is the caller's to write. */
function openCall(method: string, headers: OutgoingHttpHeaders, on: ClientHttp2Session = session) {
  const stream = on.request({
    ":method": "POST",
    ":path": `${service}/${method}`,
    "content-type": "application/grpc",
    te: "trailers",
    ...headers,
  });
  const head = new Promise<IncomingHttpHeaders>((resolve) => stream.once("response", resolve));
  return { stream, head };
}

/** The status, wherever it was told. */
const statusOf = ({ headers, trailers }: Answer) => Number(trailers["grpc-status"] ?? headers["grpc-status"]);
const textOf = ({ headers, trailers }: Answer) =>
  decodeURI(String(trailers["grpc-message"] ?? headers["grpc-message"] ?? ""));

function saying(
  content: string | MessageInitShape<typeof MessageSchema>,
): MessageInitShape<typeof SendMessageRequestSchema> {
  const [text, init] = typeof content === "string" ? [content, {}] : ["hello", content];
  return {
    message: {
      messageId: crypto.randomUUID(),
      role: Role.USER,
      parts: [{ content: { case: "text", value: text } }],
      ...init,
    },
  };
}
const send = (content: Parameters<typeof saying>[0]) =>
  toBinary(SendMessageRequestSchema, create(SendMessageRequestSchema, saying(content)));
const includingArtifacts = toBinary(ListTasksRequestSchema, create(ListTasksRequestSchema, { includeArtifacts: true }));

describe("a call", () => {
  test.each([
    "application/grpc",
    "application/grpc+proto",
    "Application/gRPC",
    "application/grpc; charset=utf-8",
    "application/grpc+proto;x=y",
  ])("of type %s is answered by headers, one message and the status in trailers", async (type) => {
    const answer = await call("SendMessage", frame(send("hello")), { "content-type": type });
    expect(answer.headers).toMatchObject({ ":status": 200, "content-type": "application/grpc+proto" });
    expect(answer.headers["grpc-status"]).toBeUndefined();
    expect(answer.trailers).toMatchObject({ "grpc-status": "0" });
    expect(answer.messages.map((bytes) => fromBinary(SendMessageResponseSchema, bytes).payload.case)).toEqual(["task"]);
  });

  test("that sends its request byte by byte is answered the same", async () => {
    const stream = session.request({
      ":method": "POST",
      ":path": `${service}/SendMessage`,
      "content-type": "application/grpc",
      te: "trailers",
    });
    let trailers: IncomingHttpHeaders = {};
    stream.once("trailers", (given) => {
      trailers = given;
    });
    stream.resume();
    // Each in a frame of its own.
    for (const byte of frame(send(`${"x".repeat(3000)}y`)))
      await new Promise((resolve) => stream.write(Buffer.of(byte), resolve));
    stream.end();
    await once(stream, "close");
    expect(trailers["grpc-status"]).toBe("0");
    const { tasks } = fromBinary(
      ListTasksResponseSchema,
      (await call("ListTasks", frame(includingArtifacts))).messages[0] ?? Buffer.of(),
    );
    expect(tasks[0]?.artifacts[0]?.parts[0]?.content.value).toBe(`${"x".repeat(3000)}y`);
  });

  test("that names an encoding of HTTP, which gRPC doesn't know, is answered the same", async () => {
    expect(statusOf(await call("SendMessage", frame(send("hello")), { "content-encoding": "gzip" }))).toBe(0);
  });

  test("that is refused before any message has its status in the only headers", async () => {
    const answer = await call(
      "GetTask",
      frame(toBinary(GetTaskRequestSchema, create(GetTaskRequestSchema, { id: "no-such-100%-Aufgabe-ä:b" }))),
    );
    expect(answer.headers).toMatchObject({
      ":status": 200,
      "content-type": "application/grpc+proto",
      "grpc-status": "5",
    });
    expect(answer.headers["grpc-status-details-bin"]).toMatch(/^[\w+/]+$/);
    expect(textOf(answer)).toContain("no-such-100%-Aufgabe-ä:b");
    expect(answer.messages).toEqual([]);
  });

  test.each<[string, Uint8Array, number]>([
    ["without a message", new Uint8Array(), 12],
    ["with two messages", Buffer.concat([frame(send("a")), frame(send("b"))]), 12],
    ["with a message and half a prefix", Buffer.concat([frame(send("a")), Buffer.of(0, 0)]), 12],
    ["that ends within its prefix", Buffer.of(0, 0, 0), 3],
    ["that ends within its message", frame(send("a")).subarray(0, 9), 3],
    ["that ends between two fields of its message", Buffer.concat([Buffer.of(0, 0, 0, 0x7f, 0xff), send("a")]), 3],
    [
      "flagged as compressed, with nothing that says how",
      Buffer.concat([Buffer.of(1), frame(send("a")).subarray(1)]),
      13,
    ],
    ["that is no message", frame(Buffer.of(0x12, 0xff, 0x01, 0x00)), 3],
    ["whose length is beyond what may be read", Buffer.of(0, 0xff, 0xff, 0xff, 0xff), 8],
    ["larger than what is read", frame(new Uint8Array(maxEventBytes * 4)), 8],
  ])("%s is refused, and the connection lives on", async (_name, body, status) => {
    expect(statusOf(await call("SendMessage", body))).toBe(status);
    expect(statusOf(await call("SendMessage", frame(send("hello"))))).toBe(0);
  });

  test("of a version that isn't served is refused so, whatever its request is", async () => {
    expect(statusOf(await call("SendMessage", Buffer.of(0, 0, 0), { "a2a-version": "0.5" }))).toBe(9);
  });

  test("by another method than POST is none", async () => {
    const { headers } = await call("SendMessage", frame(send("hello")), { ":method": "PUT" });
    expect(headers).toMatchObject({ ":status": 405, allow: "POST" });
  });

  test("as large as may be read is read, and not a byte more", async () => {
    const bytesMax = maxEventBytes * 1.5 + 64 * 1024;
    const head = toBinary(GetTaskRequestSchema, create(GetTaskRequestSchema, { id: "no-such" }));
    // The rest is a field that nobody knows: its tag, its length in three bytes, its bytes.
    const rest = bytesMax - head.byteLength - 5;
    const request = Buffer.concat([
      head,
      Buffer.of(0xfa, 0x7f, (rest & 0x7f) | 0x80, ((rest >> 7) & 0x7f) | 0x80, rest >> 14),
      new Uint8Array(rest),
    ]);
    expect(request.byteLength).toBe(bytesMax);
    expect(statusOf(await call("GetTask", frame(request)))).toBe(5);
    expect(statusOf(await call("GetTask", frame(Buffer.concat([request, Buffer.of(0)]))))).toBe(8);
  });

  const mediaType = "ä".repeat(20_000);
  test.each<[string, Uint8Array, OutgoingHttpHeaders]>([
    ["in a message", send({ parts: [{ content: { case: "text", value: "hello" }, mediaType }] }), {}],
    ["in a header", send("hello"), { "grpc-timeout": "\u00ff".repeat(12_000) }],
    ["in a header that Connect reads", send("hello"), { "grpc-encoding": "\u00ff".repeat(12_000) }],
    ["in many fields", send({ parts: Array.from({ length: 1000 }, () => ({})) }), {}],
  ])("is refused within what clients take of headers, whatever was wrong %s", async (_name, message, headers) => {
    const answer = await call("SendMessage", frame(message), headers);
    expect([3, 12]).toContain(statusOf(answer));
    const listBytes = Object.entries({ ...answer.headers, ...answer.trailers }).reduce(
      (sum, [name, value]) => sum + name.length + String(value).length + 32,
      0,
    );
    expect(listBytes).toBeLessThan(8192);
    expect(statusOf(await call("SendMessage", frame(send("hello"))))).toBe(0);
  });

  test.each([
    "SendMessage",
    "SendStreamingMessage",
  ])("of %s, whose deadline is over when it comes, is answered so, and begins nothing", async (method) => {
    const contextId = crypto.randomUUID();
    expect(statusOf(await call(method, frame(send({ contextId })), { "grpc-timeout": "0n" }))).toBe(4);
    const request = toBinary(ListTasksRequestSchema, create(ListTasksRequestSchema, { contextId }));
    const { tasks } = fromBinary(
      ListTasksResponseSchema,
      (await call("ListTasks", frame(request))).messages[0] ?? Buffer.of(),
    );
    expect(tasks).toEqual([]);
  });

  test("that reaches its deadline while its request still comes is answered then", async () => {
    const { stream, head } = openCall("SendMessage", { "grpc-timeout": "50m" });
    stream.write(frame(send("hello")).subarray(0, 9));
    expect(await head).toMatchObject({ ":status": 200, "grpc-status": "4" });
    stream.close();
    await once(stream, "close");
  });

  test.each([
    "soon",
    "-1S",
    "1.5S",
    "123456789S",
    "1",
  ])('with the deadline "%s" is refused, and says why', async (timeout) => {
    const answer = await call("SendMessage", frame(send("hello")), { "grpc-timeout": timeout });
    expect([statusOf(answer), textOf(answer)]).toEqual([3, expect.stringContaining(timeout)]);
  });

  test.each(["99999999H", "60S", "60000000u"])("with the deadline %s is answered", async (timeout) => {
    expect(statusOf(await call("SendMessage", frame(send("hello")), { "grpc-timeout": timeout }))).toBe(0);
  });
});

describe("what only Connect speaks it answers", () => {
  test("a compressed request", async () => {
    const compressed = Buffer.from(frame(gzipSync(send("hello"))));
    compressed[0] = 1;
    expect(statusOf(await call("SendMessage", compressed, { "grpc-encoding": "gzip" }))).toBe(0);
  });

  test("an encoding that nobody knows: refused, and told those that are known", async () => {
    const answer = await call("SendMessage", frame(send("hello")), { "grpc-encoding": "rot13" });
    expect([statusOf(answer), textOf(answer)]).toEqual([12, expect.stringContaining("gzip")]);
  });

  test("HTTP/1.1", async () => {
    const response = await raw.open(`${service}/SendMessage`, {
      method: "POST",
      headers: { "content-type": "application/grpc" },
      body: frame(send("hello")),
    });
    const [message] = messagesOf(await buffer(response));
    expect(fromBinary(SendMessageResponseSchema, message ?? Buffer.of()).payload.case).toBe("task");
    expect(response.trailers).toMatchObject({ "grpc-status": "0" });
  });

  test("JSON", async () => {
    const json = Buffer.from(toJsonString(SendMessageRequestSchema, create(SendMessageRequestSchema, saying("hello"))));
    const answer = await call("SendMessage", frame(json), { "content-type": "application/grpc+json" });
    expect([statusOf(answer), answer.headers["content-type"]]).toEqual([0, "application/grpc+json"]);
  });
});

describe("a stream", () => {
  test("is answered by a message for each event, in order, and the status", async () => {
    const { messages, trailers } = await call("SendStreamingMessage", frame(send("stream 2000")));
    const chunks = messages.map((bytes) => fromBinary(StreamResponseSchema, bytes).payload);
    expect(chunks[0]?.case).toBe("task");
    expect(chunks.filter((payload) => payload.case === "artifactUpdate")).toHaveLength(2000);
    expect(chunks.at(-1)?.case).toBe("statusUpdate");
    expect(trailers["grpc-status"]).toBe("0");
  });

  test("that reaches its deadline tells what came before, then that", async () => {
    const { messages, headers, trailers } = await call("SendStreamingMessage", frame(send("auth me")), {
      "grpc-timeout": "1000m",
    });
    expect(messages.length).toBeGreaterThan(0);
    expect([headers["grpc-status"], trailers["grpc-status"]]).toEqual([undefined, "4"]);
  });
});

describe("when the server goes down", () => {
  test("a call whose request doesn't end is told so, and keeps nobody waiting", async () => {
    const going = await startRawServer({ drainTimeoutMs: 1 });
    const client = connectHttp2(going.server.url.origin);
    try {
      const { stream, head } = openCall("SendMessage", {}, client);
      stream.on("error", () => undefined);
      stream.write(frame(send("hello")).subarray(0, 9));
      await once(client, "connect");
      // Answered behind what was sent before it on the same connection: the server has the request too.
      await new Promise<void>((resolve) => client.ping(() => resolve()));
      const drained = going.server.drain();
      expect(await head).toMatchObject({ ":status": 200, "grpc-status": "14" });
      await drained;
    } finally {
      client.destroy();
      await going[Symbol.asyncDispose]();
    }
  });
});
