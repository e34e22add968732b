import { expect, test } from "vitest";
import { TaskState } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import * as given from "../../../src/conformance/fixtures.ts";
import { checkedStorage } from "../../../src/storage/checked-storage.ts";
import { createMemoryTables } from "../../../src/storage/memory/storage.ts";
import { tablesEngine } from "../../../src/storage/tables/tables-engine.ts";
import { LocalTransactions } from "../../../src/storage/tables/transactions.ts";
import { type LogLine, loggerTo } from "../../manager/fixtures.ts";

test("a sweep that fails after a removal is logged, and the removal succeeds", async () => {
  const transactions = new LocalTransactions(createMemoryTables(100));
  const write = transactions.write.bind(transactions);
  transactions.write = ((name, args) => {
    if (name === "sweep") throw new Error("Injected");
    return write(name, args);
  }) as typeof write;
  const lines: LogLine[] = [];
  const traits = { durable: false, shared: false, expiry: "sweep", wakeUps: "local" } as const;
  await using storage = checkedStorage(tablesEngine(traits, transactions, { logger: loggerTo(lines) }));
  const key = given.taskKey("task");
  await given.commit(storage, key, given.nothing, { state: TaskState.COMPLETED });
  expect(await storage.deleteTask(key)).toBe(true);
  expect(lines).toMatchObject([
    {
      level: "warn",
      fields: { err: { message: "Injected" } },
      text: "Removed rows could not be swept; the next cleanup sweeps them",
    },
  ]);
});
