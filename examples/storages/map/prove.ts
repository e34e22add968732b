import { test } from "node:test";
import { storageConformance } from "../../../src/conformance/index.ts";
import { differences } from "./differences.ts";
import { createMapStorage } from "./map-storage.ts";

const open = async (options?: Parameters<typeof createMapStorage>[0]) => createMapStorage(options);
for (const { group, name, run } of storageConformance(open, { differences })) {
  test(`${group}: ${name}`, { timeout: 60_000 }, run);
}
