import type { TaskKey } from "../../domain/scope.ts";
import { checkStorageOptions } from "../check-arguments.ts";
import { checkedStorage } from "../checked-storage.ts";
import type { Retention, Storage, StorageOptions, StorageTraits } from "../storage.ts";
import type { OperationArgs, OperationName, OperationResult, StorageEngine } from "../storage-engine.ts";
import { SqliteInboxes } from "./inboxes.ts";
import * as codec from "./thread/codec.ts";
import { openChannels, type SqliteChannels } from "./thread/open.ts";

/**
 * Opens a storage in a SQLite file. The file and its folder are made if there are none. The storage is durable and for
 * one process at a time. All of SQLite's work is done in two threads: one writes and waits for the disk, one reads.
 * Throws `StorageError`: "invalid" for options it can't use or a file of a newer release, "corrupt" for a file that is
 * no sound database, "unavailable" for one that can't be opened.
 */
export async function createSqliteStorage(file: string, options?: StorageOptions): Promise<Storage> {
  return sqliteStorageOver(await openChannels(file, checkStorageOptions(options)));
}

/** The storage over threads that were opened already: tests put faults into theirs. */
export function sqliteStorageOver(channels: SqliteChannels): Storage {
  return checkedStorage(new SqliteEngine(channels));
}

/** Turns operations into calls of the two threads. */
class SqliteEngine implements StorageEngine {
  readonly traits: StorageTraits = { durable: true, shared: false, expiry: "sweep", wakeUps: "local" };
  readonly #channels: SqliteChannels;
  readonly #inboxes = new SqliteInboxes();

  constructor(channels: SqliteChannels) {
    this.#channels = channels;
  }

  async setRetention(retention: Retention): Promise<void> {
    const { writer, reader } = this.#channels;
    await Promise.all([writer.call("setRetention", { retention }), reader.call("setRetention", { retention })]);
  }

  call<Name extends OperationName>(name: Name, args: OperationArgs<Name>): Promise<OperationResult<Name>> {
    return operations[name](this.#channels, args);
  }

  watch(replica: string, wake: (keys: readonly TaskKey[]) => void): AsyncDisposable {
    return this.#inboxes.watch(replica, wake);
  }

  wake(replicas: readonly string[], keys: readonly TaskKey[]): void {
    this.#inboxes.wake(replicas, keys);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { writer, reader, steps } = this.#channels;
    this.#inboxes.close();
    await steps.close();
    // The writer last: the last connection to go copies the write-ahead log into the database and removes it.
    await reader.close();
    await writer.close();
  }
}

const operations: {
  readonly [Name in OperationName]: (
    channels: SqliteChannels,
    args: OperationArgs<Name>,
  ) => Promise<OperationResult<Name>>;
} = {
  async appendTask({ writer }, { key, append }) {
    const args = codec.appendArgs(key, append);
    return await writer.call("appendTask", args, codec.appendOptions(args));
  },
  getTask: ({ reader }, args) => reader.call("getTask", args),
  async readTask({ reader }, { key, after, bytesMax }) {
    return codec.entriesOf(await reader.call("readTask", { key, after: Number(after), bytesMax }), after);
  },
  taskExists: ({ reader }, args) => reader.call("taskExists", args),
  listTasks: ({ reader }, args) => reader.call("listTasks", args),
  storeSnapshot: ({ steps }, { key, snapshot }) => steps.storeSnapshot(key, snapshot),
  async deleteTask({ writer, steps }, args) {
    const deleted = await writer.call("deleteTask", args);
    if (deleted) {
      await steps.sweep();
    }
    return deleted;
  },
  sendCommand({ writer }, { key, command: { id, bytes } }) {
    const request = { id, bytes: codec.ownBytes(bytes) };
    return writer.call("sendCommand", { key, request }, { bytes: bytes.byteLength });
  },

  getMessages: ({ reader }, args) => reader.call("getMessages", args),
  listMessages: ({ reader }, args) => reader.call("listMessages", args),
  listMessagePage: ({ reader }, args) => reader.call("listMessagePage", args),
  storeMessages({ writer }, args) {
    const bytes = args.messages.reduce((sum, message) => sum + message.bytes.byteLength, 0);
    return writer.call("storeMessages", args, { bytes });
  },
  deleteMessage: ({ writer }, args) => writer.call("deleteMessage", args),
  claimMessage: ({ writer }, args) => writer.call("claimMessage", args),

  storeConversation({ writer }, { scope, conversation: { contextId, messageIds, lastAccessTime } }) {
    return writer.call("storeConversation", { scope, contextId, messageIds, lastAccessMs: lastAccessTime.getTime() });
  },
  getConversation: ({ reader }, args) => reader.call("getConversation", args),
  listConversations: ({ reader }, args) => reader.call("listConversations", args),
  updateConversationAccess: ({ writer }, args) => writer.call("updateConversationAccess", args),
  async deleteConversation({ writer, steps }, args) {
    const deleted = await writer.call("deleteConversation", args);
    if (deleted) {
      await steps.sweep();
    }
    return deleted;
  },
  getExpiredConversations: ({ reader }, args) => reader.call("getExpiredConversations", args),
  cleanupExpiredConversations: ({ steps }, { maxAgeMs, scope }) => steps.cleanup(maxAgeMs, scope),
  getConversationStats: ({ reader }, args) => reader.call("getConversationStats", args),

  storePushNotification: ({ writer }, args) =>
    writer.call("storePushNotification", args, { bytes: args.bytes.byteLength }),
  getPushNotification: ({ reader }, args) => reader.call("getPushNotification", args),
  listPushNotifications: ({ reader }, args) => reader.call("listPushNotifications", args),
  deletePushNotification: ({ writer }, args) => writer.call("deletePushNotification", args),

  heartbeat: ({ writer }, args) => writer.call("heartbeat", args),
  deregister: ({ writer }, args) => writer.call("deregister", args),
  listReplicas: ({ reader }, args) => reader.call("listReplicas", args),
  claimTasks: ({ reader }, { claim }) => reader.call("claimTasks", claim),
};
