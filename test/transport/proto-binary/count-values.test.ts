import { create, fromJson, type JsonObject, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { FileDescriptorSetSchema, ListValueSchema, StructSchema, ValueSchema } from "@bufbuild/protobuf/wkt";
import { describe, expect, test } from "vitest";
import { MessageSchema, SendMessageRequestSchema } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { hasMoreValues } from "../../../src/transport/proto-binary/count-values.ts";
import { readBinary } from "../../../src/transport/proto-binary/read-binary.ts";

/** The least bound that the bytes keep, which is their number of values. */
function countOf(schema: Parameters<typeof hasMoreValues>[0], bytes: Uint8Array): number {
  let count = 0;
  while (hasMoreValues(schema, bytes, count)) count++;
  return count;
}

/** Values inside a Struct, as JSON counts them: the object itself is left out. */
test.each<[number, JsonObject]>([
  [0, {}],
  [3, { a: 1, b: "x", c: null }],
  [7, { a: [1, [], {}], b: { c: true, d: {} } }],
])("free JSON has %i values as in JSON: %j", (count, json) => {
  expect(countOf(StructSchema, toBinary(StructSchema, fromJson(StructSchema, json)))).toBe(count);
});

test("every field counts that is there, however often and whether it is known", () => {
  const known = toBinary(
    SendMessageRequestSchema,
    fromJson(SendMessageRequestSchema, { tenant: "t", message: { messageId: "m", parts: [{ text: "a" }] } }),
  );
  const unknown = new BinaryWriter()
    .tag(1000, WireType.Varint)
    .int32(1)
    .tag(1001, WireType.StartGroup)
    .tag(1001, WireType.EndGroup)
    .tag(1, WireType.LengthDelimited)
    .string("again")
    .finish();
  expect(countOf(SendMessageRequestSchema, known)).toBe(5);
  expect(countOf(SendMessageRequestSchema, Buffer.concat([known, unknown]))).toBe(8);
});

test("a second kind of a Value and a second key of an entry count", () => {
  expect(countOf(ValueSchema, Buffer.from([0x20, 0, 0x20, 1, 0x20, 0]))).toBe(2);
  const entry = Buffer.from([0x0a, 6, 0x0a, 0, 0x0a, 0, 0x0a, 0]);
  expect(countOf(StructSchema, entry)).toBe(2);
});

/** A Struct with so many members. */
const struct = (count: number, nameOf: (at: number) => string) =>
  toBinary(
    StructSchema,
    fromJson(StructSchema, Object.fromEntries(Array.from({ length: count }, (_, at) => [nameOf(at), true]))),
  );
/** A field of bytes. */
const field = (number: number, bytes: Uint8Array) =>
  new BinaryWriter().tag(number, WireType.LengthDelimited).bytes(bytes).finish();

test("a Struct that is there again counts all Structs before it: the library converts what it is merged with", () => {
  const metadata = field(
    4,
    struct(100, (at) => `n${at}`),
  );
  const none = field(4, Buffer.alloc(0));
  const alone = countOf(SendMessageRequestSchema, metadata);
  expect(alone).toBe(101);
  expect(countOf(SendMessageRequestSchema, Buffer.concat([metadata, none, none]))).toBe(alone + 2 * 101);
  const inMessage = field(
    2,
    field(
      6,
      struct(100, (at) => `n${at}`),
    ),
  );
  const messageAgain = field(2, field(6, Buffer.alloc(0)));
  expect(countOf(SendMessageRequestSchema, Buffer.concat([inMessage, messageAgain]))).toBe(102 + 2 + 100);
  // The Structs of different parts, and of different fields, are not merged.
  const part = field(
    5,
    field(
      5,
      struct(100, (at) => `n${at}`),
    ),
  );
  expect(countOf(MessageSchema, Buffer.concat([part, part]))).toBe(2 * 102);
});

test("what an unknown group contains counts", () => {
  const group = Buffer.from([0x7b, 0x08, 0, 0x0b, 0x08, 0, 0x0c, 0x7c]);
  expect(countOf(SendMessageRequestSchema, group)).toBe(4);
  const deep = Buffer.concat([Buffer.alloc(200, 0x7b), Buffer.alloc(200, 0x7c)]);
  expect(hasMoreValues(SendMessageRequestSchema, deep, 1000)).toBe(false);
  expect(() => readBinary(SendMessageRequestSchema, deep)).toThrow(/recursion depth/);
});

test.each<[string, number, (at: number) => string]>([
  ["names that are all different", 33_334, (at) => `n${at}`],
  ["indexes with gaps between them", 25_002, (at) => `${at * 9}`],
])("names cost as in JSON: %s", (_title, count, nameOf) => {
  expect(() => readBinary(StructSchema, struct(count, nameOf))).toThrow("The request has more than 100000 values");
  expect(readBinary(StructSchema, struct(count / 2, nameOf))).toHaveProperty("fields");
});

test("an empty object counts as two values, as it does in JSON", () => {
  // values: { struct_value: {} }
  const listOf = (count: number) => Buffer.alloc(count * 4, Buffer.from([0x0a, 0x02, 0x2a, 0x00]));
  expect(readBinary(ListValueSchema, listOf(50_000))).toHaveProperty("values.length", 50_000);
  expect(() => readBinary(ListValueSchema, listOf(50_001))).toThrow("The request has more than 100000 values");
});

test("a request of less than 54 KB that merges a Struct 10,000 times is refused", () => {
  const again = Buffer.alloc(20_000, field(4, Buffer.alloc(0)));
  const bytes = Buffer.concat([
    field(
      4,
      struct(5_000, (at) => at.toString(36)),
    ),
    again,
  ]);
  expect(bytes.byteLength).toBeLessThan(100_000);
  expect(() => readBinary(SendMessageRequestSchema, bytes)).toThrow("The request has more than 100000 values");
});

test("elements of a packed field count", () => {
  const file = { file: [{ publicDependency: [1, 2, 300] }] };
  const bytes = toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, file));
  expect(countOf(FileDescriptorSetSchema, bytes)).toBe(4);
  // The same field, packed: its number, its length, its elements.
  expect(countOf(FileDescriptorSetSchema, Buffer.from([0x0a, 6, 0x52, 4, 1, 2, 0xac, 2]))).toBe(5);
});

