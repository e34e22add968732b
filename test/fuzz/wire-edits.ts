import type { Random } from "./random.ts";
import type { HttpRequest } from "./ways.ts";

/** An edit of the bytes that a client sends on a connection. */
export interface WireEdit {
  /** The byte where it begins, or for `unit` the first line or frame that begins there or later. */
  readonly at: number;
  readonly kind: "flip" | "drop" | "insert" | "unit" | "reset" | "end";
  /** Bytes in hex to put in, or the number of bytes to drop, or the bits to flip. */
  readonly hex?: string;
  readonly count?: number;
}

export interface WireEdits {
  /** Bytes of one write; 0: as they come. */
  readonly pieces: number;
  readonly edits: readonly WireEdit[];
}

/** Edits of the bytes of one request. The head has about this many bytes, HTTP/2's beginning included. */
const headBytes = 300;

export function wireEdits({ version, body }: HttpRequest, random: Random): WireEdits {
  const length = headBytes + (body?.byteLength ?? 0);
  const edits = Array.from({ length: 1 + random.below(3) }, (): WireEdit => {
    // Most faults belong to the head.
    const at = random.below(random.chance(0.7) ? headBytes : length);
    switch (random.below(6)) {
      case 0:
        return { at, kind: "flip", count: 1 << random.below(8) };
      case 1:
        return { at, kind: "drop", count: 1 + random.below(20) };
      case 2:
        return { at, kind: "insert", hex: Buffer.from(random.bytes(1 + random.below(12))).toString("hex") };
      case 3:
        return { at, kind: random.chance(0.5) ? "reset" : "end" };
      default:
        return {
          at,
          kind: "unit",
          hex: random
            .pick(version === 1 ? lines : frames)(random)
            .toString("hex"),
        };
    }
  });
  return { pieces: random.chance(0.5) ? 0 : 1 + random.below(64), edits: edits.toSorted((a, b) => a.at - b.at) };
}

type Unit = (random: Random) => Buffer;
const line =
  (text: string): Unit =>
  () =>
    Buffer.from(`${text}\r\n`, "latin1");

/** Lines of HTTP/1.1, put in between others. */
const lines: readonly Unit[] = [
  line("Host: other.example"),
  line("Host: a@127.0.0.1"),
  line("Content-Length: 5"),
  line("Content-Length: +5"),
  line("Content-Length: 5, 5"),
  line("Transfer-Encoding: chunked"),
  line("Transfer-Encoding: gzip, chunked"),
  line("Transfer-Encoding: chunked, chunked"),
  line("Transfer-Encoding : chunked"),
  line(" folded: x"),
  line("x\0y: z"),
  line("x: \x01\x7f\xff"),
  line(": empty"),
  line("no colon"),
  line("Expect: 100-continue"),
  line("Connection: upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__"),
  line("Connection: upgrade\r\nUpgrade: websocket"),
  line("Connection: close, keep-alive, host"),
  line("Content-Encoding: gzip"),
  line("GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\n"),
  line("POST / HTTP/9.9\r\n"),
  line(""),
  line("\n"),
  line(`x: ${"y".repeat(20_000)}`),
  (random) => Buffer.from("x:\r\n".repeat(1 + random.below(3_000))),
  line("5;ext=1\r\nhello\r\n0\r\nTrailer: x\r\n"),
  line("ffffffffffffffff"),
];

function frame(
  type: number,
  flags: number,
  stream: number,
  payload: readonly number[],
  length = payload.length,
): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream >>> 0, 5);
  return Buffer.concat([head, Buffer.from(payload)]);
}

const ones = [255, 255, 255, 255];
/** Frames of HTTP/2, put in between others. */
const frames: readonly Unit[] = [
  // DATA of no stream, of the first with padding, empty ones.
  () => frame(0, 0, 0, [1]),
  () => frame(0, 8, 1, [9, 1]),
  (random) => Buffer.concat(Array<Buffer>(1 + random.below(200)).fill(frame(0, 0, 1, []))),
  // HEADERS: indices of HPACK that don't exist, a table size beyond the limit, an uppercase name, no end.
  () => frame(1, 5, 3, [0xff, 0xff, 0xff, 0x7f]),
  () => frame(1, 5, 3, [0x3f, 0xff, 0xff, 0x7f]),
  () => frame(1, 5, 3, [0x00, 1, 0x41, 1, 0x42]),
  () => frame(1, 0, 3, [0x82]),
  () => frame(1, 5, 2, [0x82]),
  () => frame(1, 5, 1, [0x82, 0x84]),
  // PRIORITY on itself, RST_STREAM of open, idle and no streams.
  () => frame(2, 0, 1, [0, 0, 0, 1, 16]),
  () => frame(3, 0, 1, [0, 0, 0, 8]),
  () => frame(3, 0, 99, [0, 0, 0, 8]),
  () => frame(3, 0, 0, [0, 0, 0, 8]),
  () => frame(3, 0, 1, [0, 0]),
  // SETTINGS: a window beyond the limit, an unknown setting, a wrong size, an answer with content.
  () => frame(4, 0, 0, [0, 4, ...ones]),
  () => frame(4, 0, 0, [0, 4, 0, 0, 0, 0]),
  () => frame(4, 0, 0, [0, 5, 0, 0, 0, 1]),
  () => frame(4, 0, 0, [0xff, 0xff, ...ones]),
  () => frame(4, 0, 0, [1, 2, 3]),
  () => frame(4, 1, 0, [0, 4, 0, 0, 0, 1]),
  (random) => Buffer.concat(Array<Buffer>(1 + random.below(200)).fill(frame(4, 0, 0, []))),
  // PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE of 0 and beyond the limit, CONTINUATION of nothing, an unknown type.
  () => frame(5, 4, 1, [0, 0, 0, 2, 0x82]),
  (random) => Buffer.concat(Array<Buffer>(1 + random.below(200)).fill(frame(6, 0, 0, [1, 2, 3, 4, 5, 6, 7, 8]))),
  () => frame(6, 0, 1, [1]),
  () => frame(7, 0, 0, [0, 0, 0, 0, 0, 0, 0, 0]),
  () => frame(8, 0, 1, [0, 0, 0, 0]),
  () => frame(8, 0, 0, [0x7f, 255, 255, 255]),
  () => frame(9, 4, 1, [0x82]),
  () => frame(0xfa, 255, 1, [1, 2, 3]),
  // A frame beyond the largest size, one that ends early, and HTTP/1.1.
  () => frame(0, 0, 1, [1, 2, 3], 0xffffff),
  () => frame(0, 0, 1, [], 4),
  () => Buffer.from("GET / HTTP/1.1\r\n\r\n"),
  () => Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
];
