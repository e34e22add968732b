import type { Storage, StorageOptions } from "../storage/storage.ts";

/**
 * One promise of the port, with a check of it. `run` opens a storage of its own, and rejects if the promise isn't kept.
 */
export interface ConformanceCase {
  readonly group: string;
  readonly name: string;
  /** Why the storage is declared to differ here: then `run` rejects if the promise is kept. */
  readonly difference?: string;
  run(): Promise<void>;
}

/** Opens a storage that holds nothing and shares nothing with any other that it opened. */
export type OpenStorage = (options?: StorageOptions) => Promise<Storage>;

/**
 * What the suite must be told of a storage. Nothing is left out for want of it: cases that need what isn't given fail,
 * or are declared.
 */
export interface ConformanceOptions {
  /** For durable ones: closes a storage and opens what it left behind again. */
  readonly reopen?: ReopenStorage;
  /** Opens a storage, empty like any other, of which one command to its database will fail. */
  readonly faults?: OpenUnderFault;
  /**
   * Where the storage doesn't do what the port promises, each with the reason, by "group: case name", or "group: *" for
   * all of a group. What is listed must fail: one that passes is an error, and so is a name that no case has.
   */
  readonly differences?: Readonly<Record<string, string>>;
}

export type ReopenStorage = (storage: Storage) => Promise<Storage>;

/**
 * What goes wrong: at one command that the storage gives its database, be it a statement, a request or a write to a
 * file.
 */
export interface Fault {
  /** The number of the command, from 0, counted from `arm` on. */
  readonly step: number;
  /** Whether it is never carried out, or carried out and its answer lost. */
  readonly effect: "before" | "after";
  /** Whether the process ends with it: nothing is carried out for this storage any more. */
  readonly crash: boolean;
}

export type OpenUnderFault = (fault: Fault, options?: StorageOptions) => Promise<StorageUnderFault>;

/** A storage of which one command will fail. Disposing it closes all that was opened for it. */
export interface StorageUnderFault extends AsyncDisposable {
  readonly storage: Storage;
  /** Begins to count commands. */
  arm(): void;
  /** Whether the fault has struck. If it hasn't, there were fewer commands. */
  readonly struck: boolean;
  /**
   * Ends `storage`, in whatever state it is, and opens what it left behind as another process does, without a fault.
   */
  reopen(): Promise<Storage>;
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
  run(storage: Storage, reopen: ReopenStorage): Promise<void>;
}

/** A check of storages that fail. */
export interface FaultSpec {
  readonly name: string;
  run(open: OpenUnderFault): Promise<void>;
}
