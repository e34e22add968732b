import { describe, test } from "vitest";
import { type ConformanceCase, type ConformanceExtras, type OpenStorage, storageConformance } from "../../src/storage/conformance/index.ts";

/** Registers all cases that a storage must pass with the test runner, by group, under the name of the storage. */
export function registerStorageConformance(name: string, open: OpenStorage, extras?: ConformanceExtras): void {
  describe(name, () => {
    const groups = Map.groupBy<string, ConformanceCase>(storageConformance(open, extras), ({ group }) => group);
    for (const [group, cases] of groups) {
      describe(group, () => {
        for (const { name: promise, run } of cases) {
          test(promise, { timeout: 60_000 }, run);
        }
      });
    }
  });
}
