import { create, type DescMessage, type JsonValue, toJson } from "@bufbuild/protobuf";
import { afterEach, describe, expect, test, vi } from "vitest";
import { ListTasksRequestSchema, SendMessageRequestSchema } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { TaskError } from "../../../src/domain/task-error.ts";
import { violationsMax } from "../../../src/domain/validation/validate.ts";
import { parseJson, parseJsonRpc, readJson } from "../../../src/transport/proto-json/read-json.ts";
import { EverythingSchema } from "../test-protos.ts";

function fault(read: () => unknown): TaskError {
  try {
    read();
  } catch (error) {
    if (error instanceof TaskError) return error;
    throw error;
  }
  throw new Error("Nothing was thrown");
}

const fieldsAtFault = (schema: DescMessage, json: JsonValue) =>
  fault(() => readJson(schema, json)).violations.map(({ field }) => field);

describe("reading", () => {
  test("unknown fields are ignored at every depth", () => {
    const json = { future: 1, message: { messageId: "m", future: {}, parts: [{ text: "x", future: [1] }] } };
    expect(toJson(SendMessageRequestSchema, readJson(SendMessageRequestSchema, json))).toEqual({
      message: { messageId: "m", parts: [{ text: "x" }] },
    });
  });

  test("proto names and numbers of enums are accepted", () => {
    const request = readJson(ListTasksRequestSchema, { page_size: 5, status: 3, contextId: "c" });
    expect([request.pageSize, request.status, request.contextId]).toEqual([5, 3, "c"]);
  });

  test.each([
    ["an unknown name", { colour: "COLOUR_GREEN" }, ["colour"]],
    ["a name in small letters", { colour: "colour_red" }, ["colour"]],
    ["a number that no value has", { colour: 99 }, ["colour"]],
    ["a number as a text", { colour: "1" }, ["colour"]],
    ["in a list", { colours: ["COLOUR_RED", "COLOUR_GREEN"] }, ["colours[1]"]],
    ["in a map", { byColour: { "a.b": "COLOUR_GREEN" } }, ['by_colour["a.b"]']],
    ["within messages", { inner: { inners: [{}, { colour: "x" }] } }, ["inner.inners[1].colour"]],
    ["several, each named", { colour: "x", inner: { colour: "y" } }, ["colour", "inner.colour"]],
  ])("an enum without such a value is refused: %s", (_name, json, fields) => {
    expect(fieldsAtFault(EverythingSchema, json)).toEqual(fields);
  });

  test("an enum that is null is not set", () => {
    expect(readJson(EverythingSchema, { colour: null })).toEqual(create(EverythingSchema));
  });

  test.each([
    ["a number for a text", { name: 5 }, ["name"]],
    ["a text for a number", { count: "many" }, ["count"]],
    ["a fraction for a whole number", { inner: { count: 1.5 } }, ["inner.count"]],
    ["a number out of range", { count: 2 ** 31 }, ["count"]],
    ["a text for a boolean", { inners: [{}, { isOpen: "true" }] }, ["inners[1].is_open"]],
    ["an object for a list", { tags: {} }, ["tags"]],
    ["a null in a list", { tags: ["a", null] }, ["tags[1]"]],
    ["no base64", { rawBytes: "%%%" }, ["raw_bytes"]],
    ["no time", { atTime: "yesterday" }, ["at_time"]],
    ["a list for a message", { inner: [] }, ["inner"]],
    ["a text for free JSON", { free: "x" }, ["free"]],
    ["a value of a map", { inners: [{ byColour: { red: true } }] }, ['inners[0].by_colour["red"]']],
  ])("what has the wrong type is named by its path: %s", (_name, json, fields) => {
    expect(fieldsAtFault(EverythingSchema, json)).toEqual(fields);
  });

  test.each([
    ["two members of a oneof", { choiceText: "a", choiceNumber: 1 }, /oneof/],
    ["a field under both of its names", { isOpen: true, is_open: true }, /multiple times/],
    ["a list instead of an object", [], /Everything/],
    ["null", null, /Everything/],
  ])("a message that is wrong as a whole is refused: %s", (_name, json, message) => {
    const { reason, message: text } = fault(() => readJson(EverythingSchema, json as JsonValue));
    expect([reason, text]).toEqual(["INVALID_REQUEST", expect.stringMatching(message)]);
  });

  test("two members of a oneof deep in a message are refused with the path to it", () => {
    expect(
      fieldsAtFault(SendMessageRequestSchema, { message: { parts: [{ text: "a" }, { text: "b", url: "c" }] } }),
    ).toEqual(["message.parts[1]"]);
  });

  test("of many faults so many are named, and no more", () => {
    expect(fieldsAtFault(EverythingSchema, { colours: Array(1_000).fill("GREEN") })).toEqual(
      Array.from({ length: violationsMax }, (_, index) => `colours[${index}]`),
    );
  });

  test("JSON that nests without end is refused, and named", () => {
    let free: JsonValue = 1;
    for (let level = 0; level < 200_000; level++) free = [free];
    expect(fieldsAtFault(SendMessageRequestSchema, { message: { metadata: { free } } })).toEqual(["message.metadata"]);
  });
});

describe("parsing", () => {
  const parse = (text: string | Uint8Array) =>
    parseJson(typeof text === "string" ? new TextEncoder().encode(text) : text);

  test("JSON of any kind", () => {
    expect(parse('{"a":[1,null,"é😀"]}')).toEqual({ a: [1, null, "é😀"] });
    expect(parse('[{"a":1},{"a":2}]')).toEqual([{ a: 1 }, { a: 2 }]);
  });

  test.each([
    ["cut off", '{"a":'],
    ["something after it", "{} {}"],
    ["nothing", ""],
    ["a member twice", '{"a":1,"a":2}'],
    ["a member twice, once escaped", '[{"b":{"a":1,"\\u0061":2}}]'],
    ["no UTF-8", new Uint8Array([0x22, 0xff, 0x22])],
    ["NaN", '{"a":NaN}'],
  ])("refused: %s", (_name, text) => {
    expect(fault(() => parse(text)).reason).toBe("INVALID_REQUEST");
  });

  test("a million brackets are refused without harm", () => {
    expect(fault(() => parse("[".repeat(1_000_000))).reason).toBe("TOO_LARGE");
    expect(fault(() => parse("[".repeat(100_000))).reason).toBe("INVALID_REQUEST");
  });
});

describe("parsing a request of JSON-RPC", () => {
  afterEach(() => vi.restoreAllMocks());

  test.each([
    ["a single request", '{"id":12345678901234567891,"params":{"id":1.5}}', [[0, "12345678901234567891"]]],
    ["a batch", '[{"id":1},{"id":1.50}]', [[1, "1.50"]]],
    ["ids that JavaScript keeps", '[{"id":1},{"id":"a"}]', []],
  ])("gives ids as they were written, and parses the text once: %s", (_name, text, ids) => {
    const parse = vi.spyOn(JSON, "parse");
    const read = parseJsonRpc(new TextEncoder().encode(text));
    expect([...read.ids]).toEqual(ids);
    expect(parse.mock.calls).toEqual([[text]]);
    expect(read.json).toEqual(JSON.parse(text));
  });

  test("JSON of many levels costs no stack", () => {
    const deep = `${"[".repeat(50_000)}${"]".repeat(50_000)}`;
    const { ids } = parseJsonRpc(new TextEncoder().encode(`{"id":1.5,"params":${deep}}`));
    expect([...ids]).toEqual([[0, "1.5"]]);
  });
});
