import { fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  type Message,
  type TaskPushNotificationConfig,
  TaskPushNotificationConfigSchema,
} from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import type { ConversationKey, Scope, TaskKey } from "../../domain/scope.ts";
import * as check from "../check-arguments.ts";
import { compareIds } from "../compare-ids.ts";
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
import { claimMessage, dropEndedClaims } from "./claims.ts";
import * as conversations from "./conversations.ts";
import * as messages from "./messages.ts";
import type { ConversationRecord, TaskRecord } from "./records.ts";
import { MemoryState } from "./state.ts";
import * as tasks from "./tasks.ts";

/**
 * A storage in the memory of this process, for tests and demos: everything the port promises but durability. What
 * expires is hidden at once and removed by `cleanupExpiredConversations`. Throws `StorageError` "invalid" if the
 * options are.
 */
export function createMemoryStorage(options?: StorageOptions): Storage {
  return new MemoryStorage(check.checkStorageOptions(options).maxHistoryLength);
}

class MemoryStorage implements Storage {
  readonly traits: StorageTraits = { durable: false, shared: false, expiry: "sweep", wakeUps: "local" };
  /** Undefined once closed, so that what it held can go at once. */
  #records: MemoryState | undefined;

  constructor(maxHistoryLength: number) {
    this.#records = new MemoryState(maxHistoryLength);
  }

