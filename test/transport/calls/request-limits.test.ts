import { connect as connectHttp2 } from "node:http2";
import { connect as connectTcp } from "node:net";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type RawAnswer, type RawServer, startRawServer, userMessage } from "../listener/raw-server.ts";

let raw: RawServer;
beforeAll(async () => {
  raw = await startRawServer();
});
afterAll(() => raw[Symbol.asyncDispose]());

const rpc = "/lf.a2a.v1.A2AService/SendMessage";
const streamRpc = "/lf.a2a.v1.A2AService/SendStreamingMessage";

function framed(bytes: Uint8Array, flags = 0): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt8(flags);
  prefix.writeUInt32BE(bytes.byteLength, 1);
  return Buffer.concat([prefix, bytes]);
}

/** A send of any number of values in its metadata: in JSON, and in protobuf with the metadata's ListValue. */
const inJson = (count: number) =>
  JSON.stringify({ message: userMessage("hello"), metadata: { a: Array.from({ length: count }, () => 0) } });

function inProtobuf(count: number): Uint8Array {
  const list = Buffer.alloc(count * 4, Buffer.from([0x0a, 2, 0x20, 0]));
  const { messageId } = userMessage("hello") as unknown as { readonly messageId: string };
  return new BinaryWriter()
    .tag(2, WireType.LengthDelimited)
    .fork()
    .tag(1, WireType.LengthDelimited)
    .string(messageId)
    .tag(4, WireType.Varint)
    .int32(1)
    .tag(5, WireType.LengthDelimited)
    .fork()
    .tag(1, WireType.LengthDelimited)
    .string("hello")
    .join()
    .join()
    .tag(4, WireType.LengthDelimited)
    .fork()
    .tag(1, WireType.LengthDelimited)
    .fork()
    .tag(1, WireType.LengthDelimited)
    .string("a")
    .tag(2, WireType.LengthDelimited)
    .fork()
    .tag(6, WireType.LengthDelimited)
    .bytes(list)
    .join()
    .join()
    .join()
    .finish();
}

const asRpc = (params: string) => `{"jsonrpc":"2.0","id":1,"method":"SendMessage","params":${params}}`;

type Form = readonly [name: string, path: string, type: string, body: (count: number) => string | Uint8Array];
const forms: readonly Form[] = [
  ["HTTP+JSON", "/message:send", "application/json", inJson],
  ["JSON-RPC", "/", "application/json", (count) => asRpc(inJson(count))],
  ["Connect in JSON", rpc, "application/json", inJson],
  ["Connect's stream in JSON", streamRpc, "application/connect+json", (count) => framed(Buffer.from(inJson(count)))],
  ["gRPC", rpc, "application/grpc", (count) => framed(inProtobuf(count))],
  ["gRPC by Connect", rpc, "application/grpc;charset=utf-8", (count) => framed(inProtobuf(count))],
  ["gRPC-Web", rpc, "application/grpc-web", (count) => framed(inProtobuf(count))],
  ["gRPC-Web with its format", rpc, "application/grpc-web+proto", (count) => framed(inProtobuf(count))],
  ["Connect in protobuf", rpc, "application/proto", inProtobuf],
  ["Connect's stream in protobuf", streamRpc, "application/connect+proto", (count) => framed(inProtobuf(count))],
];

const send = (path: string, headers: Record<string, string>, body: string | Uint8Array) =>
  raw.http2(path, { method: "POST", headers: { ...headers, te: "trailers" }, body });

/** All that a client is told, in whatever form. */
const told = ({ headers, body }: RawAnswer) =>
  `${headers["grpc-message"] ?? ""}${body}`.replace(/(%[0-9A-F]{2})+/gi, (escaped) => decodeURIComponent(escaped));

describe("a request may have 100,000 values", () => {
  test.each(forms)("%s", async (_name, path, type, body) => {
    expect(told(await send(path, { "content-type": type }, body(99_000)))).not.toMatch(/values/);
    expect(told(await send(path, { "content-type": type }, body(100_000)))).toContain(
      "The request has more than 100000 values",
    );
  });

  test.each<[string, string, Record<string, string>, (bytes: Uint8Array) => Uint8Array]>([
    ["gRPC", rpc, { "content-type": "application/grpc", "grpc-encoding": "gzip" }, (b) => framed(gzipSync(b), 1)],
    ["gRPC-Web", rpc, { "content-type": "application/grpc-web", "grpc-encoding": "br" }, (b) => framed(salted(b), 1)],
    ["Connect", rpc, { "content-type": "application/proto", "content-encoding": "br" }, salted],
  ])("compressed: %s", async (_name, path, headers, encode) => {
    const bytes = Buffer.concat([inProtobuf(100_000), noise()]);
    expect(told(await send(path, headers, encode(bytes)))).toContain("The request has more than 100000 values");
  });
});

const salted = (bytes: Uint8Array) => brotliCompressSync(bytes);

/** An unknown field with bytes that can't be compressed, so that the ratio is allowed. */
const noise = () =>
  new BinaryWriter()
    .tag(1000, WireType.LengthDelimited)
    .bytes(crypto.getRandomValues(new Uint8Array(20_000)))
    .finish();

