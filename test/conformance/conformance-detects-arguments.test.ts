import { describe, expect, test } from "vitest";
import { storageConformance } from "../../src/conformance/index.ts";
import { createMemoryStorage } from "../../src/storage/memory/storage.ts";
import type { Storage, StorageOptions } from "../../src/storage/storage.ts";
import { StorageError } from "../../src/storage/storage-error.ts";
import { failuresOf, withMethods } from "./mutant-storage.ts";

type Method = Exclude<keyof Storage, "traits" | symbol>;

const cases = storageConformance(async (options) => createMemoryStorage(options)).filter(
  ({ group, name }) => group === "arguments" && name.includes(" refuses "),
);
const methods = cases.map(({ name }) => name.split(" ")[0] as Method);

/** A storage that leaves out one check, or changes something before it checks. */
const faults: readonly { readonly name: string; readonly methods: (real: Storage) => Partial<Storage> }[] = [
  {
    name: "looks at no scope where no message is asked for",
    methods: (real) => ({ getMessages: async (of, ids) => (ids.length === 0 ? [] : real.getMessages(of, ids)) }),
  },
  {
    name: "passes over names of replicas that it can't have",
    methods: (real) => ({
      claimTasks: ({ replicas, limit }) => real.claimTasks({ replicas: replicas.filter(isId), limit }),
    }),
  },
  {
    name: "wakes those that it can, and passes over the others",
    methods: (real) => ({
      wake: (replicas, keys) =>
        real.wake(
          replicas.filter(isId),
          keys.filter(({ taskId, tenant, owner }) => isId(taskId) && isName(tenant) && isName(owner)),
        ),
    }),
  },
  {
    name: "takes a page of no tasks for one of all",
    methods: (real) => ({ listTasks: (query) => real.listTasks({ ...query, limit: query.limit || 1000 }) }),
  },
  {
    name: "shortens a batch id that is too long",
    methods: (real) => ({
      appendTask: (key, append) =>
        real.appendTask(key, { ...append, batch: { ...append.batch, id: append.batch.id.slice(0, 64) } }),
    }),
  },
  {
    name: "stores messages one by one until one is refused",
    methods: (real) => ({
      async storeMessages(scope, messages, settle) {
        for (const message of messages.slice(0, 256)) {
          await real.storeMessages(scope, [message]);
        }
        await real.storeMessages(scope, messages, settle);
      },
    }),
  },
  {
    name: "takes a claim before it looks at the window",
    methods: (real) => ({
      async claimMessage(scope, claim) {
        if (!(claim.windowMs >= 0)) {
          await real.claimMessage(scope, { ...claim, windowMs: 60_000 });
        }
        return real.claimMessage(scope, claim);
      },
    }),
  },
  {
    name: "counts the access that it refuses",
    methods: (real) => ({
      async storeConversation(scope, conversation) {
        const present = await real.getConversation(scope, "context");
        const seen = { contextId: "context", messageIds: [], ...present, lastAccessTime: new Date(5000) };
        await real.storeConversation(scope, seen);
        await real.storeConversation(scope, conversation);
      },
    }),
  },
];

describe("the conformance suite finds a storage that", () => {
  test.for(methods)("answers calls of %s with invalid arguments", { timeout: 60_000 }, async (method) => {
    const open = async (options?: StorageOptions) => {
      const real = createMemoryStorage(options);
      return withMethods(real, { [method]: lenient(real, method) });
    };
    expect(await failuresOf("arguments", open, {})).toEqual([expect.stringMatching(new RegExp(`^${method} refuses`))]);
  });

  test.for(faults)("$name", { timeout: 60_000 }, async ({ methods: changed }) => {
    const open = async (options?: StorageOptions) => {
      const real = createMemoryStorage(options);
      return withMethods(real, changed(real));
    };
    expect(await failuresOf("arguments", open, {})).toHaveLength(1);
  });
});

test("the conformance suite finds nothing where arguments are checked", { timeout: 60_000 }, async () => {
  expect(await failuresOf("arguments", async (options) => createMemoryStorage(options), {})).toEqual([]);
});

/** The method, which answers undefined where it should refuse. */
function lenient(real: Storage, method: Method): (...args: never[]) => unknown {
  return (...args) => {
    try {
      const result: unknown = Reflect.apply(real[method] as (...args: never[]) => unknown, real, args);
      return result instanceof Promise ? result.catch(unlessInvalid) : result;
    } catch (error) {
      return unlessInvalid(error);
    }
  };
}

function unlessInvalid(error: unknown): undefined {
  if (error instanceof StorageError && error.code === "invalid") {
    return undefined;
  }
  throw error;
}

function isId(id: string): boolean {
  return id !== "" && isName(id);
}

function isName(name: string): boolean {
  return Buffer.byteLength(name) <= 256 && name.isWellFormed();
}
