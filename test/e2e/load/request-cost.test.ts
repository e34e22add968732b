import { connect as connectHttp2 } from "node:http2";
import { create, toBinary } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  type ServerReflectionRequest,
  ServerReflectionRequestSchema,
} from "../../../gen/grpc/reflection/v1/reflection_pb.ts";
import { Role, SendMessageRequestSchema } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { type FuzzServer, startFuzzServer } from "../../fuzz/fuzz-server.ts";
import { framed } from "../../fuzz/ways.ts";

// What a request costs is counted, never timed: bytes that are allocated on the heap, which its peak can't exceed, and
// runs of functions, branches and loops. Work of native code is linear in the bytes that it gets.

/** The largest body of a request. */
const bytesMax = 6 * 1024 * 1024;
/** A request may cost this many times what a plain send of its size does. */
const ratioMax = 10;
/** A plain send of 6 MB is read byte by byte more than once: each byte is at least one step. */
const stepsMax = ratioMax * bytesMax;
/** Just below the most values of a request. */
const values = 99_000;

let server: FuzzServer;
beforeAll(async () => {
  server = await startFuzzServer("memory:", () => undefined);
});
afterAll(async () => {
  await server.stop();
});

interface Sent {
  readonly path: string;
  readonly type: string;
  readonly body: Uint8Array;
}

/** Sends a request and drops the answer as it comes. Resolves with its size when it has ended. */
function send({ path, type, body }: Sent): Promise<number> {
  return new Promise((resolve) => {
    const session = connectHttp2(server.url.origin);
    const head = { ":method": "POST", ":path": path, "content-type": type, "a2a-version": "1.0", te: "trailers" };
    const stream = session.request(head);
    let bytes = 0;
    stream.on("data", (part: Buffer) => {
      bytes += part.byteLength;
    });
    // A call that is refused early is over, although the rest of its requests was not taken.
    stream.on("trailers", () => session.destroy());
    // A refused request may be reset.
    stream.on("error", () => undefined);
    stream.on("close", () => {
      session.destroy();
      resolve(bytes);
    });
    stream.end(body);
  });
}

const rpc = "/lf.a2a.v1.A2AService/SendMessage";
const message = () => ({ messageId: crypto.randomUUID(), role: "ROLE_USER", parts: [{ text: "hello" }] });
const rest = (request: object | string): Sent => ({
  path: "/message:send",
  type: "application/json",
  body: Buffer.from(typeof request === "string" ? request : JSON.stringify(request)),
});
const list = <T>(count: number, value: T) => Array<T>(Math.floor(count)).fill(value);

const members = (count: number, nameOf: (at: number) => string) =>
  Object.fromEntries(Array.from({ length: count }, (_, at) => [nameOf(at), 0]));

/** A plain send of the largest size: a file of 4.3 MB. */
const plain = () =>
  rest({ message: { ...message(), parts: [{ raw: Buffer.alloc(4_000_000, "a").toString("base64") }] } });

const inMetadata = (a: unknown) => ({ message: message(), metadata: { a } });
const asJsonRpc = (id: unknown, params: unknown): Sent => ({
  path: "/",
  type: "application/json",
  body: Buffer.from(JSON.stringify({ jsonrpc: "2.0", id, method: "SendMessage", params })),
});

function inGrpc(...fields: readonly Uint8Array[]): Sent {
  const parts = [{ content: { case: "text" as const, value: "hello" } }];
  const request = create(SendMessageRequestSchema, {
    message: { messageId: crypto.randomUUID(), role: Role.USER, parts },
  });
  const bytes = Buffer.concat([toBinary(SendMessageRequestSchema, request), ...fields]);
  return { path: rpc, type: "application/grpc", body: framed(bytes, false) };
}

/** A field of bytes, with its tag and length. */
function field(number: number, bytes: Uint8Array): Buffer {
  const varint = (value: number): number[] =>
    value < 128 ? [value] : [(value % 128) + 128, ...varint(Math.floor(value / 128))];
  return Buffer.concat([Buffer.from([...varint(number * 8 + 2), ...varint(bytes.byteLength)]), bytes]);
}

/** `metadata.a` of a request, a list of values. */
const metadata = (listed: Uint8Array) =>
  field(4, field(1, Buffer.concat([field(1, Buffer.from("a")), field(2, field(6, listed))])));
/** An entry of `metadata`. */
const entry = (name: string) => field(4, field(1, field(1, Buffer.from(name))));
const value = toBinary(ValueSchema, create(ValueSchema, { kind: { case: "boolValue", value: true } }));
const repeated = (count: number, bytes: Uint8Array) => Buffer.concat(list(count, bytes));

function questions(count: number, question: ServerReflectionRequest | Uint8Array): Sent {
  const bytes = question instanceof Uint8Array ? question : toBinary(ServerReflectionRequestSchema, question);
  const frame = framed(bytes, false);
  return {
    path: "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    type: "application/grpc",
    body: repeated(Math.min(count, Math.floor(bytesMax / frame.byteLength)), frame),
  };
}

const symbol = create(ServerReflectionRequestSchema, {
  messageRequest: { case: "fileContainingSymbol", value: "taskmanager.v1.ConversationService" },
});

