import { toBinary } from "@bufbuild/protobuf";
import {
  type Message,
  MessageSchema,
  type TaskPushNotificationConfig,
  TaskPushNotificationConfigSchema,
} from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import type { ConversationKey, Scope, TaskKey } from "../../domain/scope.ts";
import * as check from "../check-arguments.ts";
import type {
  AppendResult,
  ClaimResult,
  ConversationHistory,
  ConversationPage,
  ConversationStats,
  MessageClaim,
  MessagePage,
  MessagePlace,
  PageQuery,
  ReplicaRecord,
  Retention,
  Snapshot,
  Storage,
  StorageOptions,
  StorageTraits,
  StoredEntry,
  StoredTask,
  TaskAppend,
  TaskClaim,
  TaskCommand,
  TaskPage,
  TaskQuery,
} from "../storage.ts";
import { StorageError } from "../storage-error.ts";
import { SqliteInboxes } from "./inboxes.ts";
import * as codec from "./thread/codec.ts";
import { openChannels, type SqliteChannels } from "./thread/open.ts";

const { scopeOf, taskKeyOf } = codec;

/**
 * Opens a storage in a SQLite file, which is made, with its folder, if there is none. Durable; for one process at a
 * time. All of SQLite's work is done in two threads: one writes and waits for the disk, one reads.
 * Throws `StorageError`: "invalid" for options it can't use or a file of a newer release, "corrupt" for a file that is
 * no sound database, "unavailable" for one that can't be opened.
 */
export async function createSqliteStorage(file: string, options?: StorageOptions): Promise<Storage> {
  return sqliteStorageOver(await openChannels(file, check.checkStorageOptions(options)));
}

/** The storage over threads that were opened already: tests put faults into theirs. */
export function sqliteStorageOver(channels: SqliteChannels): Storage {
  return new SqliteStorage(channels);
}

/** The port's calls, checked and turned into calls of the two threads. */
class SqliteStorage implements Storage {
  readonly traits: StorageTraits = { durable: true, shared: false, expiry: "sweep", wakeUps: "local" };
  readonly #channels: SqliteChannels;
  readonly #inboxes = new SqliteInboxes();
  #closed: Promise<void> | undefined;

  constructor(channels: SqliteChannels) {
    this.#channels = channels;
  }

