import { fromJsonString } from "@bufbuild/protobuf";
import { EmptySchema } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { expect, test } from "vitest";
import { scanJson } from "../../../src/transport/proto-json/scan-json.ts";

const scan = (text: string) => {
  const ids = new Map<number, string>();
  return { repeated: scanJson(text, ids), ids: Object.fromEntries(ids) };
};

test.each([
  ["a member twice", '{"a":1,"b":2,"a":3}', "a"],
  ["a member twice in a row", '{"a":1,"a":1}', "a"],
  ["a member twice, once escaped", String.raw`[{"b":{"a":1,"\u0061":2}}]`, "a"],
  ["behind a nested object", '{"a":{"a":[{"a":1}]},"a":2}', "a"],
  ["an empty name", '{"":1,"":2}', ""],
  ["the same name in different objects", '{"a":{"a":1},"b":[{"a":1},{"a":2}]}', undefined],
  ["the same text as value", '{"a":"b","b":"a","c":["a","a"]}', undefined],
  ["names that differ by an escape", String.raw`{"a\"":1,"a\\":2,"a":3}`, undefined],
])("repeated names: %s", (_name, text, repeated) => {
  expect(scan(text).repeated).toBe(repeated);
});

test.each([
  ["a large integer", '{"jsonrpc":"2.0","id":12345678901234567891,"method":"x"}', { 0: "12345678901234567891" }],
  ["a fraction, with blanks", '{"id" :\n 1.50 }', { 0: "1.50" }],
  [
    "in a batch, by its place",
    '[{"id":1},{"id":1.5},"x",[{"id":2.5}],{"a":[1,2],"id":-1e300}]',
    { 1: "1.5", 4: "-1e300" },
  ],
  ["ids that aren't the request's", '{"params":{"id":1.5},"x":[{"id":2.5}]}', {}],
  ["ids that JavaScript keeps", '[{"id":1},{"id":"1.5"},{"id":null},{"id":-9007199254740991}]', {}],
  ["a value that is called id", '{"method":"id","x":1.5}', {}],
])("ids: %s", (_name, text, ids) => {
  expect(scan(text).ids).toEqual(ids);
});

test.each([
  "",
  "{",
  '{"a',
  '{"a\\',
  "]]]",
  ",,,",
  '{"a":1,',
  '{"\\u00"',
  '{"id":',
  '{"id',
  "{]{]",
  '"\\"',
])("text that is not JSON is passed over: %j", (text) => {
  expect(scan(text)).toEqual({ repeated: undefined, ids: {} });
});

test("finds what the library's own search finds", () => {
  const name = fc.constantFrom('"a"', '"b"', '"\\u0061"', '"\\""', '"c:{"', '"[,"');
  const blank = fc.constantFrom("", " ", "\n");
  const { value } = fc.letrec<{ value: string }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 4 },
      fc.constantFrom("1", "null", '"a"', '"}"', '"\\\\"'),
      fc.array(tie("value"), { maxLength: 3 }).map((values) => `[${values.join(",")}]`),
      fc
        .array(fc.tuple(blank, name, blank, tie("value")), { maxLength: 3 })
        .map((members) => `{${members.map(([a, key, b, each]) => `${a}${key}${b}:${a}${each}${b}`).join(",")}}`),
    ),
  }));
  const isRefused = (text: string) => {
    try {
      fromJsonString(EmptySchema, `{"value":${text}}`, { ignoreUnknownFields: true });
      return false;
    } catch {
      return true;
    }
  };
  fc.assert(
    fc.property(value, (text) => {
      JSON.parse(text);
      expect(scan(text).repeated !== undefined).toBe(isRefused(text));
    }),
    { numRuns: 2000 },
  );
});

const zeros = (count: number) => Array(count).fill(0).join(",");
const names = (count: number) => Array.from({ length: count }, (_, at) => `"n${at}":0`);

test.each<[string, (count: number) => string]>([
  ["numbers", (count) => `[${"-1.5e3 , ".repeat(count - 2)}0]`],
  ["literals", (count) => `[${"true,".repeat(count - 2)}null]`],
  ["strings", (count) => `[${'"a,[{",'.repeat(count - 2)}""]`],
  ["empty objects", (count) => `[${"{},".repeat(49_999)}${zeros(count - 99_999)}]`],
  ["arrays in each other", (count) => "[".repeat(count) + "]".repeat(count)],
  ["objects with the same members", (count) => `[${'{"a":"b","b":"a"},'.repeat(24_998)}${zeros(count - 99_997)}]`],
  ["names that are all different", (count) => `{${names(33_331)},"b":[${zeros(count - 99_998)}]}`],
  ["names without values", (count) => `{${'"a",'.repeat(count - 5)}"a"`],
  ["objects with an index", (count) => `[${'{"1000": 0},           '.repeat(781)}${zeros(count - 99_971)}]`],
  ["texts without commas", (count) => `[${'"a" '.repeat(count - 1)}`],
])("100,000 values pass and one more is refused: %s", (_name, textOf) => {
  expect(() => scan(textOf(100_000))).not.toThrow();
  expect(() => scan(textOf(100_001))).toThrow("The request has more than 100000 values");
});
