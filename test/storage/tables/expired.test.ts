import { expect, test } from "vitest";
import { MapTables } from "../../../examples/storages/map/map-tables.ts";
import { TaskState } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import * as given from "../../../src/conformance/fixtures.ts";
import { checkedStorage } from "../../../src/storage/checked-storage.ts";
import { expiredConversationsMax } from "../../../src/storage/tables/limits.ts";
import { tablesEngine } from "../../../src/storage/tables/tables-engine.ts";
import { LocalTransactions } from "../../../src/storage/tables/transactions.ts";

test("a look for expired conversations reads a bounded number of held ones in one transaction", async () => {
  const tables = new MapTables(100);
  const transactions = new LocalTransactions(tables);
  /** How many conversations each transaction looked at. */
  const looked: number[] = [];
  const read = transactions.read.bind(transactions);
  transactions.read = (name, args) => {
    looked.push(0);
    return read(name, args);
  };
  const old = tables.oldConversations.bind(tables);
  tables.oldConversations = (...args) => {
    const found = old(...args);
    looked.push((looked.pop() ?? 0) + found.length);
    return found;
  };
  const traits = { durable: false, shared: false, expiry: "sweep", wakeUps: "local" } as const;
  await using storage = checkedStorage(tablesEngine(traits, transactions));
  const held = 3 * expiredConversationsMax;
  for (let index = 0; index <= held; index++) {
    const contextId = `context-${index}`;
    const state = index === held ? TaskState.COMPLETED : TaskState.WORKING;
    await given.commit(storage, given.taskKey(contextId), given.nothing, { contextId, state });
    await given.setLastAccess(storage, contextId, new Date(index));
  }
  looked.length = 0;
  const expired = await storage.getExpiredConversations(0, 1);
  expect(expired).toEqual([{ ...given.scope, contextId: `context-${held}` }]);
  expect(Math.max(...looked)).toBe(expiredConversationsMax);
  expect(looked).toHaveLength(4);
});
