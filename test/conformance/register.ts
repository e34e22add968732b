import { describe, expect, test } from "vitest";
import { type ConformanceOptions, type OpenStorage, storageConformance } from "../../src/conformance/index.ts";

declare module "vitest" {
  interface TaskMeta {
    /** Which case of the storage suite a test is, of which storage. */
    storageCase?: {
      readonly storage: string;
      readonly group: string;
      readonly name: string;
      readonly difference?: string;
    };
    /** What a storage runs on. */
    storageEngine?: { readonly storage: string; readonly engine: string };
  }
}

/** A storage that the suite is to prove. */
export interface Registration extends ConformanceOptions {
  /** How the table calls it. */
  readonly name: string;
  /** What it runs on, with the version, asked of that itself. */
  readonly engine: () => Promise<string>;
  readonly open: OpenStorage;
}

/** Registers all cases that a storage must pass with the test runner, by group, under the name of the storage. */
export function registerStorageConformance({ name: storage, engine, open, ...options }: Registration): void {
  describe(storage, () => {
    test("says what it runs on", async ({ task }) => {
      const version = await engine();
      expect(version).toMatch(/\d+\.\d+/);
      task.meta.storageEngine = { storage, engine: version };
    });
    const groups = Map.groupBy(storageConformance(open, options), ({ group }) => group);
    for (const [group, cases] of groups) {
      describe(group, () => {
        for (const { name, difference, run } of cases) {
          const storageCase = { storage, group, name, ...(difference !== undefined && { difference }) };
          test(
            difference === undefined ? name : `differs, as declared: ${name}`,
            { timeout: 60_000, meta: { storageCase } },
            run,
          );
        }
      });
    }
  });
}
