import { expect } from "vitest";
import { type ConformanceOptions, type OpenStorage, storageConformance } from "../../src/storage/conformance/index.ts";
import type { Storage } from "../../src/storage/storage.ts";

/** The cases of a group that a storage fails, each with the reason; not more than `max`. */
export async function failuresOf(
  group: string,
  open: OpenStorage,
  { max = Number.POSITIVE_INFINITY, ...extras }: ConformanceOptions & { readonly max?: number },
): Promise<readonly string[]> {
  const cases = storageConformance(open, extras).filter((one) => one.group === group);
  expect(cases).not.toEqual([]);
  const failures: string[] = [];
  for (const { name, run } of cases) {
    if (failures.length < max) {
      await run().catch((error: unknown) => failures.push(`${name}: ${error}`));
    }
  }
  return failures;
}

/** A storage with some of its methods replaced. */
export function withMethods(real: Storage, methods: Partial<Storage>): Storage {
  return new Proxy(real, {
    get(target, property) {
      const value: unknown = Reflect.get(property in methods ? methods : target, property);
      return typeof value === "function" && !(property in methods) ? value.bind(target) : value;
    },
  });
}
