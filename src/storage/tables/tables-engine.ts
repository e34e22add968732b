import type { TaskKey } from "../../domain/scope.ts";
import { type Logger, silentLogger } from "../../runtime/logger.ts";
import type { Retention, StorageTraits } from "../storage.ts";
import type { MaybePromise, OperationArgs, OperationName, OperationResult, StorageEngine } from "../storage-engine.ts";
import { encodedBatch, entriesOf } from "./entry-batch.ts";
import { Jobs } from "./jobs.ts";
import { type Inboxes, LocalInboxes } from "./local-inboxes.ts";
import {
  type ReadOperations,
  readOperations,
  type TableOperation,
  type WriteOperations,
  writeOperations,
} from "./operations/operations.ts";
import type { Transactions } from "./transactions.ts";

/** Parts of the engine that have defaults. */
export interface TablesEngineParts {
  readonly inboxes?: Inboxes;
  /** Is told of work off the request path that failed. Default: nobody is told. */
  readonly logger?: Logger;
}

/**
 * An engine over transactions. It turns each call into one operation, or a job of several. Without `inboxes`, wake-ups
 * stay in this process.
 */
export function tablesEngine(
  traits: StorageTraits,
  transactions: Transactions,
  { inboxes = new LocalInboxes(), logger = silentLogger }: TablesEngineParts = {},
): StorageEngine {
  return new TablesEngine(traits, transactions, inboxes, logger);
}

/** The calls that are more than one operation. */
type Calls = {
  readonly [Name in
    | "appendTask"
    | "readTask"
    | "storeSnapshot"
    | "deleteTask"
    | "deleteConversation"
    | "cleanupExpiredConversations"
    | "getExpiredConversations"
    | "claimTasks"]: (args: OperationArgs<Name>) => MaybePromise<OperationResult<Name>>;
};

/** Every other call is the operation of its name, with the same arguments and result. */
({ ...readOperations, ...writeOperations }) satisfies {
  readonly [Name in Exclude<OperationName, keyof Calls>]: TableOperation<OperationArgs<Name>, OperationResult<Name>>;
};

class TablesEngine implements StorageEngine {
  readonly traits: StorageTraits;
  readonly #transactions: Transactions;
  readonly #inboxes: Inboxes;
  readonly #jobs: Jobs;
  readonly #calls: Calls;

  constructor(traits: StorageTraits, transactions: Transactions, inboxes: Inboxes, logger: Logger) {
    this.traits = traits;
    this.#transactions = transactions;
    this.#inboxes = inboxes;
    this.#jobs = new Jobs(transactions, logger);
    this.#calls = callsOf(transactions, this.#jobs);
  }

  setRetention(retention: Retention): MaybePromise<void> {
    return this.#transactions.setRetention(retention);
  }

  call<Name extends OperationName>(name: Name, args: OperationArgs<Name>): MaybePromise<OperationResult<Name>> {
    let result: unknown;
    if (name in this.#calls) {
      result = this.#calls[name as keyof Calls](args as never);
    } else if (name in readOperations) {
      result = this.#transactions.read(name as keyof ReadOperations, args as never);
    } else {
      result = this.#transactions.write(name as keyof WriteOperations, args as never);
    }
    return result as MaybePromise<OperationResult<Name>>;
  }

  watch(replica: string, wake: (keys: readonly TaskKey[]) => void): AsyncDisposable {
    return this.#inboxes.watch(replica, wake);
  }

  wake(replicas: readonly string[], keys: readonly TaskKey[]): MaybePromise<void> {
    return this.#inboxes.wake(replicas, keys);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#inboxes.close();
    await this.#jobs.close();
    await this.#transactions.close();
  }
}

function callsOf(transactions: Transactions, jobs: Jobs): Calls {
  const thenSweep = async (deleting: MaybePromise<boolean>): Promise<boolean> => {
    const deleted = await deleting;
    if (deleted) {
      await jobs.sweep();
    }
    return deleted;
  };
  return {
    appendTask: ({ key, append }) =>
      transactions.write("appendTask", {
        key,
        append: { ...append, batch: encodedBatch(append.batch, transactions.allocate) },
      }),
    readTask: ({ key, after, bytesMax }) =>
      whenDone(transactions.read("readTask", { key, after: Number(after), bytesMax }), (run) => entriesOf(run, after)),
    storeSnapshot: ({ key, snapshot }) => jobs.storeSnapshot(key, snapshot),
    deleteTask: (args) => thenSweep(transactions.write("deleteTask", args)),
    deleteConversation: (args) => thenSweep(transactions.write("deleteConversation", args)),
    cleanupExpiredConversations: ({ maxAgeMs, scope }) => jobs.cleanup(maxAgeMs, scope),
    getExpiredConversations: ({ maxAgeMs, limit, scope }) => jobs.getExpired(maxAgeMs, limit, scope),
    claimTasks: ({ claim: { replicas, limit } }) => {
      const args = { replicas: shuffle([...new Set(replicas)]), limit, random: Math.random() };
      return whenDone(transactions.read("claimTasks", args), (keys) => shuffle([...keys]));
    },
  };
}

/** Like `then`, but at once for a result that is no promise. */
function whenDone<T, U>(result: MaybePromise<T>, then: (value: T) => U): MaybePromise<U> {
  return result instanceof Promise ? result.then(then) : then(result);
}

function shuffle<T>(items: T[]): T[] {
  for (let i = items.length - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [items[i], items[j]] = [items[j] as T, items[i] as T];
  }
  return items;
}
