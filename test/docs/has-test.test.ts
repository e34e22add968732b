import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { hasTest } from "./has-test.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "a2a-citations-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const table = `const rows = [{ name: "named" }, ["first", "second"], row("made", {})];`;

test.each([
  ["a test", `test("x", () => {});`, "x", true],
  [
    "a test in a suite of suites",
    `describe("a", () => { describe.each(b)("c %s", () => { it("x", () => {}); }); });`,
    "x",
    true,
  ],
  ["a test of a table", `test.each<[string]>(rows)("x %s", () => {});`, "x %s", true],
  ["a case of a table, named", `${table} test.each(rows)("%s", () => {});`, "named", true],
  ["a case of a table, by its first text", `${table} test.for(rows)("%s", () => {});`, "first", true],
  ["a case of a table, made by a function", `${table} it.each(rows)("%s", () => {});`, "made", true],
  ["any other text of a table", `${table} it.each(rows)("%s", () => {});`, "second", false],
  ["a case of a table that nothing runs", `${table} test("x", () => {});`, "named", false],
  ["a text", `test("y", () => { say("x"); });`, "x", false],
  ["a comment", `// test("x", () => {});`, "x", false],
  ["a part of a title", `test("x and y", () => {});`, "x", false],
  ["a test that is skipped", `test.skip("x", () => {});`, "x", false],
  ["a test that may fail", `test.fails("x", () => {});`, "x", false],
  ["a test that is to be written", `it.todo("x");`, "x", false],
])("a citation of %s is found if that is run", (name, text, cited, found) => {
  const file = join(folder, `${name}.test.ts`);
  writeFileSync(file, text);
  expect(hasTest(file, cited)).toBe(found);
});

test("a citation of a file that isn't there isn't found", () => {
  expect(hasTest(join(folder, "none.test.ts"), "x")).toBe(false);
});