describe("a compressed request of more than 64 KiB is refused beyond 50:1", () => {
  const json = (bytes: number) => JSON.stringify({ message: userMessage("a".repeat(bytes)) });
  const headers = { "content-type": "application/json" };

  test.each<[string, string, Record<string, string>, (text: string) => Uint8Array]>([
    ["HTTP+JSON by gzip", "/message:send", { ...headers, "content-encoding": "gzip" }, gzipSync],
    ["HTTP+JSON by brotli", "/message:send", { ...headers, "content-encoding": "br" }, brotliCompressSync],
    ["JSON-RPC", "/", { ...headers, "content-encoding": "gzip" }, (text) => gzipSync(asRpc(text))],
    ["Connect", rpc, { ...headers, "content-encoding": "br" }, brotliCompressSync],
    [
      "gRPC in JSON",
      rpc,
      { "content-type": "application/grpc+json", "grpc-encoding": "gzip" },
      (text) => framed(gzipSync(text), 1),
    ],
  ])("%s", async (_name, path, given, encode) => {
    const text = "The request is compressed by more than 50:1, which is accepted up to 65536 plain bytes";
    expect(told(await send(path, given, encode(json(60_000))))).not.toContain("compressed");
    expect(told(await send(path, given, encode(json(5_000_000))))).toContain(text);
  });
});

describe("a body in too many pieces of one byte is refused", () => {
  const fault = "The request comes in too many pieces of a few bytes";
  const pieces = 17_000;

  test.each<[string, string, string, string]>([
    ["HTTP+JSON", "/message:send", "application/json", " "],
    ["JSON-RPC", "/", "application/json", " "],
    ["Connect in JSON", rpc, "application/json", " "],
    ["gRPC-Web", rpc, "application/grpc-web", "\0"],
  ])("%s over HTTP/1.1", async (_name, path, type, byte) => {
    const socket = connectTcp({ host: "127.0.0.1", port: Number(raw.server.url.port) });
    const headers = `host: localhost\r\ncontent-type: ${type}\r\ntransfer-encoding: chunked`;
    socket.write(`POST ${path} HTTP/1.1\r\n${headers}\r\n\r\n${`1\r\n${byte}\r\n`.repeat(pieces)}`);
    let got = "";
    for await (const piece of socket) {
      got += decodeURIComponent(String(piece));
      if (got.includes(fault)) break;
    }
    expect(got).toContain(fault);
  });

  test.each<[string, string]>([
    ["gRPC", "application/grpc"],
    ["gRPC by Connect", "application/grpc+json"],
  ])("%s over HTTP/2", async (_name, type) => {
    const session = connectHttp2(raw.server.url.origin);
    try {
      const stream = session.request({ ":method": "POST", ":path": rpc, "content-type": type, te: "trailers" });
      let got = "";
      const add = (more: unknown) => {
        got += JSON.stringify(more);
      };
      stream.on("response", add).on("trailers", add).on("error", add).resume();
      const closed = new Promise((resolve) => stream.once("close", resolve));
      stream.on("trailers", () => stream.destroy());
      // One after the other: Node would join them.
      for (let sent = 0; sent < pieces && !stream.destroyed; sent++)
        await new Promise((resolve) => stream.write("\0", resolve));
      stream.end();
      await closed;
      expect(decodeURIComponent(got)).toContain(fault);
    } finally {
      session.destroy();
    }
  });
});

test("a 64-bit integer of millions of digits is refused by its length", async () => {
  const body = `{"afterSequence":"${"1".repeat(3_000_000)}"}`;
  const answer = await send(
    "/taskmanager.v1.TaskManagerService/WatchTask",
    { "content-type": "application/connect+json" },
    framed(Buffer.from(body)),
  );
  expect(told(answer)).toContain("has 3000000 characters: at most 64 are accepted");
});

describe("no text of the engine reaches a client", () => {
  const deep = (levels: number) => `${"[".repeat(levels)}${"]".repeat(levels)}`;

  test.each<[string, string, string, (text: string) => string | Uint8Array]>([
    ["HTTP+JSON", "/message:send", "application/json", (text) => text],
    ["JSON-RPC", "/", "application/json", asRpc],
    ["Connect", rpc, "application/json", (text) => text],
    ["gRPC-Web in JSON", rpc, "application/grpc-web+json", (text) => framed(Buffer.from(text))],
  ])("%s", async (_name, path, type, encode) => {
    const metadata = (levels: number) =>
      `{"message":${JSON.stringify(userMessage("x"))},"metadata":{"a":${deep(levels)}}}`;
    const unknown = (levels: number) => `{"message":${JSON.stringify(userMessage("x"))},"future":${deep(levels)}}`;
    for (const text of [metadata(20_000), unknown(20_000), unknown(90_000), "[".repeat(90_000)])
      expect(told(await send(path, { "content-type": type }, encode(text)))).not.toMatch(/call stack|heap|RangeError/i);
    expect(told(await send(path, { "content-type": type }, encode(metadata(20_000))))).toContain(
      "nests too deeply: at most 100 levels are accepted",
    );
  });
});
