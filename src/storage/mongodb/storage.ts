import { toBinary } from "@bufbuild/protobuf";
import type { MongoClient } from "mongodb";
import {
  type Message,
  type TaskPushNotificationConfig,
  TaskPushNotificationConfigSchema,
} from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import type { ConversationKey, Scope, TaskKey } from "../../domain/scope.ts";
import { type Logger, silentLogger } from "../../runtime/logger.ts";
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
import { claimMessage } from "./claims/claims.ts";
import * as conversationReads from "./conversations/conversation-reads.ts";
import { updateConversationAccess } from "./conversations/conversations.ts";
import * as messages from "./conversations/messages.ts";
import * as removal from "./lifetime/removal.ts";
import { advanceTask } from "./log/append.ts";
import { createTask } from "./log/create.ts";
import { listTasks } from "./log/list-tasks.ts";
import { readTask } from "./log/read-log.ts";
import { sendCommand } from "./log/requests.ts";
import { storeSnapshot } from "./log/snapshots.ts";
import { getTask, taskExists } from "./log/task-reads.ts";
import * as configs from "./push-notifications.ts";
import * as replicas from "./replicas/replicas.ts";
import { MongoSession } from "./session.ts";

export interface MongoStorageOptions extends StorageOptions {
  /** The database. Default: the one that the URL or the client names, or else "a2a". */
  readonly database?: string;
  /**
   * How much longer than its conversation's time what belongs to it stays. Default: as long as that time, two minutes
   * at least. Only tests want less.
   */
  readonly slackMs?: number;
  /** Hears of what an operator should know. Default: the process's warnings hear what is a warning, nobody the rest. */
  readonly logger?: Logger;
}

/**
 * Opens a storage in a MongoDB database, from version 6.0 on, for any number of processes at once. Durable: what it
 * acknowledges is held by a majority of the replica set. Conversations expire by themselves. A watch is called with no
 * keys at all when it may have missed some. A client that is handed in stays open when the storage is closed.
 * Throws `StorageError`: "invalid" for options and URLs it can't use, a server that is too old, or a database of a
 * newer release; "unavailable" if no server can be reached.
 */
export async function createMongoStorage(
  urlOrClient: string | MongoClient,
  options: MongoStorageOptions = {},
): Promise<Storage> {
  const { database, slackMs, logger = warningLogger } = options;
  return new MongoStorage(
    await MongoSession.open(urlOrClient, { ...check.checkStorageOptions(options), database, slackMs, logger }),
  );
}

const warningLogger: Logger = {
  ...silentLogger,
  warn: (_fields, text) => process.emitWarning(text, "MongoStorageWarning"),
};

/** The port's calls, checked and handed to the operations. */
class MongoStorage implements Storage {
  readonly traits: StorageTraits = { durable: true, shared: true, expiry: "native", wakeUps: "push" };
  readonly #session: MongoSession;

  constructor(session: MongoSession) {
    this.#session = session;
  }

  async setRetention({ conversationTtlMs, interruptedTtlMs }: Retention): Promise<void> {
    check.checkRetention({ conversationTtlMs, interruptedTtlMs });
    this.#session.setRetention({ conversationTtlMs, interruptedTtlMs });
  }

