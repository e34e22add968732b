import { type ClientHttp2Session, type ClientHttp2Stream, connect, type IncomingHttpHeaders } from "node:http2";
import { text } from "node:stream/consumers";
import { fromJson, toBinary } from "@bufbuild/protobuf";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { SendMessageRequestSchema } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { type RawServer, startRawServer, userMessage } from "../../transport/listener/raw-server.ts";

/** Request bodies that are being read have a budget. The newest are refused, and the older ones are not disturbed. */

let raw: RawServer;
let session: ClientHttp2Session;
beforeAll(async () => {
  raw = await startRawServer({ calls: { maxConnectionReadingBytes: 300_000, maxReadingBytes: 400_000 } });
});
afterAll(() => raw[Symbol.asyncDispose]());
beforeEach(() => {
  session = connect(raw.server.url.origin);
});
afterEach(() => session.destroy());

const sent = () => ({ message: userMessage("a".repeat(200_000)) });
const inJson = () => Buffer.from(JSON.stringify(sent()));
const inProtobuf = () => toBinary(SendMessageRequestSchema, fromJson(SendMessageRequestSchema, sent()));
const asRpc = () => Buffer.from(JSON.stringify({ jsonrpc: "2.0", id: 1, method: "SendMessage", params: sent() }));

function framed(bytes: Uint8Array): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(bytes.byteLength, 1);
  return Buffer.concat([prefix, bytes]);
}

const rpc = "/lf.a2a.v1.A2AService/SendMessage";
const streamRpc = "/lf.a2a.v1.A2AService/SendStreamingMessage";

interface Form {
  readonly name: string;
  readonly path: string;
  readonly type: string;
  readonly body: () => Uint8Array;
  /** How the binding says that the request is refused: its status, headers and body. */
  readonly refusal: RegExp;
}

const forms: readonly Form[] = [
  {
    name: "gRPC",
    path: rpc,
    type: "application/grpc",
    body: () => framed(inProtobuf()),
    refusal: /^200 .*"grpc-status":"8"/,
  },
  {
    name: "gRPC in JSON",
    path: rpc,
    type: "application/grpc+json",
    body: () => framed(inJson()),
    refusal: /^200 .*"grpc-status":"8"/,
  },
  {
    name: "gRPC-Web",
    path: rpc,
    type: "application/grpc-web",
    body: () => framed(inProtobuf()),
    refusal: /^200 .*grpc-status"?: ?"?8/s,
  },
  {
    name: "Connect",
    path: rpc,
    type: "application/proto",
    body: inProtobuf,
    refusal: /^429 .*"code":"resource_exhausted"/,
  },
  {
    name: "a stream of Connect",
    path: streamRpc,
    type: "application/connect+json",
    body: () => framed(inJson()),
    refusal: /^200 .*"error":\{"code":"resource_exhausted"/s,
  },
  {
    name: "HTTP+JSON",
    path: "/message:send",
    type: "application/json",
    body: inJson,
    refusal: /^429 .*"retry-after":"2".*"status":"RESOURCE_EXHAUSTED".*"reason":"TOO_MANY"/,
  },
  {
    name: "a stream of HTTP+JSON",
    path: "/message:stream",
    type: "application/json",
    body: inJson,
    refusal: /^429 .*"status":"RESOURCE_EXHAUSTED".*"reason":"TOO_MANY"/,
  },
  { name: "JSON-RPC", path: "/", type: "application/json", body: asRpc, refusal: /^200 .*"code":-32603/ },
];

function open({ path, type }: Form): ClientHttp2Stream {
  return session.request({ ":method": "POST", ":path": path, "content-type": type, te: "trailers" });
}

/** The whole answer as one text. */
async function answerOf(stream: ClientHttp2Stream): Promise<string> {
  const head = Promise.withResolvers<IncomingHttpHeaders>();
  stream.once("response", head.resolve).once("error", head.reject);
  let trailers: IncomingHttpHeaders = {};
  stream.once("trailers", (received) => {
    trailers = received;
  });
  const { ":status": status, ...headers } = await head.promise;
  const body = await text(stream);
  return `${status} ${JSON.stringify({ ...headers, ...trailers })} ${body}`.replaceAll("%20", " ");
}

/** Sends the larger part of a body. Resolves when the server has read it. */
async function begin(stream: ClientHttp2Stream, body: Uint8Array): Promise<void> {
  await new Promise((resolve) => stream.write(body.subarray(0, 190_000), resolve));
  await new Promise((resolve) => session.ping(resolve));
}

describe.each(forms)("over $name", (form) => {
  test("the newest request of a connection is refused when it has no room", async () => {
    const body = form.body();
    const older = open(form);
    const told = answerOf(older);
    await begin(older, body);
    const newest = open(form);
    newest.end(form.body());
    const refusal = await answerOf(newest);
    expect(refusal).toMatch(form.refusal);
    expect(refusal).toContain("on this connection have more than 300000 bytes (--max-connection-reading-bytes)");
    older.end(body.subarray(190_000));
    expect(await told).not.toMatch(form.refusal);
  });

  test("the newest request of the process is refused when it has no room", async () => {
    const [one, other] = [session, connect(raw.server.url.origin)];
    try {
      const olderBody = form.body();
      const older = open(form);
      const told = answerOf(older);
      await begin(older, olderBody);
      session = other;
      const second = open(form);
      const secondTold = answerOf(second);
      const secondBody = form.body();
      await begin(second, secondBody);
      const newest = await raw.http2("/message:send", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ message: userMessage("a".repeat(50_000)) }),
      });
      expect(newest.status).toBe(429);
      expect(newest.body).toContain(
        "The requests that are being read have more than 400000 bytes (--max-reading-bytes)",
      );
      second.end(secondBody.subarray(190_000));
      expect(await secondTold).not.toMatch(form.refusal);
      older.end(olderBody.subarray(190_000));
      expect(await told).not.toMatch(form.refusal);
    } finally {
      one.destroy();
    }
  });
});

test("a request of HTTP/1.1 counts like any other", async () => {
  const [form] = forms;
  if (form === undefined) throw new Error("There is no form");
  const body = form.body();
  const older = open(form);
  const told = answerOf(older);
  await begin(older, body);
  const url = new URL("/message:send", raw.server.url);
  const headers = { "content-type": "application/json" };
  const fits = await fetch(url, { method: "POST", headers, body: JSON.stringify(sent()) });
  expect(fits.status).toBe(200);
  const large = JSON.stringify({ message: userMessage("a".repeat(250_000)) });
  expect((await fetch(url, { method: "POST", headers, body: large })).status).toBe(429);
  older.end(body.subarray(190_000));
  expect(await told).toMatch(/"grpc-status":"0"/);
});
