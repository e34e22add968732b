import { type Clock, systemClock } from "../../runtime/clock.ts";
import { WallClock } from "../../runtime/wall-clock.ts";
import { checkStorageOptions } from "../check-arguments.ts";
import { checkedStorage } from "../checked-storage.ts";
import type { Storage, StorageOptions } from "../storage.ts";
import type { Tables } from "../tables/tables.ts";
import { tablesEngine } from "../tables/tables-engine.ts";
import { LocalTransactions } from "../tables/transactions.ts";
import { conversationTables } from "./conversation-tables.ts";
import { MemoryState } from "./state.ts";
import { taskTables } from "./task-tables.ts";

/**
 * A storage in the memory of this process, for tests and demos. It keeps every promise of the port but durability.
 * Expired conversations are hidden at once and removed by `cleanupExpiredConversations`. Throws `StorageError`
 * "invalid" if the options are.
 */
export function createMemoryStorage(options?: StorageOptions, clock: Clock = systemClock): Storage {
  const { maxHistoryLength } = checkStorageOptions(options);
  return checkedStorage(
    tablesEngine(
      { durable: false, shared: false, expiry: "sweep", wakeUps: "local" },
      new LocalTransactions(createMemoryTables(maxHistoryLength), new WallClock(clock)),

      options?.logger && { logger: options.logger },
    ),
  );
}

/** Tables of maps, with an index for every order that a statement reads in. */
export function createMemoryTables(maxHistoryLength: number): Tables {
  const state = new MemoryState();
  return { maxHistoryLength, ...conversationTables(state), ...taskTables(state, maxHistoryLength) };
}
