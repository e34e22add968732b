import { expect, test } from "vitest";
import { ByteBudget } from "../../../src/transport/load/byte-budget.ts";

test("a budget has room until it is full, and again for what is given back", () => {
  const budget = new ByteBudget(10);
  budget.take(6);
  expect(budget.fullFor(4)).toBeUndefined();
  expect(budget.fullFor(5)).toBe(budget);
  budget.give(1);
  expect(budget.fullFor(5)).toBeUndefined();
  expect(budget.held).toBe(5);
});

test("a part of a budget is full when it or the whole is, and says which", () => {
  const whole = new ByteBudget(10);
  const [one, other] = [new ByteBudget(8, whole), new ByteBudget(8, whole)];
  one.take(7);
  expect(one.fullFor(2)).toBe(one);
  expect(other.fullFor(3)).toBeUndefined();
  expect(other.fullFor(4)).toBe(whole);
  one.give(7);
  expect(other.fullFor(4)).toBeUndefined();
  expect(whole.held).toBe(0);
});

test("bytes beyond a budget have room in it while it holds nothing else", () => {
  const whole = new ByteBudget(10);
  const [one, other] = [new ByteBudget(5, whole), new ByteBudget(5, whole)];
  expect(one.fullFor(20)).toBeUndefined();
  one.take(20);
  expect(one.fullFor(1)).toBe(one);
  expect(other.fullFor(1)).toBe(whole);
  one.give(20);
  other.take(1);
  expect(one.fullFor(20)).toBe(whole);
});
