import { readdirSync, readFileSync } from "node:fs";
import { join, sep } from "node:path";
import { expect, test } from "vitest";

const src = join(import.meta.dirname, "../../src");
const adapters = ["transport/http-json/", "transport/json-rpc/"];
const words = /event-?stream|\bSSE\b|server-sent|EventSource|last-event-id/i;
/**
 * The extension's cursor has the same name as metadata of gRPC (docs/extensions/event-sequence.md): this file says that
 * name, and nothing else of the kind.
 */
const cursorFile = "transport/calls/event-sequence.ts";
const cursorName = /last-event-id/gi;

test("no folder but the two adapters knows server-sent events", () => {
  const files = readdirSync(src, { recursive: true, encoding: "utf8" })
    .map((file) => file.split(sep).join("/"))
    .filter((file) => file.endsWith(".ts"));
  const textOf = (file: string) => {
    const text = readFileSync(join(src, file), "utf8");
    return file === cursorFile ? text.replace(cursorName, "") : text;
  };
  const knowing = files.filter((file) => words.test(textOf(file)));
  expect(knowing.filter((file) => !adapters.some((folder) => file.startsWith(folder)))).toEqual([]);
  // The words would be found if they were there.
  for (const folder of adapters) expect(knowing.some((file) => file.startsWith(folder))).toBe(true);
});
