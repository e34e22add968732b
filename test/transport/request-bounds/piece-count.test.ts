import { expect, test } from "vitest";
import { PieceCount } from "../../../src/transport/request-bounds/piece-count.ts";

/** The number of pieces that are let in, of the many that are tried. */
function letIn(sizeOf: (at: number) => number): number {
  const count = new PieceCount();
  let pieces = 0;
  while (pieces < 100_000 && !count.add(sizeOf(pieces))) pieces++;
  return pieces;
}

test.each<[string, number, (at: number) => number]>([
  ["of one byte: the first 16,384", 16_384, () => 1],
  ["of 63 bytes: the first 16,384", 16_384, () => 63],
  ["of 64 bytes: all", 100_000, () => 64],
  ["of 64 bytes on average: all", 100_000, (at) => (at % 2 === 0 ? 127 : 1)],
  ["of one byte behind a large one: for each 64 bytes of that one more", 31_746, (at) => (at === 0 ? 2_000_000 : 1)],
])("pieces of a body are let in, %s", (_title, pieces, sizeOf) => {
  expect(letIn(sizeOf)).toBe(pieces);
});
