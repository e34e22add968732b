import { WallClock } from "../../runtime/wall-clock.ts";
import type { Retention } from "../storage.ts";
import type { MaybePromise } from "../storage-engine.ts";
import { StorageError } from "../storage-error.ts";
import type { Allocate } from "./entry-batch.ts";
import { keepForever, momentOf } from "./moment.ts";
import {
  type ArgsOf,
  type ReadOperations,
  type ResultOf,
  readOperations,
  type TableOperation,
  type WriteOperations,
  writeOperations,
} from "./operations/operations.ts";
import { runAtOnce } from "./steps.ts";
import type { Tables } from "./tables.ts";

/** What an engine gives `tablesEngine`: transactions, each of which carries out one operation on its tables. */
export interface Transactions {
  /** Where the batch of an append is encoded. Default: in a buffer of its own. */
  readonly allocate?: Allocate;
  /** Called once, before the first operation. */
  setRetention(retention: Retention): MaybePromise<void>;
  /**
   * Carries out an operation in a transaction, with the database's time where it has a clock. Resolves after COMMIT; an
   * error means that nothing changed, unless it is a `StorageError` with outcome "unknown".
   *
   * The bytes of an append's batch and of a snapshot's pieces are the engine's own. All other bytes of the arguments
   * belong to the caller, who never changes them: the engine may keep them, but neither changes nor transfers them.
   */
  write<Name extends keyof WriteOperations>(
    name: Name,
    args: ArgsOf<WriteOperations[Name]>,
  ): MaybePromise<ResultOf<WriteOperations[Name]>>;
  /** Carries out an operation that only reads, on one state of the database that holds all that was answered. */
  read<Name extends keyof ReadOperations>(
    name: Name,
    args: ArgsOf<ReadOperations[Name]>,
  ): MaybePromise<ResultOf<ReadOperations[Name]>>;
  /** Called once. What was begun is finished. */
  close(): MaybePromise<void>;
}

/**
 * The transactions of tables in the memory of this process, whose statements return values. An operation runs without
 * a pause, so it is one step. No statement may fail, since nothing undoes those before it.
 */
export class LocalTransactions implements Transactions {
  /** From Buffer's pool: a small array with a buffer of its own costs several times its bytes. */
  readonly allocate: Allocate = (size) => Buffer.allocUnsafe(size);
  #tables: Tables | undefined;
  #retention = keepForever;
  readonly #clock: WallClock;

  constructor(tables: Tables, clock: WallClock = new WallClock()) {
    this.#tables = tables;
    this.#clock = clock;
  }

  setRetention(retention: Retention): void {
    this.#retention = retention;
  }

  write<Name extends keyof WriteOperations>(
    name: Name,
    args: ArgsOf<WriteOperations[Name]>,
  ): ResultOf<WriteOperations[Name]> {
    return this.#run(writeOperations[name], args);
  }

  read<Name extends keyof ReadOperations>(
    name: Name,
    args: ArgsOf<ReadOperations[Name]>,
  ): ResultOf<ReadOperations[Name]> {
    return this.#run(readOperations[name], args);
  }

  /** Lets go of the tables, so that their memory can be freed. */
  close(): void {
    this.#tables = undefined;
  }

  #run<O extends TableOperation>(operation: O, args: ArgsOf<O>): ResultOf<O> {
    if (this.#tables === undefined) {
      throw new StorageError("closed", "The storage is closed");
    }
    const steps = operation(
      this.#tables,
      args as never,
      momentOf(this.#clock.read(), this.#retention, this.#clock.earliest),
    );
    return runAtOnce(steps) as ResultOf<O>;
  }
}
