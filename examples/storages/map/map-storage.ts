import {
  checkArguments,
  checkedStorage,
  LocalTransactions,
  type Storage,
  type StorageOptions,
  tablesEngine,
} from "../../../src/index.ts";
import { MapTables } from "./map-tables.ts";

/** A storage in the memory of one process. All of it but the statements on its tables is the library's. */
export function createMapStorage(options?: StorageOptions): Storage {
  const { maxHistoryLength } = checkArguments.checkStorageOptions(options);
  const traits = { durable: false, shared: false, expiry: "sweep", wakeUps: "local" } as const;
  return checkedStorage(tablesEngine(traits, new LocalTransactions(new MapTables(maxHistoryLength))));
}
