import fc from "fast-check";
import { expect, test } from "vitest";
import { SortedList } from "../../../src/storage/memory/sorted-list.ts";

test("a list of many chunks holds what a sorted array holds", () => {
  fc.assert(
    fc.property(fc.integer({ min: 2, max: 50 }), fc.array(fc.nat(9999), { maxLength: 200 }), (stride, drawn) => {
      const items = Array.from({ length: 5000 }, (_, index) => ({ value: (index * stride * 97 + index) % 10_007 }));
      const distinct = [...new Map(items.map((item) => [item.value, item])).values()];
      const list = new SortedList<{ readonly value: number }>((a, b) => a.value - b.value);
      for (const item of distinct) {
        list.insert(item);
      }
      const removed = new Set(drawn.flatMap((from) => distinct.slice(from, from + stride)));
      for (const item of removed) {
        list.delete(item);
        list.delete(item);
      }
      const expected = distinct.filter((item) => !removed.has(item)).sort((a, b) => a.value - b.value);
      expect([...list]).toEqual(expected);
      expect(list.slice()).toEqual(expected);
      expect(list.length).toBe(expected.length);
      for (const place of drawn) {
        const index = expected.filter(({ value }) => value <= place).length;
        expect(list.firstIndex(({ value }) => value > place)).toBe(index);
        expect(list.at(index)).toBe(expected[index]);
        expect(list.slice(index, index + stride)).toEqual(expected.slice(index, index + stride));
      }
    }),
    { numRuns: 20 },
  );
});
