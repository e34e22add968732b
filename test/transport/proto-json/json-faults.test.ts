import { type DescMessage, fromJson, type JsonValue } from "@bufbuild/protobuf";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { AgentCardSchema, SendMessageRequestSchema } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { violationsMax } from "../../../src/domain/validation/validate.ts";
import { jsonFaults } from "../../../src/transport/proto-json/json-faults.ts";
import { readJson } from "../../../src/transport/proto-json/read-json.ts";
import { taskErrorOf } from "../errors/thrown.ts";
import { EverythingSchema } from "../test-protos.ts";

/** JSON that counts how often one of its values is read, and how many values it has. */
function counted(json: JsonValue): { readonly json: JsonValue; readonly values: number; reads: number } {
  const count = { json, values: 0, reads: 0 };
  const wrapped = (value: JsonValue): JsonValue => {
    count.values++;
    if (typeof value !== "object" || value === null) return value;
    const inner = Array.isArray(value)
      ? value.map(wrapped)
      : Object.fromEntries(Object.entries(value).map(([key, each]) => [key, wrapped(each)]));
    return new Proxy(inner, {
      get(target, key, receiver) {
        if (key !== "length" && Object.hasOwn(target, key)) count.reads++;
        return Reflect.get(target, key, receiver);
      },
    }) as JsonValue;
  };
  return Object.assign(count, { json: wrapped(json) });
}

describe("one pass", () => {
  const message = { messageId: "m", role: "ROLE_USER", parts: [{ text: "x" }] };
  const free = { a: Array.from({ length: 75_000 }, () => [0]) };
  test.each<[string, JsonValue, string]>([
    [
      "300 KB of free JSON before it",
      { message: { ...message, metadata: free, extensions: [5] } },
      "message.extensions[0]",
    ],
    [
      "many keys of free JSON before it",
      {
        message: {
          ...message,
          metadata: Object.fromEntries(Array.from({ length: 20_000 }, (_, index) => [`k${index}`, 0])),
          extensions: [5],
        },
      },
      "message.extensions[0]",
    ],
    [
      "many elements before it",
      { message: { ...message, parts: [...Array(20_000).fill({ text: "x" }), { text: 5 }] } },
      "message.parts[20000].text",
    ],
    ["free JSON after it", { message: { ...message, extensions: [5], metadata: free } }, "message.extensions[0]"],
    [
      "free JSON in unknown members",
      { future: free, message: { ...message, future: free, taskId: 5 } },
      "message.task_id",
    ],
  ])("finds one wrong field with %s, and reads no value twice", (_name, json, field) => {
    const count = counted(json);
    const error = taskErrorOf(() => readJson(SendMessageRequestSchema, count.json));
    expect(error?.violations.map((violation) => violation.field)).toEqual([field]);
    expect(count.reads).toBeLessThan(count.values);
  });

  test("a request without faults is read twice: by the pass, then by the library", () => {
    const count = counted({ message: { ...message, metadata: free } });
    readJson(SendMessageRequestSchema, count.json);
    expect(count.reads).toBeLessThan(2 * count.values);
  });

  test("ends once enough faults are found", () => {
    const count = counted({ message: { extensions: Array(50_000).fill(5), metadata: free } });
    expect(jsonFaults(SendMessageRequestSchema, count.json)).toHaveLength(violationsMax);
    expect(count.reads).toBeLessThan(100);
  });

  test("names all faults, of every kind, in their order", () => {
    const json = {
      colour: "GREEN",
      inner: { count: "many", inners: [5, { choiceText: "a", choiceNumber: 1 }] },
      byColour: { a: "RED", b: null },
      free: [],
      isOpen: true,
      is_open: true,
      atTime: "yesterday",
    };
    expect(jsonFaults(EverythingSchema, json).map(({ field, description }) => `${field}: ${description}`)).toEqual([
      'colour: is "GREEN", which Colour doesn\'t have: one of COLOUR_RED, COLOUR_BLUE is accepted',
      'inner.count: expected number (int32), got "many"',
      "inner.inners[0]: expected object, got 5",
      "inner.inners[1]: oneof set multiple times by choice_text and choice_number",
      'by_colour["a"]: is "RED", which Colour doesn\'t have: one of COLOUR_RED, COLOUR_BLUE is accepted',
      'by_colour["b"]: map value must not be null',
      "free: expected object, got an array",
      "is_open: set multiple times",
      "at_time: invalid RFC 3339 string",
    ]);
  });

  test("of what nests too deeply the field is named, once", () => {
    const nested = (levels: number, json: JsonValue): JsonValue => (levels === 0 ? json : nested(levels - 1, [json]));
    const faults = (levels: number) =>
      jsonFaults(SendMessageRequestSchema, {
        message: { metadata: { a: nested(levels, [1, 2]), b: nested(levels, 1) } },
      });
    expect(faults(95)).toEqual([]);
    expect(faults(96)).toEqual([
      { field: "message.metadata", description: "nests too deeply: at most 100 levels are accepted" },
    ]);
  });
});

