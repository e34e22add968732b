import { existsSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { hasTest } from "./has-test.ts";

const page = "docs/conformance.md";
const states = ["met", "in part", "not yet", "not done", "others'"] as const;
const requirements = 201;

interface Row {
  readonly number: string;
  readonly state: string;
  readonly here: string;
  readonly citations: readonly { readonly file: string; readonly name: string }[];
  readonly wellFormed: boolean;
}

const rows = readFileSync(page, "utf8")
  .split("\n")
  .filter((line) => /^\| R\d/.test(line))
  .map((line): Row => {
    const [number = "", what = "", state = "", here = "", shown = "", ...rest] = line.slice(2, -2).split(" | ");
    const cited = shown === "–" ? [] : shown.split("<br>").map((one) => /^`([^`]+)` "(.+)"$/.exec(one));
    return {
      number,
      state,
      here,
      citations: cited.flatMap((found) => (found === null ? [] : [{ file: found[1] ?? "", name: found[2] ?? "" }])),
      wellFormed: rest.length === 0 && what !== "" && here !== "" && cited.every((found) => found !== null),
    };
  });

test("every requirement has exactly one row, in order", () => {
  expect(rows.map(({ number }) => number)).toEqual(Array.from({ length: requirements }, (_, index) => `R${index + 1}`));
});

test("every row says its state, where it is met or why not, and cites tests by file and name", () => {
  expect(rows.filter(({ state, wellFormed }) => !wellFormed || !states.some((known) => known === state))).toEqual([]);
});

test("what is said to be met, wholly or in part, is shown by a test", () => {
  expect(
    rows.filter(({ state, citations }) => (state === "met" || state === "in part") && citations.length === 0),
  ).toEqual([]);
});

test("every file that is named exists", () => {
  const named = rows.flatMap(({ here }) =>
    [...here.matchAll(/`((?:src|proto|docs|scripts|test)\/[^`]+)`/g)].map(([, file = ""]) => file),
  );
  expect(named.length).toBeGreaterThan(100);
  expect(named.filter((file) => !existsSync(file))).toEqual([]);
});

test("every test that is cited exists", () => {
  const citations = rows.flatMap((row) => row.citations);
  expect(citations.length).toBeGreaterThan(150);
  expect(citations.filter(({ file, name }) => !hasTest(file, name))).toEqual([]);
});