test("a known field is passed over by its type, whatever the wire says: nothing hides behind it", () => {
  // Field 1 of Value is an enum. The wire says "length-delimited", and the library reads a varint.
  const values = Buffer.alloc(200, Buffer.from([0x0a, 0]));
  const bytes = Buffer.concat([Buffer.from([0x32, 0xcc, 1, 0x0a, 0x02, 0x0a, 1]), values]);
  expect(hasMoreValues(ValueSchema, bytes, 50)).toBe(true);
});

describe("bytes that are no message are no message either way", () => {
  test.each<[string, number[]]>([
    ["cut off within a tag", [0x80]],
    ["cut off within a value", [0x0a, 5, 0x20]],
    ["an end of a group alone", [0x0c]],
  ])("%s", (_name, bytes) => {
    expect(hasMoreValues(ListValueSchema, Uint8Array.from(bytes), 10)).toBe(false);
    expect(() => readBinary(ListValueSchema, Uint8Array.from(bytes))).toThrow(
      /^The request is not a ListValue in protobuf: /,
    );
  });
});

test("100,000 values are decoded, and one more is refused", () => {
  const empty = Buffer.from([0x0a, 0]);
  expect(readBinary(ListValueSchema, Buffer.alloc(200_000, empty))).toHaveProperty("values.length", 100_000);
  expect(() => readBinary(ListValueSchema, Buffer.alloc(200_002, empty))).toThrow(
    "The request has more than 100000 values",
  );
});