describe("of a file", () => {
  test("unknown members are faults, and paths are as they are written", () => {
    const card = { skills: [{ id: "s", future: 1 }], default_input_mode: [], default_input_modes: [1], iconUrl: 5 };
    const fieldsOf = (options: Parameters<typeof jsonFaults>[2]) =>
      jsonFaults(AgentCardSchema, card, options).map(({ field }) => field);
    expect(fieldsOf({ unknown: true, asWritten: true })).toEqual([
      "skills[0].future",
      "default_input_mode",
      "default_input_modes[0]",
      "iconUrl",
    ]);
    expect(fieldsOf({})).toEqual(["default_input_modes[0]", "icon_url"]);
  });
});

describe("random JSON", () => {
  // Of numbers that an enum doesn't have only those that are no int32: the library takes the others.
  const leaves = fc.constantFrom<JsonValue>(
    ...[null, true, false, 0, 1, 2, 1.5, 2 ** 31, 2 ** 32, 2 ** 53, -(2 ** 40)],
    ...["", "a", "1", "-1", " 1", "1.5", "1e3", "NaN", "AA==", "A", "AA", "_-", "A=A", "%", "true", "\ud800"],
    ...["COLOUR_RED", "colour_red", "2026-01-02T03:04:05.5Z", "2026-13-02T03:04:05Z", "3.5s", "a,bC", "a_b"],
  );
  const good: Readonly<Record<string, fc.Arbitrary<JsonValue>>> = {
    name: fc.string(),
    count: fc.constantFrom(0, 1, 2),
    bigCount: fc.constantFrom("18446744073709551615", 2),
    isOpen: fc.boolean(),
    ratio: fc.constantFrom<JsonValue>(1.5, "Infinity"),
    raw_bytes: fc.constantFrom("AA==", ""),
    colour: fc.constantFrom<JsonValue>("COLOUR_BLUE", 1, null),
    tags: fc.array(fc.string()),
    colours: fc.array(fc.constantFrom<JsonValue>("COLOUR_RED", 2)),
    atTime: fc.constant("2026-01-02T03:04:05Z"),
    lasting: fc.constant("1.5s"),
    mask: fc.constant("a,bC"),
    boxedBool: fc.constantFrom<JsonValue>(true, null),
    free: fc.dictionary(fc.string(), fc.jsonValue() as fc.Arbitrary<JsonValue>),
    choiceText: fc.string(),
    choice_number: fc.constantFrom<JsonValue>(1, null),
    byColour: fc.dictionary(fc.string(), fc.constant("COLOUR_RED")),
  };
  const names = EverythingSchema.fields.flatMap(({ name, jsonName }) => [name, jsonName]);
  const { message } = fc.letrec<{ message: JsonValue; any: JsonValue; member: [string, JsonValue] }>((tie) => ({
    any: fc.oneof(
      { maxDepth: 3 },
      { weight: 4, arbitrary: leaves },
      fc.array(tie("any"), { maxLength: 3 }),
      tie("message"),
    ),
    member: fc.oneof(
      ...Object.entries(good).map(([name, value]) => fc.tuple(fc.constant(name), value)),
      fc.tuple(fc.constant("inner"), tie("message")),
      fc.tuple(fc.constant("inners"), fc.array(tie("message"), { maxLength: 2 })),
      { weight: 4, arbitrary: fc.tuple(fc.constantFrom(...names, "future", "a", "\ud800"), tie("any")) },
    ),
    message: fc.array(tie("member"), { maxLength: 4 }).map((members) => Object.fromEntries(members)),
  }));
  const isRead = (schema: DescMessage, json: JsonValue, ignoreUnknownFields: boolean) => {
    try {
      fromJson(schema, json, { ignoreUnknownFields });
      return true;
    } catch {
      return false;
    }
  };

  test("has faults exactly when the library refuses it", () => {
    const seen = { read: 0, refused: 0 };
    fc.assert(
      fc.property(message, (json) => {
        const isStrictlyRead = isRead(EverythingSchema, json, false);
        seen[isStrictlyRead ? "read" : "refused"]++;
        expect(jsonFaults(EverythingSchema, json, { unknown: true }).length === 0).toBe(isStrictlyRead);
        // Lenient, the library drops unknown names of enums.
        const hasFaults = jsonFaults(EverythingSchema, json).length > 0;
        expect(hasFaults || isRead(EverythingSchema, json, true)).toBe(true);
        expect(hasFaults && isStrictlyRead).toBe(false);
      }),
      { numRuns: 3000 },
    );
    expect(Math.min(seen.read, seen.refused)).toBeGreaterThan(300);
  });
});
