import { brotliCompressSync, gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { framed } from "../../src/transport/grpc/frames.ts";
import { type RawAnswer, type RawServer, startRawServer } from "./listener/raw-server.ts";

/** What clients do wrong is never told as a fault of the server, and never in words of the engine. */

let raw: RawServer;
beforeAll(async () => {
  raw = await startRawServer();
});
afterAll(() => raw[Symbol.asyncDispose]());

const a2a = "/lf.a2a.v1.A2AService";
const methods = {
  unary: `${a2a}/SendMessage`,
  stream: `${a2a}/SendStreamingMessage`,
  health: "/grpc.health.v1.Health/Check",
  "health's stream": "/grpc.health.v1.Health/Watch",
  reflection: "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
};
const text = Buffer.from("The quick brown fox jumps over the lazy dog");
const long = Buffer.from(Array.from({ length: 999 }, (_, index) => index).join());
const compressed = { gzip: gzipSync(long), br: brotliCompressSync(long) };
/** Bytes that no decoder accepts. */
const broken = {
  "no such compression": text,
  "no bytes of it but one": Buffer.of(0),
  "cut off": undefined,
  "changed within": undefined,
};
/** Bytes that are no message, in protobuf and in JSON. */
const unreadable = {
  protobuf: {
    "ends within a field": Buffer.of(0x0a, 0x09, 1),
    "ends within a fixed number": Buffer.of(0x39, 1),
    "has a text that is not UTF-8": Buffer.of(0x0a, 2, 0xff, 0xff),
    "has a number without an end": Buffer.of(8, ...new Uint8Array(11).fill(0xff)),
    "has a group without an end": Buffer.of(0xfb, 1, 0xfb, 1),
    "has a tag of no kind": Buffer.of(0x0f),
  },
  JSON: {
    "is cut off": Buffer.from('{"message":'),
    "is a word": Buffer.from("hello"),
    "goes on behind its end": Buffer.from("{} x"),
    "has a control character": Buffer.from('{"a":"\u0001"}'),
    "has a wrong escape": Buffer.from('{"a":"\\x"}'),
    "has a wrong number": Buffer.from('{"a":01}'),
    "is not UTF-8": Buffer.of(0x22, 0xff, 0x22),
    "has a member twice": Buffer.from('{"a":1,"a":2}'),
    "is a number": Buffer.from("5"),
  },
};

/** Words of V8, of Node, of zlib and of Connect in place of them. */
const engineText =
  /\b(?:Syntax|Type|Range)Error|Unexpected|Unterminated|Bad |in JSON at|" is not valid JSON|DataView|encoded data|premature|decompression|header check/;

function brokenBytes(fault: keyof typeof broken, encoding: keyof typeof compressed): Buffer {
  const whole = compressed[encoding];
  if (fault === "cut off") return whole.subarray(0, whole.byteLength >> 1);
  if (fault === "changed within") return Buffer.from(whole.map((byte, at) => (at > 20 ? byte ^ 0x5a : byte)));
  return broken[fault];
}

/** The code of an answer of any protocol, by its name or number. */
function codeOf({ headers, body }: RawAnswer): string {
  const told = headers["grpc-status"] ?? /grpc-status: (\d+)/.exec(body)?.[1];
  return String(told ?? /"code":"?([\w-]+)/.exec(body)?.[1]);
}

function toldIn({ headers, body }: RawAnswer): string {
  return decodeURIComponent(`${headers["grpc-message"] ?? ""}${/grpc-message: ([^\r\n]*)/.exec(body)?.[1] ?? body}`);
}

const deadlines = [
  {},
  // It comes before anything of the request is read.
  { "grpc-timeout": "1n" },
];
/** INVALID_ARGUMENT, or DEADLINE_EXCEEDED where that came first. */
const clients = /^(?:3|4|invalid_argument|deadline_exceeded)$/;

const faults = Object.keys(broken) as (keyof typeof broken)[];
const encodings = Object.keys(compressed) as (keyof typeof compressed)[];

describe.each(Object.entries(methods))("a request of %s", (_method, path) => {
  const post = (headers: Record<string, string>, body: Uint8Array) =>
    raw.http2(path, { method: "POST", headers, body });

  test.each(
    encodings.flatMap((encoding) => faults.map((fault) => ({ encoding, fault }))),
  )("whose $encoding is broken is the client's fault: $fault", async ({ encoding, fault }) => {
    const frame = framed([brokenBytes(fault, encoding)]);
    frame.writeUInt8(1);
    for (const type of ["application/grpc", "application/grpc+json", "application/grpc-web+proto"])
      for (const deadline of deadlines) {
        const headers = { "content-type": type, te: "trailers", "grpc-encoding": encoding, ...deadline };
        const answer = await post(headers, frame);
        expect(codeOf(answer), type).toMatch(clients);
        expect(toldIn(answer), type).not.toMatch(engineText);
      }
  });

  test.each(
    Object.entries(unreadable).flatMap(([format, bodies]) =>
      Object.entries(bodies).map(([fault, body]) => ({ format, fault, body })),
    ),
  )("that $fault is the client's fault in $format", async ({ format, body }) => {
    const suffix = format === "JSON" ? "json" : "proto";
    for (const type of ["grpc", "grpc-web"])
      for (const deadline of deadlines) {
        const headers = { "content-type": `application/${type}+${suffix}`, te: "trailers", ...deadline };
        const answer = await post(headers, framed([body]));
        expect(codeOf(answer), type).toMatch(clients);
        expect(toldIn(answer), type).not.toMatch(engineText);
      }
  });
});

describe("a request in a whole body", () => {
  const posts = {
    Connect: [methods.unary, "application/json"],
    "Connect's binary form": [methods.unary, "application/proto"],
    "HTTP+JSON": ["/message:send", "application/a2a+json"],
    "HTTP+JSON's stream": ["/message:stream", "application/a2a+json"],
    "JSON-RPC": ["/", "application/json"],
  } as const;

  describe.each(Object.entries(posts))("over %s", (_name, [path, type]) => {
    const post = (headers: Record<string, string>, body: Uint8Array) =>
      raw.http2(path, { method: "POST", headers: { "content-type": type, ...headers }, body });

    test.each(
      encodings.flatMap((encoding) => faults.map((fault) => ({ encoding, fault }))),
    )("is the client's fault if its $encoding is broken: $fault", async ({ encoding, fault }) => {
      const answer = await post({ "content-encoding": encoding }, brokenBytes(fault, encoding));
      expect(codeOf(answer)).toMatch(/^(?:400|invalid_argument|-32602)$/);
      expect(toldIn(answer)).not.toMatch(engineText);
    });

    test.each(
      Object.entries(type === "application/proto" ? unreadable.protobuf : unreadable.JSON),
    )("is the client's fault if it %s", async (_fault, body) => {
      const answer = await post({}, body);
      expect(codeOf(answer)).toMatch(/^(?:400|invalid_argument|-32700|-32600)$/);
      expect(toldIn(answer)).not.toMatch(engineText);
    });
  });
});

test("JSON that can't be parsed is refused with the position, as far as it is known", async () => {
  const post = async (body: string) =>
    (await raw.http2("/message:send", { method: "POST", headers: { "content-type": "application/json" }, body })).json;
  expect(await post('{"a":01}')).toMatchObject({ error: { message: "The body is not valid JSON, at position 6" } });
  expect(await post("hello")).toMatchObject({ error: { message: "The body is not valid JSON" } });
  expect(await post('{"a":1,"a":2}')).toMatchObject({
    error: { message: 'The body is not valid JSON: duplicate object key "a"' },
  });
});