  async appendTask(key: TaskKey, append: TaskAppend): Promise<AppendResult> {
    check.checkTaskAppend(key, append);
    const { create } = append;
    return this.#session.write((context) =>
      create === undefined ? advanceTask(context, key, append) : createTask(context, key, append, create),
    );
  }

  async getTask(key: TaskKey, options?: { readonly snapshot?: boolean }): Promise<StoredTask | undefined> {
    check.checkTaskKey(key);
    return this.#session.read((context) => getTask(context, key, options?.snapshot ?? false));
  }

  async readTask(key: TaskKey, after: bigint, bytesMax: number): Promise<readonly StoredEntry[]> {
    check.checkTaskKey(key);
    check.checkSequence("sequence", after);
    check.checkAmount("number of bytes", bytesMax);
    return this.#session.read((context) => readTask(context, key, after, bytesMax));
  }

  async taskExists(key: TaskKey): Promise<boolean> {
    check.checkTaskKey(key);
    return this.#session.read((context) => taskExists(context, key));
  }

  async listTasks(query: TaskQuery): Promise<TaskPage> {
    check.checkTaskQuery(query);
    return this.#session.read((context) => listTasks(context, query));
  }

  async storeSnapshot(key: TaskKey, snapshot: Snapshot): Promise<void> {
    check.checkSnapshot(key, snapshot);
    await this.#session.write((context) => storeSnapshot(context, key, snapshot));
  }

  async deleteTask(key: TaskKey): Promise<boolean> {
    check.checkTaskKey(key);
    return this.#session.write((context) => removal.deleteTask(context, key));
  }

  async sendCommand(key: TaskKey, request: TaskCommand): Promise<boolean> {
    check.checkRequest(key, request);
    return this.#session.write((context) => sendCommand(context, key, request));
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
    return this.#session.read((context) => messages.getMessages(context, scope, messageIds));
  }

  async listMessagesByContextId(scope: Scope, contextId: string, limit?: number): Promise<readonly Message[]> {
    check.checkContext(scope, contextId);
    const most = check.checkHistoryLimit(limit);
    return this.#session.read((context) => messages.listMessages(context, scope, contextId, most));
  }

  async listMessagePage(
    scope: Scope,
    contextId: string,
    page: { readonly after?: MessagePlace; readonly limit: number },
  ): Promise<MessagePage> {
    check.checkContext(scope, contextId);
    check.checkMessagePage(page);
    return this.#session.read((context) => messages.listMessagePage(context, scope, contextId, page));
  }

  async storeMessages(scope: Scope, stored: readonly Message[], settle?: MessageClaim): Promise<void> {
    check.checkMessages(scope, stored, settle);
    await this.#session.write((context) => messages.storeMessages(context, scope, stored, settle));
  }

  async deleteMessage(scope: Scope, messageId: string): Promise<boolean> {
    check.checkMessageKey(scope, messageId);
    return this.#session.write((context) => messages.deleteMessage(context, scope, messageId));
  }

  async claimMessage(scope: Scope, claim: MessageClaim): Promise<ClaimResult> {
    check.checkScope(scope);
    check.checkClaim(claim);
    return this.#session.write((context) => claimMessage(context, scope, claim));
  }

  async storeConversation(scope: Scope, conversation: ConversationHistory): Promise<void> {
    check.checkConversation(scope, conversation);
    await this.#session.write((context) => messages.storeConversation(context, scope, conversation));
  }

  async getConversation(scope: Scope, contextId: string): Promise<ConversationHistory | undefined> {
    check.checkContext(scope, contextId);
    return this.#session.read((context) => messages.getConversation(context, scope, contextId));
  }

  async listConversations(scope: Scope, page: PageQuery): Promise<ConversationPage> {
    check.checkScope(scope);
    check.checkPageQuery(page);
    return this.#session.read((context) => conversationReads.listConversations(context, scope, page));
  }

  async updateConversationAccess(scope: Scope, contextId: string): Promise<boolean> {
    check.checkContext(scope, contextId);
    return this.#session.write((context) => updateConversationAccess(context, scope, contextId));
  }

  async deleteConversation(scope: Scope, contextId: string): Promise<boolean> {
    check.checkContext(scope, contextId);
    return this.#session.write((context) => removal.deleteConversation(context, scope, contextId));
  }

  async getExpiredConversations(maxAgeMs: number, limit: number, scope?: Scope): Promise<readonly ConversationKey[]> {
    check.checkExpired(maxAgeMs, scope);
    check.checkLimit(limit);
    return this.#session.read((context) => removal.getExpiredConversations(context, maxAgeMs, limit, scope));
  }

  async cleanupExpiredConversations(maxAgeMs: number, scope?: Scope): Promise<number> {
    check.checkExpired(maxAgeMs, scope);
    return this.#session.write((context) => removal.cleanupExpiredConversations(context, maxAgeMs, scope));
  }

  async getConversationStats(scope?: Scope): Promise<ConversationStats> {
    check.checkExpired(0, scope);
    return this.#session.read((context) => conversationReads.getConversationStats(context, scope));
  }

  async storePushNotification(key: TaskKey, config: TaskPushNotificationConfig): Promise<void> {
    check.checkPushNotification(key, config);
    const bytes = toBinary(TaskPushNotificationConfigSchema, config);
    check.checkBytes("config", bytes);
    await this.#session.write((context) => configs.storePushNotification(context, key, config.id, bytes));
  }

  async getPushNotification(key: TaskKey, configId: string): Promise<TaskPushNotificationConfig | undefined> {
    check.checkTaskKey(key);
    check.checkId("config id", configId);
    return this.#session.read((context) => configs.getPushNotification(context, key, configId));
  }

  async listPushNotifications(key: TaskKey): Promise<readonly TaskPushNotificationConfig[]> {
    check.checkTaskKey(key);
    return this.#session.read((context) => configs.listPushNotifications(context, key));
  }

  async deletePushNotification(key: TaskKey, configId: string): Promise<boolean> {
    check.checkTaskKey(key);
    check.checkId("config id", configId);
    return this.#session.write((context) => configs.deletePushNotification(context, key, configId));
  }

  async heartbeat(replica: string): Promise<void> {
    check.checkId("replica", replica);
    await this.#session.write((context) => replicas.heartbeat(context, replica));
  }

  async deregister(replica: string): Promise<void> {
    check.checkId("replica", replica);
    await this.#session.write((context) => replicas.deregister(context, replica));
  }

  async listReplicas(): Promise<readonly ReplicaRecord[]> {
    return this.#session.read(replicas.listReplicas);
  }

  async claimTasks(claim: TaskClaim): Promise<readonly TaskKey[]> {
    check.checkLimit(claim.limit);
    return this.#session.read((context) => replicas.claimTasks(context, claim));
  }

  watch(replica: string, wake: (keys: readonly TaskKey[]) => void): AsyncDisposable {
    check.checkId("replica", replica);
    return this.#session.inbox.watch(replica, wake);
  }

  async wake(names: readonly string[], keys: readonly TaskKey[]): Promise<void> {
    const { inbox } = this.#session;
    await this.#session.write(() => inbox.wake(names, keys));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#session.close();
  }
}
