import type { TaskKey } from "../../domain/scope.ts";
import type { Retention, StorageTraits } from "../storage.ts";
import type { MaybePromise, OperationArgs, OperationName, OperationResult, StorageEngine } from "../storage-engine.ts";
import { encodedBatch, entriesOf } from "./entry-batch.ts";
import { Jobs } from "./jobs.ts";
import { type Inboxes, LocalInboxes } from "./local-inboxes.ts";
import type { Transactions } from "./transactions.ts";

/**
 * An engine over transactions. It turns each call into one operation, or a job of several. Without `inboxes`, wake-ups
 * stay in this process.
 */
export function tablesEngine(
  traits: StorageTraits,
  transactions: Transactions,
  inboxes: Inboxes = new LocalInboxes(),
): StorageEngine {
  return new TablesEngine(traits, transactions, inboxes);
}

type Calls = {
  readonly [Name in OperationName]: (args: OperationArgs<Name>) => MaybePromise<OperationResult<Name>>;
};

class TablesEngine implements StorageEngine {
  readonly traits: StorageTraits;
  readonly #transactions: Transactions;
  readonly #inboxes: Inboxes;
  readonly #jobs: Jobs;
  readonly #calls: Calls;

  constructor(traits: StorageTraits, transactions: Transactions, inboxes: Inboxes) {
    this.traits = traits;
    this.#transactions = transactions;
    this.#inboxes = inboxes;
    this.#jobs = new Jobs(transactions);
    this.#calls = callsOf(transactions, this.#jobs);
  }

  setRetention(retention: Retention): MaybePromise<void> {
    return this.#transactions.setRetention(retention);
  }

  call<Name extends OperationName>(name: Name, args: OperationArgs<Name>): MaybePromise<OperationResult<Name>> {
    return this.#calls[name](args);
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
  return {
    appendTask: ({ key, append }) =>
      transactions.write("appendTask", {
        key,
        append: { ...append, batch: encodedBatch(append.batch, transactions.allocate) },
      }),
    getTask: (args) => transactions.read("getTask", args),
    readTask: ({ key, after, bytesMax }) =>
      whenDone(transactions.read("readTask", { key, after: Number(after), bytesMax }), (run) => entriesOf(run, after)),
    taskExists: (args) => transactions.read("taskExists", args),
    listTasks: (args) => transactions.read("listTasks", args),
    storeSnapshot: ({ key, snapshot }) => jobs.storeSnapshot(key, snapshot),
    deleteTask: async (args) => {
      const deleted = await transactions.write("deleteTask", args);
      if (deleted) {
        await jobs.sweep();
      }
      return deleted;
    },
    sendCommand: (args) => transactions.write("sendCommand", args),

    getMessages: (args) => transactions.read("getMessages", args),
    listMessages: (args) => transactions.read("listMessages", args),
    listMessagePage: (args) => transactions.read("listMessagePage", args),
    storeMessages: (args) => transactions.write("storeMessages", args),
    deleteMessage: (args) => transactions.write("deleteMessage", args),
    claimMessage: (args) => transactions.write("claimMessage", args),

    storeConversation: (args) => transactions.write("storeConversation", args),
    getConversation: (args) => transactions.read("getConversation", args),
    listConversations: (args) => transactions.read("listConversations", args),
    updateConversationAccess: (args) => transactions.write("updateConversationAccess", args),
    deleteConversation: async (args) => {
      const deleted = await transactions.write("deleteConversation", args);
      if (deleted) {
        await jobs.sweep();
      }
      return deleted;
    },
    getExpiredConversations: (args) => transactions.read("getExpiredConversations", args),
    cleanupExpiredConversations: ({ maxAgeMs, scope }) => jobs.cleanup(maxAgeMs, scope),
    getConversationStats: (args) => transactions.read("getConversationStats", args),

    storePushNotification: (args) => transactions.write("storePushNotification", args),
    getPushNotification: (args) => transactions.read("getPushNotification", args),
    listPushNotifications: (args) => transactions.read("listPushNotifications", args),
    deletePushNotification: (args) => transactions.write("deletePushNotification", args),

    heartbeat: (args) => transactions.write("heartbeat", args),
    deregister: (args) => transactions.write("deregister", args),
    listReplicas: (args) => transactions.read("listReplicas", args),
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
