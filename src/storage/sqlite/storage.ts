import type { Logger } from "../../runtime/logger.ts";
import { checkStorageOptions } from "../check-arguments.ts";
import { checkedStorage } from "../checked-storage.ts";
import type { Storage, StorageOptions } from "../storage.ts";
import { tablesEngine } from "../tables/tables-engine.ts";
import { openChannels, type SqliteChannels } from "./thread/open.ts";
import { SqliteTransactions } from "./transactions.ts";

/**
 * Opens a storage in a SQLite file. The file and its folder are made if there are none. The storage is durable and for
 * one process at a time. All of SQLite's work is done in two threads: one writes and waits for the disk, one reads.
 * Throws `StorageError`:
 * - "invalid" for options it can't use or a file of a newer release;
 * - "corrupt" for a file that is no sound database;
 * - "unavailable" for one that can't be opened, or that another process uses. The message names that process.
 *
 * While the file, its write-ahead log or its lock is removed or replaced, every call fails with "lost".
 */
export async function createSqliteStorage(file: string, options?: StorageOptions): Promise<Storage> {
  return sqliteStorageOver(await openChannels(file, checkStorageOptions(options)), options?.logger);
}

/** The storage over threads that were opened already: tests put faults into theirs. */
export function sqliteStorageOver(channels: SqliteChannels, logger?: Logger): Storage {
  const traits = { durable: true, shared: false, exclusive: true, expiry: "sweep", wakeUps: "local" } as const;
  return checkedStorage(tablesEngine(traits, new SqliteTransactions(channels), logger && { logger }));
}