  get #writer(): SqliteChannels["writer"] {
    return this.#open().writer;
  }

  get #reader(): SqliteChannels["reader"] {
    return this.#open().reader;
  }

  async setRetention({ conversationTtlMs, interruptedTtlMs }: Retention): Promise<void> {
    const retention = { conversationTtlMs, interruptedTtlMs };
    check.checkRetention(retention);
    await Promise.all([
      this.#writer.call("setRetention", { retention }),
      this.#reader.call("setRetention", { retention }),
    ]);
  }

  async appendTask(key: TaskKey, append: TaskAppend): Promise<AppendResult> {
    check.checkTaskAppend(key, append);
    const writer = this.#writer;
    const args = codec.appendArgs(key, append);
    return codec.appendResult(await writer.call("appendTask", args, codec.appendOptions(args)));
  }

  async getTask(key: TaskKey, options?: { readonly snapshot?: boolean }): Promise<StoredTask | undefined> {
    check.checkTaskKey(key);
    return this.#reader.call("getTask", { key: taskKeyOf(key), snapshot: options?.snapshot ?? false });
  }

  async readTask(key: TaskKey, after: bigint, bytesMax: number): Promise<readonly StoredEntry[]> {
    check.checkTaskKey(key);
    check.checkSequence("sequence", after);
    check.checkAmount("number of bytes", bytesMax);
    return codec.entriesOf(
      await this.#reader.call("readTask", { key: taskKeyOf(key), after: Number(after), bytesMax }),
      after,
    );
  }

  async taskExists(key: TaskKey): Promise<boolean> {
    check.checkTaskKey(key);
    return this.#reader.call("taskExists", { key: taskKeyOf(key) });
  }

  async listTasks(query: TaskQuery): Promise<TaskPage> {
    check.checkTaskQuery(query);
    return this.#reader.call("listTasks", { query: { ...query, scope: scopeOf(query.scope) } });
  }

  async storeSnapshot(key: TaskKey, snapshot: Snapshot): Promise<void> {
    check.checkSnapshot(key, snapshot);
    await this.#open().steps.storeSnapshot(taskKeyOf(key), snapshot);
  }

  async deleteTask(key: TaskKey): Promise<boolean> {
    check.checkTaskKey(key);
    const { writer, steps } = this.#open();
    const deleted = await writer.call("deleteTask", { key: taskKeyOf(key) });
    if (deleted) {
      await steps.sweep();
    }
    return deleted;
  }

  async sendCommand(key: TaskKey, { id, bytes }: TaskCommand): Promise<boolean> {
    check.checkRequest(key, { id, bytes });
    const request = { id, bytes: codec.ownBytes(bytes) };
    return this.#writer.call("sendCommand", { key: taskKeyOf(key), request }, { bytes: bytes.byteLength });
  }

  async getMessage(scope: Scope, messageId: string): Promise<Message | undefined> {
    const [message] = await this.getMessages(scope, [messageId]);
    return message;
  }

  async getMessages(scope: Scope, messageIds: readonly string[]): Promise<readonly Message[]> {
    check.checkScope(scope);
    for (const id of messageIds) {
      check.checkId("message id", id);
    }
    return codec.messagesOf(await this.#reader.call("getMessages", { scope: scopeOf(scope), messageIds }));
  }

  async listMessagesByContextId(scope: Scope, contextId: string, limit?: number): Promise<readonly Message[]> {
    check.checkContext(scope, contextId);
    const args = { scope: scopeOf(scope), contextId, limit: check.checkHistoryLimit(limit) };
    return codec.messagesOf(await this.#reader.call("listMessages", args));
  }

  async listMessagePage(
    scope: Scope,
    contextId: string,
    page: { readonly after?: MessagePlace; readonly limit: number },
  ): Promise<MessagePage> {
    check.checkContext(scope, contextId);
    check.checkMessagePage(page);
    const args = { scope: scopeOf(scope), contextId, after: page.after, limit: page.limit };
    const { messages, next } = await this.#reader.call("listMessagePage", args);
    return { messages: codec.messagesOf(messages), ...(next !== undefined && { next }) };
  }

  async storeMessages(scope: Scope, messages: readonly Message[], settle?: MessageClaim): Promise<void> {
    check.checkMessages(scope, messages, settle);
    const encoded = messages.map((message) => {
      const bytes = toBinary(MessageSchema, message);
      check.checkBytes("message", bytes);
      return { messageId: message.messageId, contextId: message.contextId, bytes: codec.ownBytes(bytes) };
    });
    const bytes = encoded.reduce((sum, message) => sum + message.bytes.byteLength, 0);
    await this.#writer.call("storeMessages", { scope: scopeOf(scope), messages: encoded, settle }, { bytes });
  }

  async deleteMessage(scope: Scope, messageId: string): Promise<boolean> {
    check.checkMessageKey(scope, messageId);
    return this.#writer.call("deleteMessage", { scope: scopeOf(scope), messageId });
  }

  async claimMessage(scope: Scope, claim: MessageClaim): Promise<ClaimResult> {
    check.checkScope(scope);
    check.checkClaim(claim);
    return codec.claimResult(await this.#writer.call("claimMessage", { scope: scopeOf(scope), claim }));
  }

  async storeConversation(scope: Scope, conversation: ConversationHistory): Promise<void> {
    check.checkConversation(scope, conversation);
    const { contextId, messageIds, lastAccessTime } = conversation;
    const args = { scope: scopeOf(scope), contextId, messageIds, lastAccessMs: lastAccessTime.getTime() };
    await this.#writer.call("storeConversation", args);
  }

  async getConversation(scope: Scope, contextId: string): Promise<ConversationHistory | undefined> {
    check.checkContext(scope, contextId);
    return this.#reader.call("getConversation", { scope: scopeOf(scope), contextId });
  }

  async listConversations(scope: Scope, page: PageQuery): Promise<ConversationPage> {
    check.checkScope(scope);
    check.checkPageQuery(page);
    return this.#reader.call("listConversations", { scope: scopeOf(scope), page });
  }

  async updateConversationAccess(scope: Scope, contextId: string): Promise<boolean> {
    check.checkContext(scope, contextId);
    return this.#writer.call("updateConversationAccess", { scope: scopeOf(scope), contextId });
  }

  async deleteConversation(scope: Scope, contextId: string): Promise<boolean> {
    check.checkContext(scope, contextId);
    const { writer, steps } = this.#open();
    const deleted = await writer.call("deleteConversation", { scope: scopeOf(scope), contextId });
    if (deleted) {
      await steps.sweep();
    }
    return deleted;
  }

  async getExpiredConversations(maxAgeMs: number, limit: number, scope?: Scope): Promise<readonly ConversationKey[]> {
    check.checkExpired(maxAgeMs, scope);
    check.checkLimit(limit);
    return this.#reader.call("getExpiredConversations", { maxAgeMs, limit, scope: scope && scopeOf(scope) });
  }

  async cleanupExpiredConversations(maxAgeMs: number, scope?: Scope): Promise<number> {
    check.checkExpired(maxAgeMs, scope);
    return this.#open().steps.cleanup(maxAgeMs, scope && scopeOf(scope));
  }

  async getConversationStats(scope?: Scope): Promise<ConversationStats> {
    check.checkExpired(0, scope);
    return this.#reader.call("getConversationStats", { scope: scope && scopeOf(scope) });
  }

  async storePushNotification(key: TaskKey, config: TaskPushNotificationConfig): Promise<void> {
    check.checkPushNotification(key, config);
    const bytes = codec.ownBytes(toBinary(TaskPushNotificationConfigSchema, config));
    check.checkBytes("config", bytes);
    await this.#writer.call(
      "storePushNotification",
      { key: taskKeyOf(key), configId: config.id, bytes },
      { bytes: bytes.byteLength },
    );
  }

  async getPushNotification(key: TaskKey, configId: string): Promise<TaskPushNotificationConfig | undefined> {
    check.checkTaskKey(key);
    check.checkId("config id", configId);
    const bytes = await this.#reader.call("getPushNotification", { key: taskKeyOf(key), configId });
    return bytes === undefined ? undefined : codec.decode(TaskPushNotificationConfigSchema, bytes);
  }

  async listPushNotifications(key: TaskKey): Promise<readonly TaskPushNotificationConfig[]> {
    check.checkTaskKey(key);
    const configs = await this.#reader.call("listPushNotifications", { key: taskKeyOf(key) });
    return configs.map((bytes) => codec.decode(TaskPushNotificationConfigSchema, bytes));
  }

  async deletePushNotification(key: TaskKey, configId: string): Promise<boolean> {
    check.checkTaskKey(key);
    check.checkId("config id", configId);
    return this.#writer.call("deletePushNotification", { key: taskKeyOf(key), configId });
  }

  async heartbeat(replica: string): Promise<void> {
    check.checkId("replica", replica);
    await this.#writer.call("heartbeat", { replica });
  }

  async deregister(replica: string): Promise<void> {
    check.checkId("replica", replica);
    await this.#writer.call("deregister", { replica });
  }

  async listReplicas(): Promise<readonly ReplicaRecord[]> {
    return this.#reader.call("listReplicas", {});
  }

  async claimTasks({ replicas, limit }: TaskClaim): Promise<readonly TaskKey[]> {
    check.checkLimit(limit);
    return this.#reader.call("claimTasks", { replicas, limit });
  }

  watch(replica: string, wake: (keys: readonly TaskKey[]) => void): AsyncDisposable {
    check.checkId("replica", replica);
    this.#open();
    return this.#inboxes.watch(replica, wake);
  }

  async wake(replicas: readonly string[], keys: readonly TaskKey[]): Promise<void> {
    this.#open();
    this.#inboxes.wake(replicas, keys);
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    const { writer, reader, steps } = this.#channels;
    this.#inboxes.close();
    await steps.close();
    // The writer last: the last connection to go copies the write-ahead log into the database and removes it.
    await reader.close();
    await writer.close();
  }

  #open(): SqliteChannels {
    if (this.#closed !== undefined) {
      throw new StorageError("closed", "The storage is closed");
    }
    return this.#channels;
  }
}
