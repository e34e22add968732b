import { expect, test } from "vitest";
import { IndexNames, NameCosts } from "../../../src/transport/request-bounds/name-costs.ts";

test("a name costs where it is new, and where its object is large", () => {
  const costs = new NameCosts();
  const costOf = (names: readonly string[]) => names.map((name, before) => costs.of(name, before));
  const names = Array.from({ length: 14 }, (_, at) => `n${at}`);
  expect(costOf(["a", "b"])).toEqual([2, 2]);
  expect(costOf(["a", "b"])).toEqual([0, 0]);
  expect(costOf(names)).toEqual(Array(14).fill(2));
  expect(costOf(names)).toEqual([...Array(12).fill(0), 1, 1]);
});

const every = (step: number, count: number, from = 0) => Array.from({ length: count }, (_, at) => from + at * step);

test.each<[string, readonly (number | string)[], number]>([
  ["names that are no indexes", ["a", "01", "-1", "1.5", "1e3", "4294967295", ""], 0],
  ["all numbers", every(1, 10_000), 0],
  ["one number", [1000], 125],
  ["several numbers, in any order", [3000, 1000, 2000], 375],
  ["every eighth number", every(8, 1000), 875],
  ["one number behind a large gap", [2024], 3],
  ["large numbers far apart", every(1000, 1000, 1_000_000), 3000],
  ["numbers far apart, beyond the largest array", every(1000, 1000), Math.ceil((999 * 5 + 994 * 24) / 8)],
])("the gaps between the indexes of an object cost: %s", (_title, given, cost) => {
  const names = new IndexNames();
  for (const name of given) names.add(String(name));
  expect(names.cost()).toBe(cost);
});

test("in an object that is merged others may lie in the large gaps", () => {
  const names = new IndexNames();
  names.add("5000");
  expect(names.cost(true)).toBe(128);
});
