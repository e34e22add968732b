import type { Random } from "./random.ts";
import type { Json } from "./valid-calls.ts";
import { framed, type HttpRequest, type Layers, validLayers } from "./ways.ts";

/** Faults in one layer of a request: its JSON, its protobuf, its compression or its frame. */
export type Layer = keyof Layers;

export function brokenLayers(layer: Layer, random: Random): Layers {
  switch (layer) {
    case "json":
      return { ...validLayers, json: (request) => brokenJson(request, random) };
    case "binary":
      return { ...validLayers, binary: (bytes) => brokenBinary(bytes, random) };
    case "compressed":
      return { ...validLayers, compressed: (bytes) => brokenBytes(bytes, random) };
    case "frame":
      return { ...validLayers, frame: (bytes, isCompressed) => brokenFrame(bytes, isCompressed, random) };
    default:
      return layer satisfies never;
  }
}

/** A flipped bit, a part cut out, put in or doubled, or an early end. */
export function brokenBytes(bytes: Uint8Array, random: Random): Uint8Array {
  const at = random.below(bytes.byteLength + 1);
  const before = bytes.subarray(0, at);
  const length = 1 + random.below(16);
  switch (random.below(5)) {
    case 0: {
      const flipped = Uint8Array.from(bytes);
      if (at < flipped.byteLength) flipped[at] = (flipped[at] ?? 0) ^ (1 << random.below(8));
      return flipped;
    }
    case 1:
      return before;
    case 2:
      return Buffer.concat([before, bytes.subarray(at + length)]);
    case 3:
      return Buffer.concat([before, random.bytes(length), bytes.subarray(at)]);
    default:
      return Buffer.concat([before, bytes.subarray(Math.max(0, at - length))]);
  }
}

// ── JSON ──

/** Stands in a text for bytes or characters that `JSON.stringify` can't write. */
const mark = "\u{f8ff}";

const nested = (levels: number, open: string, close: string, inner = "") =>
  `${open.repeat(levels)}${inner}${close.repeat(levels)}`;

/** Values of other types, and values that no field takes. */
function oddValue(random: Random): unknown {
  return random.pick<() => unknown>([
    () => null,
    () => true,
    () => -1,
    () => 1.5,
    () => 2 ** 53 + 2,
    () => "",
    () => "\0",
    () => "x".repeat(random.pick([257, 5_000, 100_000])),
    () => [],
    () => [null],
    () => [[1]],
    () => ({}),
    () => ({ "": 1, constructor: 1, toString: null }),
    () => JSON.parse('{"__proto__":{"text":"x"}}'),
    () => Array.from({ length: random.pick([101, 2_000]) }, () => random.pick([0, "x", {}])),
    () => "9999-99-99T99:99:99Z",
    () => "TASK_STATE_NONE",
    () => "99999999999999999999",
    () => "-1",
    () => "=?%not base64",
    () => Buffer.from('[1.5,"x","y"]').toString("base64url"),
    () => Buffer.from(JSON.stringify([{}, null, "x".repeat(22)])).toString("base64url"),
  ])();
}

/** Texts and bytes in place of a value. */
function oddText(random: Random): string | Uint8Array {
  return random.pick<() => string | Uint8Array>([
    () => random.pick(["1e400", "-1e400", "1e-400", "9007199254740993", "1".repeat(500), "-0", "01", "+1", "0x1"]),
    () => random.pick(["NaN", "Infinity", "undefined", "'x'", "tru", "", "{", "]", '"', "/**/1", "1,"]),
    () => random.pick(['"\\ud800"', '"\\udc00x"', '"\\ud800\\ud800"', '"\\x"', '"\\u00"', '"\n"', '"\\u0000"']),
    () => nested(random.pick([10, 99, 101, 1_000, 20_000]), "[", "]"),
    () => nested(random.pick([50, 101, 2_000]), '{"a":', "}", "1"),
    () => "[".repeat(random.pick([100, 10_000])),
    () => Buffer.from(random.pick(["22ff22", "22c08022", "22eda08022", "22f8888080802", "00", "efbbbf31"]), "hex"),
  ])();
}