const dense: readonly (readonly [name: string, sent: () => Sent])[] = [
  ["numbers", () => rest(inMetadata(list(values, 0)))],
  ["empty objects", () => rest(inMetadata(list(values / 2, {})))],
  ["lists in lists", () => rest(inMetadata(list(values / 3, [[0]])))],
  ["long names", () => rest(inMetadata(members(values / 3, (i) => `${"n".repeat(50)}${i}`)))],
  ["objects with one member", () => rest(inMetadata(list(values / 4, { k: {} })))],
  [
    "objects with the same members",
    () =>
      rest(
        inMetadata(
          list(
            values / 200,
            members(98, (i) => `n${i}`),
          ),
        ),
      ),
  ],
  ["objects with members of their own", () => rest(inMetadata(list(values / 5, 0).map((_, i) => ({ [`n${i}`]: {} }))))],
  ["indexes with gaps between them", () => rest(inMetadata(members(values / 4, (i) => `${i * 8}`)))],
  ["objects with an index", () => rest(inMetadata(list(values / 129, { 1000: 0 })))],
  ["objects with an index beyond the limit", () => rest(inMetadata(list(values / 2, { 1000: 0 })))],
  [
    "files in base64 of URLs",
    () => rest({ message: { ...message(), parts: list(values / 4, { raw: "-_".repeat(90) }) } }),
  ],
  [
    "members, and a wrong field beside them",
    () => {
      const many = members(values / 3, (i) => `n${i}`);
      return rest({ message: { ...message(), metadata: many, extensions: [5] } });
    },
  ],
  [
    "parts of which the last is wrong",
    () => rest({ message: { ...message(), parts: [...list(values / 4, { text: "x" }), 5] } }),
  ],
  ["wrong ids", () => rest({ message: { ...message(), referenceTaskIds: list(values, 5) } })],
  ["a text of escapes", () => rest({ message: { ...message(), parts: [{ text: "\n".repeat(2_000_000) }] } })],
  ["blanks", () => rest(`${JSON.stringify({ message: message() })}${" ".repeat(6_000_000)}`)],
  ["brackets", () => rest("[".repeat(6_000_000))],
  ["names without values", () => rest(`{${'"a",'.repeat(1_500_000)}`)],
  ["numbers beyond the limit", () => rest(inMetadata(list(2_900_000, 0)))],
  ["an id that JavaScript rounds", () => asJsonRpc(1.5, inMetadata(list(values, 0)))],
  [
    "fifty calls in a batch",
    () => ({
      ...asJsonRpc(1, {}),
      body: Buffer.from(
        JSON.stringify(
          Array.from({ length: 50 }, (_, id) => ({
            jsonrpc: "2.0",
            id,
            method: "SendMessage",
            params: inMetadata(list(1_900, 0)),
          })),
        ),
      ),
    }),
  ],
  ["Connect in JSON", () => ({ ...rest(inMetadata(list(values, {}))), path: rpc })],
  ["values in protobuf", () => inGrpc(metadata(repeated(values, field(1, value))))],
  ["empty values in protobuf beyond the limit", () => inGrpc(metadata(repeated(3_000_000, Buffer.from([0x0a, 0]))))],
  ["unknown fields in protobuf", () => inGrpc(repeated(values, Buffer.from([0x78, 0])))],
  ["unknown fields in protobuf beyond the limit", () => inGrpc(repeated(3_000_000, Buffer.from([0x78, 0])))],
  [
    "messages in protobuf, one over the other",
    () => inGrpc(repeated(40_000, field(2, field(5, field(1, Buffer.from("x")))))),
  ],
  [
    "a group of unknown fields beyond the limit",
    () => inGrpc(Buffer.from([0x7b]), repeated(2_900_000, Buffer.from([0x78, 0])), Buffer.from([0x7c])),
  ],
  [
    "a Struct in protobuf that is merged over and over",
    () => inGrpc(...list(5_000, 0).map((_, i) => entry(i.toString(36))), repeated(10_000, field(4, Buffer.alloc(0)))),
  ],
  ["questions to the reflection for files", () => questions(300_000, symbol)],
  [
    "questions to the reflection for all names",
    () =>
      questions(
        700_000,
        create(ServerReflectionRequestSchema, { messageRequest: { case: "listServices", value: "" } }),
      ),
  ],
  ["questions to the reflection of unknown fields", () => questions(100, repeated(32_000, Buffer.from([0x78, 0])))],
  ["questions to the reflection of long names", () => questions(100, field(1, Buffer.alloc(65_000, "a")))],
];

test("no request of 6 MB or less costs more than ten times a plain send of its size", {
  timeout: 300_000,
}, async () => {
  /** With the body, a buffer outside of the heap. */
  const allocations = async (sent: Sent) => (await server.allocations(() => send(sent))) + sent.body.byteLength;
  // Code and caches are made by the first call.
  await send(plain());
  const plainBytes = await allocations(plain());
  const allocated: number[] = [];
  for (const [, sent] of dense) {
    expect(sent().body.byteLength).toBeLessThanOrEqual(bytesMax);
    allocated.push(await allocations(sent()));
  }
  const costs: string[] = [];
  const tooHigh: string[] = [];
  for (const [index, [name, sent]] of dense.entries()) {
    const steps = await server.steps(() => send(sent()));
    const bytes = (allocated[index] ?? 0) / plainBytes;
    const cost = `${name}: ${bytes.toFixed(2)} × the bytes, ${((ratioMax * steps) / stepsMax).toFixed(2)} × the steps`;
    costs.push(cost);
    if (bytes > ratioMax || steps > stepsMax) tooHigh.push(cost);
  }
  expect(tooHigh, costs.join("\n")).toEqual([]);
});
