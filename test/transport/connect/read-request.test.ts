import { randomBytes } from "node:crypto";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { fromBinary } from "@bufbuild/protobuf";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { BadRequestSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import { type RawServer, startRawServer, userMessage } from "../listener/raw-server.ts";

const unaryPath = "/lf.a2a.v1.A2AService/SendMessage";
const streamPath = "/lf.a2a.v1.A2AService/SendStreamingMessage";
const unary = { "content-type": "application/json" };
const stream = { "content-type": "application/connect+json" };

let raw: RawServer;
beforeAll(async () => {
  raw = await startRawServer();
});
afterAll(() => raw[Symbol.asyncDispose]());
afterEach(() => vi.restoreAllMocks());

const post = (path: string, headers: Record<string, string>, body: string | Uint8Array) =>
  raw.http2(path, { method: "POST", headers, body });

function framed(body: string | Uint8Array, flags = 0): Buffer {
  const bytes = Buffer.from(body);
  const prefix = Buffer.alloc(5);
  prefix.writeUInt8(flags);
  prefix.writeUInt32BE(bytes.byteLength, 1);
  return Buffer.concat([prefix, bytes]);
}

/** Too large, and not compressed by much. */
const largeText = randomBytes(4_000_000).toString("hex");

const asking = (text: string) => JSON.stringify({ message: userMessage(text, { future: [1] }), future: {} });

describe("a request in JSON reaches the agent, unknown fields and all", () => {
  test.each<[string, string, Record<string, string>, (text: string) => string | Uint8Array]>([
    ["plain", unaryPath, unary, (text) => text],
    ["by gzip", unaryPath, { ...unary, "content-encoding": "gzip" }, gzipSync],
    ["by brotli", unaryPath, { ...unary, "content-encoding": "br" }, brotliCompressSync],
    ["with the encoding identity", unaryPath, { ...unary, "content-encoding": "identity" }, (text) => text],
    ["to a stream", streamPath, stream, framed],
    [
      "to a stream by gzip",
      streamPath,
      { ...stream, "connect-content-encoding": "gzip" },
      (t) => framed(gzipSync(t), 1),
    ],
    ["not compressed where it might be", streamPath, { ...stream, "connect-content-encoding": "gzip" }, framed],
    ["with the header of another protocol", unaryPath, { ...unary, "grpc-encoding": "gzip" }, (text) => text],
    [
      "over gRPC-Web by gzip",
      unaryPath,
      { "content-type": "application/grpc-web+json", "grpc-encoding": "gzip" },
      (text) => framed(gzipSync(text), 1),
    ],
    ["over gRPC-Web", unaryPath, { "content-type": "application/grpc-web+json" }, framed],
  ])("%s", async (_name, path, headers, encode) => {
    const parsed: string[] = [];
    const parse = JSON.parse;
    vi.spyOn(JSON, "parse").mockImplementation((text, reviver) => {
      parsed.push(text);
      return parse(text, reviver);
    });
    const text = asking(`hello ${crypto.randomUUID()}`);
    const { status, body } = await post(path, { ...headers, "accept-encoding": "identity" }, encode(text));
    expect([status, body]).toEqual([200, expect.stringMatching(/TASK_STATE_COMPLETED/)]);
    expect(parsed.filter((each) => each.includes(text))).toEqual([text]);
  });
});

describe("a request in JSON with a fault", () => {
  const wrong = '{"message":{"parts":[{"text":"a"},{"text":5}]}}';

  test.each<[string, string, Record<string, string>, string | Uint8Array]>([
    ["unary", unaryPath, unary, wrong],
    ["compressed", unaryPath, { ...unary, "content-encoding": "gzip" }, gzipSync(wrong)],
    ["to a stream", streamPath, stream, framed(wrong)],
  ])("names the field: %s", async (_name, path, headers, body) => {
    const answer = (await post(path, headers, body)).body;
    const { code, message, details } = JSON.parse(
      answer.slice(answer.indexOf("{")).replace(/^\{"error":(.*)\}$/, "$1"),
    );
    expect([code, message]).toEqual(["invalid_argument", "message.parts[1].text: expected string, got 5"]);
    const violations = fromBinary(BadRequestSchema, Buffer.from(details[1].value, "base64")).fieldViolations;
    expect(violations.map(({ field }) => field)).toEqual(["message.parts[1].text"]);
  });

  test.each<[string, Uint8Array, RegExp]>([
    ["cut off within its prefix", framed("{}").subarray(0, 3), /protocol error/],
    ["cut off within its message", framed("{}").subarray(0, 6), /protocol error/],
    ["compressed in no way that was named", framed(gzipSync("{}"), 1), /compressed/],
    ["a second message", Buffer.concat([framed(asking("hello")), framed("{}")]), /extra input message/],
  ])("is refused by Connect itself: %s", async (_name, body, message) => {
    expect((await post(streamPath, stream, body)).body).toMatch(message);
  });

  test.each<[string, string, Record<string, string>, string | Uint8Array]>([
    ["plain", unaryPath, unary, "x".repeat(8_000_000)],
    ["after decompression", unaryPath, { ...unary, "content-encoding": "gzip" }, gzipSync(largeText)],
    ["in a stream", streamPath, stream, framed("x".repeat(8_000_000))],
  ])("that is too large is refused: %s", async (_name, path, headers, body) => {
    const answer = (await post(path, headers, body)).body;
    expect(answer).toMatch(/"code":"resource_exhausted","message":"The request is larger than requests may be"/);
  });
});