  get #state(): MemoryState {
    if (this.#records === undefined) {
      throw new StorageError("closed", "The storage is closed");
    }
    return this.#records;
  }

  async setRetention(retention: Retention): Promise<void> {
    check.checkRetention(retention);
    this.#state.retention = { ...retention };
  }

  async appendTask(key: TaskKey, append: TaskAppend): Promise<AppendResult> {
    check.checkTaskAppend(key, append);
    const nowMs = Date.now();
    dropEndedClaims(this.#state, nowMs);
    return tasks.appendTask(this.#state, key, append, nowMs);
  }

  async getTask(key: TaskKey, options?: { readonly snapshot?: boolean }): Promise<StoredTask | undefined> {
    const task = this.#findTask(key);
    return task === undefined ? undefined : tasks.storedTask(task, options?.snapshot ?? false);
  }

  async readTask(key: TaskKey, after: bigint, bytesMax: number): Promise<readonly StoredEntry[]> {
    check.checkSequence("sequence", after);
    check.checkAmount("number of bytes", bytesMax);
    const task = this.#findTask(key);
    return task === undefined ? [] : tasks.readEntries(task, after, bytesMax);
  }

  async taskExists(key: TaskKey): Promise<boolean> {
    return this.#findTask(key) !== undefined;
  }

  async listTasks(query: TaskQuery): Promise<TaskPage> {
    check.checkTaskQuery(query);
    return tasks.listTasks(this.#state, query, Date.now());
  }

  async storeSnapshot(key: TaskKey, snapshot: Snapshot): Promise<void> {
    check.checkSnapshot(key, snapshot);
    const task = this.#findTask(key);
    if (task !== undefined) {
      tasks.storeSnapshot(task, snapshot);
    }
  }

  async deleteTask(key: TaskKey): Promise<boolean> {
    const task = this.#findTask(key);
    if (task === undefined) {
      return false;
    }
    tasks.deleteTask(this.#state, task);
    return true;
  }

  async sendCommand(key: TaskKey, request: TaskCommand): Promise<boolean> {
    check.checkRequest(key, request);
    const task = this.#findTask(key);
    if (task !== undefined && !task.requests.has(request.id)) {
      task.requests.set(request.id, request.bytes);
    }
    return task !== undefined;
  }

  async getMessage(scope: Scope, messageId: string): Promise<Message | undefined> {
    check.checkMessageKey(scope, messageId);
    return messages.getMessage(this.#state, scope, messageId, Date.now());
  }

  async getMessages(scope: Scope, messageIds: readonly string[]): Promise<readonly Message[]> {
    const nowMs = Date.now();
    const found = messageIds.map((id) => {
      check.checkMessageKey(scope, id);
      return messages.getMessage(this.#state, scope, id, nowMs);
    });
    return found.filter((message) => message !== undefined);
  }

  async listMessagesByContextId(scope: Scope, contextId: string, limit?: number): Promise<readonly Message[]> {
    check.checkContext(scope, contextId);
    return messages.listMessages(this.#state, scope, contextId, check.checkHistoryLimit(limit), Date.now());
  }

  async listMessagePage(
    scope: Scope,
    contextId: string,
    page: { readonly after?: MessagePlace; readonly limit: number },
  ): Promise<MessagePage> {
    check.checkContext(scope, contextId);
    check.checkMessagePage(page);
    return messages.listMessagePage(this.#state, scope, contextId, page, Date.now());
  }

  async storeMessages(scope: Scope, stored: readonly Message[], settle?: MessageClaim): Promise<void> {
    check.checkMessages(scope, stored, settle);
    const nowMs = Date.now();
    dropEndedClaims(this.#state, nowMs);
    messages.storeMessages(this.#state, scope, stored, settle, nowMs);
  }

  async deleteMessage(scope: Scope, messageId: string): Promise<boolean> {
    check.checkMessageKey(scope, messageId);
    return messages.deleteMessage(this.#state, scope, messageId, Date.now());
  }

  async claimMessage(scope: Scope, claim: MessageClaim): Promise<ClaimResult> {
    check.checkScope(scope);
    check.checkClaim(claim);
    const nowMs = Date.now();
    dropEndedClaims(this.#state, nowMs);
    return claimMessage(this.#state, scope, claim, nowMs);
  }

  async storeConversation(scope: Scope, conversation: ConversationHistory): Promise<void> {
    check.checkConversation(scope, conversation);
    conversations.storeConversation(this.#state, scope, conversation, Date.now());
  }

  async getConversation(scope: Scope, contextId: string): Promise<ConversationHistory | undefined> {
    const conversation = this.#findConversation(scope, contextId);
    return conversation === undefined ? undefined : conversations.historyOf(conversation);
  }

  async listConversations(scope: Scope, page: PageQuery): Promise<ConversationPage> {
    check.checkScope(scope);
    check.checkPageQuery(page);
    return conversations.listConversations(this.#state, scope, page, Date.now());
  }

  async updateConversationAccess(scope: Scope, contextId: string): Promise<boolean> {
    const conversation = this.#findConversation(scope, contextId);
    if (conversation !== undefined) {
      this.#state.setLastAccess(conversation, Date.now());
    }
    return conversation !== undefined;
  }

  async deleteConversation(scope: Scope, contextId: string): Promise<boolean> {
    const conversation = this.#findConversation(scope, contextId);
    if (conversation !== undefined) {
      this.#state.removeConversation(conversation);
    }
    return conversation !== undefined;
  }

  async getExpiredConversations(maxAgeMs: number, limit: number, scope?: Scope): Promise<readonly ConversationKey[]> {
    check.checkExpired(maxAgeMs, scope);
    check.checkLimit(limit);
    return conversations.getExpiredConversations(this.#state, maxAgeMs, limit, scope, Date.now());
  }

  async cleanupExpiredConversations(maxAgeMs: number, scope?: Scope): Promise<number> {
    check.checkExpired(maxAgeMs, scope);
    return conversations.cleanupExpiredConversations(this.#state, maxAgeMs, scope, () => this.#records !== undefined);
  }

  async getConversationStats(scope?: Scope): Promise<ConversationStats> {
    check.checkExpired(0, scope);
    return conversations.getConversationStats(this.#state, scope, Date.now());
  }

  async storePushNotification(key: TaskKey, config: TaskPushNotificationConfig): Promise<void> {
    check.checkPushNotification(key, config);
    const task = this.#findTask(key);
    if (task === undefined) {
      throw new StorageError("missing", `There is no task "${key.taskId}"`);
    }
    const bytes = toBinary(TaskPushNotificationConfigSchema, config);
    check.checkBytes("config", bytes);
    task.pushNotifications.set(config.id, bytes);
  }

  async getPushNotification(key: TaskKey, configId: string): Promise<TaskPushNotificationConfig | undefined> {
    check.checkId("config id", configId);
    const bytes = this.#findTask(key)?.pushNotifications.get(configId);
    return bytes === undefined ? undefined : fromBinary(TaskPushNotificationConfigSchema, bytes);
  }

  async listPushNotifications(key: TaskKey): Promise<readonly TaskPushNotificationConfig[]> {
    const configs = [...(this.#findTask(key)?.pushNotifications ?? [])].sort(([a], [b]) => compareIds(a, b));
    return configs.map(([, bytes]) => fromBinary(TaskPushNotificationConfigSchema, bytes));
  }

  async deletePushNotification(key: TaskKey, configId: string): Promise<boolean> {
    check.checkId("config id", configId);
    return this.#findTask(key)?.pushNotifications.delete(configId) ?? false;
  }

  async heartbeat(replica: string): Promise<void> {
    check.checkId("replica", replica);
    this.#state.replicas.heartbeat(replica);
  }

  async deregister(replica: string): Promise<void> {
    check.checkId("replica", replica);
    this.#state.replicas.deregister(replica);
  }

  async listReplicas(): Promise<readonly ReplicaRecord[]> {
    return this.#state.replicas.list();
  }

  async claimTasks(claim: TaskClaim): Promise<readonly TaskKey[]> {
    check.checkLimit(claim.limit);
    return tasks.claimTasks(this.#state, claim);
  }

  watch(replica: string, wake: (keys: readonly TaskKey[]) => void): AsyncDisposable {
    check.checkId("replica", replica);
    return this.#state.replicas.watch(replica, wake);
  }

  async wake(replicas: readonly string[], keys: readonly TaskKey[]): Promise<void> {
    this.#state.replicas.wake(replicas, keys);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#records?.replicas.close();
    this.#records = undefined;
  }

  #findTask(key: TaskKey): TaskRecord | undefined {
    check.checkTaskKey(key);
    return this.#state.findTask(key, Date.now());
  }

  #findConversation(scope: Scope, contextId: string): ConversationRecord | undefined {
    check.checkContext(scope, contextId);
    return this.#state.findConversation(scope, contextId, Date.now());
  }
}
