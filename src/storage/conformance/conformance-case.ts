import type { Storage, StorageOptions } from "../storage.ts";

/** One promise of the port, with a check of it. `run` opens a storage of its own, and rejects if the promise isn't kept. */
export interface ConformanceCase {
  readonly group: string;
  readonly name: string;
  run(): Promise<void>;
}

/** Opens a storage that holds nothing and shares nothing with any other that it opened. */
export type OpenStorage = (options?: StorageOptions) => Promise<Storage>;

/** What more a storage can be checked for, by its traits. */
export interface ConformanceExtras {
  /** For durable ones: closes a storage and opens what it left behind again. */
  readonly reopen?: (storage: Storage) => Promise<Storage>;
}

/** A check before it knows what to check. */
export interface CaseSpec {
  readonly name: string;
  readonly options?: StorageOptions;
  run(storage: Storage): Promise<void>;
}

/** A check of a storage that is closed and opened again within it. */
export interface ReopenSpec {
  readonly name: string;
  run(storage: Storage, reopen: (storage: Storage) => Promise<Storage>): Promise<void>;
}
