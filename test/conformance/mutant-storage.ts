import { expect } from "vitest";
import { type ConformanceOptions, type OpenStorage, storageConformance } from "../../src/conformance/index.ts";
import type { Scope } from "../../src/domain/scope.ts";
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

/** All methods, with every argument that carries a scope changed. */
export function mapKeys(
  real: Storage,
  change: (key: Scope & { readonly taskId?: unknown }) => Scope,
): Partial<Storage> {
  const changed = new Proxy(real, {
    get(target, property) {
      const value: unknown = Reflect.get(target, property);
      return typeof value !== "function"
        ? value
        : (...args: unknown[]) =>
            Reflect.apply(
              value,
              target,
              args.map((arg) => changeArgument(arg)),
            );
    },
    has: (target, property) => property !== "traits" && property in target,
  });
  return changed;

  function changeArgument(arg: unknown): unknown {
    if (typeof arg !== "object" || arg === null) {
      return arg;
    }
    if ("owner" in arg) {
      return change(arg as Scope);
    }
    return "scope" in arg ? { ...arg, scope: change(arg.scope as Scope) } : arg;
  }
}
