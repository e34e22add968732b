import { expect, test } from "vitest";
import { type ChartPoint, lineChart } from "../../bench/line-chart.ts";

const texts = { title: "a < b", xLabel: "events", yLabel: "µs" };
const points: readonly ChartPoint[] = [
  { line: "one", x: 100, y: 10 },
  { line: "two & more", x: 10, y: 2000 },
  { line: "one", x: 10, y: 100 },
];

test("a chart has a line for each name, its points in order, on scales of powers of ten", () => {
  const svg = lineChart(points, texts);
  expect(
    [...svg.matchAll(/<path class="line l(\d)" d="(M[^"]*)"/g)].map(([, line, path]) => `${line} ${path}`),
  ).toEqual([
    // From 10 to 100 from edge to edge; 10 and 100 are a third apart on a scale from 10 to 10,000.
    "0 M76 226.7L736 312",
    "1 M76 115.6",
    "0 M76 380h36",
    "1 M406 380h36",
  ]);
  expect([...svg.matchAll(/<text[^>]*>([^<]*)</g)].map(([, text]) => text)).toEqual(
    expect.arrayContaining(["a &lt; b", "10", "100", "1,000", "10,000", "events", "µs", "one", "two &amp; more"]),
  );
});

test("it is readable on dark ground, too", () => {
  expect(lineChart(points, texts)).toMatch(/@media\(prefers-color-scheme:dark\)\{.*\.line\.l1\{stroke:#/);
});

test.each([
  ["nothing", []],
  ["zero", [{ line: "one", x: 0, y: 1 }]],
  ["a negative number", [{ line: "one", x: 1, y: -1 }]],
  ["what isn't a number", [{ line: "one", x: 1, y: Number.NaN }]],
  ["more lines than can be told apart", Array.from({ length: 6 }, (_, index) => ({ line: `${index}`, x: 1, y: 1 }))],
] as const)("%s is refused", (_, wrong) => {
  expect(() => lineChart(wrong, texts)).toThrow(/chart/);
});
