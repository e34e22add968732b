import { setImmediate } from "node:timers/promises";
import { expect } from "vitest";
import { TaskState } from "../../gen/lf/a2a/v1/a2a_pb.ts";
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

/** Deletes a conversation with its tasks, running ones too. */
export async function deleteWhatever(storage: Storage, scope: Scope, contextId: string): Promise<boolean> {
  const { tasks } = await storage.listTasks({ scope, contextId, limit: 100 });
  await Promise.all(tasks.map(({ key }) => storage.deleteTask(key)));
  return (await storage.deleteConversation(scope, contextId)) || tasks.length > 0;
}

/** Storages that delete conversations at fault. */
export const deletionFaults: readonly {
  readonly name: string;
  readonly group: string;
  readonly methods: (real: Storage) => Partial<Storage>;
}[] = [
  {
    name: "deletes a conversation whose task runs",
    group: "deletion of a conversation",
    methods: (real) => ({ deleteConversation: (scope, contextId) => deleteWhatever(real, scope, contextId) }),
  },
  {
    name: "looks for running tasks first, and deletes the conversation then",
    group: "deletion of a conversation",
    methods: (real) => ({
      async deleteConversation(scope, contextId) {
        const { tasks } = await real.listTasks({ scope, contextId, limit: 100 });
        await setImmediate();
        return tasks.some(({ state }) => state === TaskState.SUBMITTED || state === TaskState.WORKING)
          ? real.deleteConversation(scope, contextId)
          : deleteWhatever(real, scope, contextId);
      },
    }),
  },
];
