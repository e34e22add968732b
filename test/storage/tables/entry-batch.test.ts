import { create, toBinary } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { EntryBatchSchema } from "../../../gen/taskmanager/storage/v1/records_pb.ts";
import { encodeEntryBatch, entryRanges } from "../../../src/storage/tables/entry-batch.ts";

test("entries on both sides of each length that takes a byte more are encoded and found as protobuf does it", () => {
  const sizes = [0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, 12 * 1024 * 1024];
  const entries = sizes.map((size, index) => new Uint8Array(size).fill(index));
  const bytes = toBinary(EntryBatchSchema, create(EntryBatchSchema, { entries }));
  expect(Buffer.from(encodeEntryBatch(entries).buffer).equals(bytes)).toBe(true);
  const ranges = entryRanges(bytes);
  expect(ranges.map(({ begin, end }) => end - begin)).toEqual(sizes);
  expect(ranges.map(({ start }) => start)).toEqual([0, ...ranges.slice(0, -1).map(({ end }) => end)]);
  for (const [index, { begin, end }] of ranges.entries()) {
    expect(Buffer.from(entries[index] ?? []).equals(bytes.subarray(begin, end))).toBe(true);
  }
});
