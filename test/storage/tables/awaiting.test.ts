import { expect, test } from "vitest";
import { differences } from "../../../examples/storages/map/differences.ts";
import { MapTables } from "../../../examples/storages/map/map-tables.ts";
import { storageConformance } from "../../../src/conformance/index.ts";
import { checkStorageOptions } from "../../../src/storage/check-arguments.ts";
import { checkedStorage } from "../../../src/storage/checked-storage.ts";
import type { Storage, StorageOptions } from "../../../src/storage/storage.ts";
import { StorageError } from "../../../src/storage/storage-error.ts";
import { keepForever, momentOf } from "../../../src/storage/tables/moment.ts";
import {
  readOperations,
  type TableOperation,
  writeOperations,
} from "../../../src/storage/tables/operations/operations.ts";
import { runAtOnce, runAwaiting, type Steps, step } from "../../../src/storage/tables/steps.ts";
import type { Tables } from "../../../src/storage/tables/tables.ts";
import { tablesEngine } from "../../../src/storage/tables/tables-engine.ts";
import type { Transactions } from "../../../src/storage/tables/transactions.ts";

const cases = storageConformance(async (options) => openAwaiting(options), { differences });

test.each(
  cases.map((one) => [`${one.group}: ${one.name}`, one] as const),
)("tables whose statements are awaited: %s", async (_name, { run }) => {
  await run();
});

test("an operation over statements that return values runs without a pause", () => {
  expect(runAtOnce(sum([1, 2, 3]))).toBe(6);
});

test("an operation awaits each statement before the next, and can catch its error", async () => {
  const order: string[] = [];
  function* operation(): Steps<string> {
    try {
      yield* step(later("first", order));
      yield* step(Promise.reject(new Error("No second")));
    } catch (error) {
      order.push((error as Error).message);
    }
    return yield* step(later("third", order));
  }
  expect(await runAwaiting(operation())).toBe("third");
  expect(order).toEqual(["first", "No second", "third"]);
});

test("an error that an operation doesn't catch is its result", async () => {
  function* operation(): Steps<number> {
    return yield* step(Promise.reject<number>(new StorageError("unavailable", "Down")));
  }
  await expect(runAwaiting(operation())).rejects.toMatchObject({ code: "unavailable" });
});

test("a statement of an engine that doesn't wait may not return a promise", () => {
  function* operation(): Steps<number> {
    return yield* step(Promise.resolve(1));
  }
  expect(() => runAtOnce(operation())).toThrow("returned a promise");
});

function* sum(values: readonly number[]): Steps<number> {
  let total = 0;
  for (const value of values) {
    total += yield* step(value);
  }
  return total;
}

async function later(value: string, order: string[]): Promise<string> {
  await Promise.resolve();
  order.push(value);
  return value;
}

/** The map storage with a promise from each statement, and so with one transaction after the other. */
function openAwaiting(options?: StorageOptions): Storage {
  const tables = awaited(new MapTables(checkStorageOptions(options).maxHistoryLength));
  let retention = keepForever;
  let last: Promise<unknown> = Promise.resolve();
  let closed = false;
  const transact = (operation: TableOperation, args: unknown): Promise<never> => {
    if (closed) {
      return Promise.reject(new StorageError("closed", "The storage is closed"));
    }
    const run = last.then(() => runAwaiting(operation(tables, args as never, momentOf(Date.now(), retention))));
    last = run.catch(() => undefined);
    return run as Promise<never>;
  };
  const transactions: Transactions = {
    setRetention(given) {
      retention = given;
    },
    write: (name, args) => transact(writeOperations[name], args),
    read: (name, args) => transact(readOperations[name], args),
    async close() {
      await last;
      closed = true;
    },
  };
  const traits = { durable: false, shared: false, expiry: "sweep", wakeUps: "local" } as const;
  return checkedStorage(tablesEngine(traits, transactions));
}

function awaited(tables: Tables): Tables {
  return new Proxy(tables, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? async (...args: unknown[]) => Reflect.apply(value, target, args) : value;
    },
  });
}