function brokenJson(request: Json, random: Random): Uint8Array {
  const isObject = typeof request === "object" && request !== null && !Array.isArray(request);
  switch (isObject ? random.below(8) : random.below(4)) {
    case 0:
      return brokenBytes(Buffer.from(JSON.stringify(request)), random);
    case 1:
      return Buffer.from(JSON.stringify(replaced(request, random, oddValue)));
    case 2:
    case 3: {
      const [before = "", after] = JSON.stringify(replaced(request, random, () => mark)).split(`"${mark}"`);
      return after === undefined
        ? Buffer.from(before)
        : Buffer.concat([Buffer.from(before), Buffer.from(oddText(random)), Buffer.from(after)]);
    }
    case 4:
      return Buffer.from(JSON.stringify(replaced(request, random, () => undefined)) ?? "");
    case 5: {
      // A member twice.
      const [name = "a"] = Object.keys(request);
      return Buffer.from(
        `{${JSON.stringify(name)}:${JSON.stringify(oddValue(random))},${JSON.stringify(request).slice(1)}`,
      );
    }
    case 6:
      return Buffer.from(
        JSON.stringify({ ...request, [random.pick(["future", "id", "tenant", ""])]: oddValue(random) }),
      );
    default: {
      const text = JSON.stringify(request);
      const around = random.pick<readonly [string, string]>([
        ["\u{feff}", ""],
        ["", "x"],
        ["", text],
        ["\0", ""],
        ["[", "]"],
        ['"', '"'],
        ["\n \t", "\r\n"],
      ]);
      return Buffer.from(`${around[0]}${text}${around[1]}`);
    }
  }
}

/** A copy in which one value, at any depth, is another. */
function replaced(value: unknown, random: Random, other: (random: Random) => unknown): unknown {
  if (typeof value !== "object" || value === null || random.chance(0.15)) return other(random);
  const names = Object.keys(value);
  if (names.length === 0) return other(random);
  const name = random.pick(names);
  const copy = (Array.isArray(value) ? [...value] : { ...value }) as Json;
  Object.defineProperty(copy, name, {
    value: replaced((value as Json)[name], random, other),
    enumerable: true,
    configurable: true,
    writable: true,
  });
  return copy;
}

// ── Protobuf ──

function varint(value: number): number[] {
  return value < 128 ? [value] : [(value % 128) + 128, ...varint(Math.floor(value / 128))];
}

function brokenBinary(bytes: Uint8Array, random: Random): Uint8Array {
  const number = 1 + random.below(20);
  const field = (wireType: number, content: readonly number[]) =>
    Buffer.concat([bytes, Buffer.from([...varint(number * 8 + wireType), ...content])]);
  switch (random.below(9)) {
    case 0:
      return Buffer.concat([bytes, bytes]);
    case 1:
      return field(
        0,
        random.pick([[255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1], [255, 255, 255, 255, 15], [128]]),
      );
    case 2:
      return field(
        2,
        random.pick([
          [255, 255, 255, 255, 15],
          [5, 1],
          [3, 0xff, 0xfe, 0xfd],
          [2, 0xc0, 0x80],
          [3, 0xed, 0xa0, 0x80],
        ]),
      );
    case 3:
      return field(random.pick([1, 5]), [0, 0, 0, 240, 255, 255, 255, 127]);
    case 4:
      // Groups: opened, closed, and nested.
      return field(3, random.pick([[], varint(number * 8 + 4), Array<number>(200).fill(number * 8 + 3)]));
    case 5:
      return field(random.pick([4, 6, 7]), []);
    case 6: {
      // A Value in lists of Values, as metadata.
      let inner: number[] = [0x20, 1];
      for (let level = random.pick([20, 60, 300]); level > 0; level--) {
        const list = [0x0a, ...varint(inner.length), ...inner];
        inner = [0x32, ...varint(list.length), ...list];
      }
      const entry = [0x0a, 1, 0x61, 0x12, ...varint(inner.length), ...inner];
      const struct = [0x0a, ...varint(entry.length), ...entry];
      return Buffer.concat([bytes, Buffer.from([0x22, ...varint(struct.length), ...struct])]);
    }
    case 7:
      return random.bytes(random.below(40));
    default:
      return brokenBytes(bytes, random);
  }
}

// ── Frames ──

function brokenFrame(bytes: Uint8Array, isCompressed: boolean, random: Random): Uint8Array {
  const frame = framed(bytes, isCompressed);
  const withLength = (length: number) => {
    const copy = Buffer.from(frame);
    copy.writeUInt32BE(length, 1);
    return copy;
  };
  switch (random.below(7)) {
    case 0:
      return withLength(random.pick([0, bytes.byteLength + 1, 5_000_000, 0x7fffffff, 0xffffffff]));
    case 1: {
      const copy = Buffer.from(frame);
      copy.writeUInt8(random.pick([1, 2, 3, 128, 255]));
      return copy;
    }
    case 2:
      return Buffer.concat([frame, frame]);
    case 3:
      return Buffer.concat([frame, random.bytes(1 + random.below(5))]);
    case 4:
      return frame.subarray(0, random.below(frame.byteLength));
    case 5:
      return new Uint8Array();
    default:
      return brokenBytes(frame, random);
  }
}

