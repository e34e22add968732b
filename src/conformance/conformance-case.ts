import type { Storage, StorageOptions } from "../storage/storage.ts";

/** One promise of the port and its check. `run` opens a storage of its own, and rejects if the promise is broken. */
export interface ConformanceCase {
  readonly group: string;
  readonly name: string;
  /** Why the storage is declared to differ. If present, `run` rejects if the promise is kept. */
  readonly difference?: string;
  run(): Promise<void>;
}

/** Opens an empty storage that shares nothing with the others that it opened. */
export type OpenStorage = (options?: StorageOptions) => Promise<Storage>;

/** What the suite needs to know about a storage. A case that needs an absent option fails unless it is declared. */
export interface ConformanceOptions {
  /** For durable storages: closes a storage and opens its data again. */
  readonly reopen?: ReopenStorage;
  /** Opens an empty storage with one command to its database that will fail. */
  readonly faults?: OpenUnderFault;
  /**
   * The promises that the storage doesn't keep, each with the reason. Keys are "group: case name", or "group: *" for a
   * whole group. A listed case must fail: one that passes is an error, and so is a name that no case has.
   */
  readonly differences?: Readonly<Record<string, string>>;
}

export type ReopenStorage = (storage: Storage) => Promise<Storage>;

/** A fault at one command from the storage to its database: a statement, a request or a write to a file. */
export interface Fault {
  /** The number of the command, from 0, counted after `arm`. */
  readonly step: number;
  /** "before": the command isn't executed. "after": it is executed and its answer is lost. */
  readonly effect: "before" | "after";
  /** Whether the process ends with it: no later command of this storage is executed. */
  readonly crash: boolean;
}

export type OpenUnderFault = (fault: Fault, options?: StorageOptions) => Promise<StorageUnderFault>;

/** A storage with one command that will fail. Disposing it closes everything that was opened for it. */
export interface StorageUnderFault extends AsyncDisposable {
  readonly storage: Storage;
  /** Starts to count commands. */
  arm(): void;
  /** Whether the fault has happened. If not, there were fewer commands. */
  readonly struck: boolean;
  /** Ends `storage`, whatever its state, and opens its data as another process does, without a fault. */
  reopen(): Promise<Storage>;
}

/** A check that gets the storage when it runs. */
export interface CaseSpec {
  readonly name: string;
  readonly options?: StorageOptions;
  run(storage: Storage): Promise<void>;
}

/** A check that closes the storage and opens it again. */
export interface ReopenSpec {
  readonly name: string;
  run(storage: Storage, reopen: ReopenStorage): Promise<void>;
}

/** A check that opens storages with faults. */
export interface FaultSpec {
  readonly name: string;
  run(open: OpenUnderFault): Promise<void>;
}