// ── Heads ──

const oddHeaders: readonly (readonly [string, readonly string[]])[] = [
  [
    "content-type",
    ["", "text/plain", "application/json; charset=utf-16", "application/grpc+xml", "APPLICATION/JSON", "a/b;;="],
  ],
  ["content-type", ["application/json", "application/proto", "application/grpc", "application/grpc-web-text"]],
  [
    "content-type",
    ["application/connect+json", "application/connect+proto", "application/a2a+json", "application/grpc-web"],
  ],
  ["a2a-version", ["", "0.3", "0.2", "2.0", "1", "1.0.0", "1.0, 0.3", "x".repeat(3_000), "-1.0"]],
  ["a2a-extensions", ["", ",", "urn:x", "https://a b", "x,".repeat(500)]],
  ["grpc-timeout", ["1n", "0S", "1m", "99999999H", "100000000S", "-1S", "abc", "1", ""]],
  ["connect-timeout-ms", ["0", "1", "-1", "abc", "9999999999", "99999999999999999"]],
  ["connect-protocol-version", ["", "2", "abc"]],
  ["content-encoding", ["gzip", "br", "deflate", "zstd", "identity", "gzip, br", "x", ""]],
  ["grpc-encoding", ["gzip", "br", "deflate", "zstd", "identity", "x", ""]],
  ["connect-content-encoding", ["gzip", "br", "zstd", "identity", "x"]],
  ["accept", ["", "*/*", "text/html", "text/event-stream", "application/json;q=0", ";;;", "a".repeat(2_000)]],
  ["accept-encoding", ["gzip", "*;q=0", "br;q=x"]],
  ["grpc-accept-encoding", ["gzip", "x", ","]],
  ["last-event-id", ["", "0", "1", "-1", "abc", "99999999999999999999", "1.5"]],
  ["origin", ["null", "http://evil.example", "http://127.0.0.1", "x", "http://[::1"]],
  ["host", ["evil.example", "a@127.0.0.1", "127.0.0.1:99999", "[::1", "%00", ""]],
  ["sec-fetch-site", ["cross-site", "same-origin", "x"]],
  ["expect", ["100-continue", "x"]],
  ["content-length", ["0", "1", "-1", "abc", "99999999999999999999"]],
  ["x-http-method-override", ["DELETE"]],
  ["grpc-metadata-bin", ["=", "AA", "!!"]],
  ["traceparent", ["00-x", "00-00000000000000000000000000000000-0000000000000000-00"]],
  ["cookie", ["a=b; a=b", ";"]],
];

const oddPaths: readonly ((path: string) => string)[] = [
  (path) => `${path}/`,
  (path) => `/${path}`,
  (path) => `${path}%`,
  (path) => `${path}%ff`,
  (path) => `${path}%00`,
  (path) => `/..${path}`,
  (path) => `/%2e%2e${path}`,
  (path) => path.replaceAll("/", "%2F"),
  (path) => path.toUpperCase(),
  (path) => `${path}?A2A-Version=0.3&A2A-Version=1.0`,
  (path) => `${path}?pageSize=x&page_size=1&pageSize=2`,
  (path) => `${path}?historyLength=1e9&historyLength=-1`,
  (path) => `${path}?tenant=a&tenant=b&%=%`,
  (path) => `${path}?status=0&statusTimestampAfter=x&includeArtifacts=2`,
  (path) => `${path}?message.parts=x&metadata=%7B%7D`,
  (path) => `${path}?${"a=b&".repeat(1_000)}`,
  (path) => `${path}?pageToken=${Buffer.from('[1.5,"x","y"]').toString("base64url")}`,
  (path) => path.slice(0, -1),
  (path) => `/tenant${path}`,
  () => "/",
  () => "*",
  () => `/tasks/${"x".repeat(5_000)}`,
  () => "/tasks/%F0%9F%98",
  () => "/.well-known/agent-card.json",
  () => "/openapi.json",
  () => "/lf.a2a.v1.A2AService/None",
  () => "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
  () => "/grpc.health.v1.Health/Check",
];

const verbs = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "QUERY", "PROPFIND"];

/** Another header, path or verb. */
export function brokenHead(request: HttpRequest, random: Random): HttpRequest {
  const kind = random.next();
  if (kind < 0.7) {
    const [name, values] = random.pick(oddHeaders);
    return { ...request, headers: { ...request.headers, [name]: random.pick(values) } };
  }
  if (kind < 0.9) return { ...request, path: random.pick(oddPaths)(request.path) };
  return { ...request, verb: random.pick(verbs) };
}
