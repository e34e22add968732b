import { type DescMessage, fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";
import {
  type Message,
  MessageSchema,
  type TaskPushNotificationConfig,
  TaskPushNotificationConfigSchema,
} from "../../gen/lf/a2a/v1/a2a_pb.ts";
import type { ConversationKey, Scope, TaskKey } from "../domain/scope.ts";
import * as check from "./check-arguments.ts";
import { historyMessageOf } from "./message-of-entry.ts";
import type {
  AppendResult,
  ClaimResult,
  ConversationHistory,
  ConversationPage,
  ConversationStats,
  DuplicateClaim,
  HeaderUpdate,
  MessageClaim,
  MessagePage,
  MessagePageQuery,
  MessagePlace,
  PageQuery,
  ReplicaRecord,
  Retention,
  RunnerQuery,
  Snapshot,
  Storage,
  StorageTraits,
  StoredEntry,
  StoredTask,
  TaskAppend,
  TaskClaim,
  TaskCommand,
  TaskPage,
  TaskQuery,
} from "./storage.ts";
import type { EncodedMessage, HeldClaim, StorageEngine, StoredMessage } from "./storage-engine.ts";
import { StorageError } from "./storage-error.ts";

/**
 * Makes a `Storage` of an engine. It checks the arguments of every call, encodes and decodes messages and push
 * notification configs, and refuses calls after the end of the storage.
 */
export function checkedStorage(engine: StorageEngine): Storage {
  return new CheckedStorage(engine);
}

class CheckedStorage implements Storage {
  readonly traits: StorageTraits;
  /** Undefined once closed, so that what an engine holds in memory can be freed at once. */
  #opened: StorageEngine | undefined;
  #closed: Promise<void> = Promise.resolve();

  constructor(engine: StorageEngine) {
    this.#opened = engine;
    this.traits = engine.traits;
  }

  get #engine(): StorageEngine {
    if (this.#opened === undefined) {
      throw new StorageError("closed", "The storage is closed");
    }
    return this.#opened;
  }

  async setRetention({ conversationTtlMs, interruptedTtlMs }: Retention): Promise<void> {
    const retention = { conversationTtlMs, interruptedTtlMs };
    check.checkRetention(retention);
    await this.#engine.setRetention(retention);
  }

  // ── Tasks and their logs ──

  async appendTask(key: TaskKey, append: TaskAppend): Promise<AppendResult> {
    check.checkTaskAppend(key, append);
    const called = this.#engine.call("appendTask", { key: taskKeyOf(key), append: appendOf(append) });
    // Most calls of a storage are appends, and memory answers them at once.
    const outcome = called instanceof Promise ? await called : called;
    return outcome.outcome === "duplicate" ? { outcome: "duplicate", claim: duplicateOf(outcome.claim) } : outcome;
  }

  async getTask(
    key: TaskKey,
    { snapshot = false, logBytesMax = Number.MAX_SAFE_INTEGER }: Parameters<Storage["getTask"]>[1] = {},
  ): Promise<StoredTask | undefined> {
    check.checkTaskKey(key);
    check.checkAmount("number of bytes", logBytesMax);
    return await this.#engine.call("getTask", {
      key: taskKeyOf(key),
      snapshotLogBytesMax: snapshot ? logBytesMax : -1,
    });
  }

  async readTask(key: TaskKey, after: bigint, bytesMax: number): Promise<readonly StoredEntry[]> {
    check.checkTaskKey(key);
    check.checkSequence("sequence", after);
    check.checkAmount("number of bytes", bytesMax);
    return await this.#engine.call("readTask", { key: taskKeyOf(key), after, bytesMax });
  }

  async taskExists(key: TaskKey): Promise<boolean> {
    check.checkTaskKey(key);
    return await this.#engine.call("taskExists", { key: taskKeyOf(key) });
  }

  async listTasks(query: TaskQuery): Promise<TaskPage> {
    check.checkTaskQuery(query);
    return await this.#engine.call("listTasks", { query: queryOf(query) });
  }

  async storeSnapshot(key: TaskKey, { sequence, bytes }: Snapshot): Promise<void> {
    const snapshot = { sequence, bytes };
    check.checkSnapshot(key, snapshot);
    await this.#engine.call("storeSnapshot", { key: taskKeyOf(key), snapshot });
  }

  async deleteTask(key: TaskKey): Promise<boolean> {
    check.checkTaskKey(key);
    return await this.#engine.call("deleteTask", { key: taskKeyOf(key) });
  }

  async sendCommand(key: TaskKey, { id, bytes }: TaskCommand): Promise<boolean> {
    const command = { id, bytes };
    check.checkCommand(key, command);
    return await this.#engine.call("sendCommand", { key: taskKeyOf(key), command });
  }

  // ── Messages ──

  async getMessage(scope: Scope, messageId: string): Promise<Message | undefined> {
    const [message] = await this.getMessages(scope, [messageId]);
    return message;
  }

  async getMessages(scope: Scope, messageIds: readonly string[]): Promise<readonly Message[]> {
    check.checkScope(scope);
    for (const id of messageIds) {
      check.checkId("message id", id);
    }
    return messagesOf(await this.#engine.call("getMessages", { scope: scopeOf(scope), messageIds }));
  }

  async listMessagesByContextId(scope: Scope, contextId: string, limit?: number): Promise<readonly Message[]> {
    check.checkContext(scope, contextId);
    const args = { scope: scopeOf(scope), contextId, limit: check.checkHistoryLimit(limit) };
    return messagesOf(await this.#engine.call("listMessages", args));
  }

  async listMessagePage(
    scope: Scope,
    contextId: string,
    { after, newest, limit, bytesMax = Number.MAX_SAFE_INTEGER }: MessagePageQuery,
  ): Promise<MessagePage> {
    check.checkContext(scope, contextId);
    check.checkMessagePage(after, limit);
    check.checkAmount("number of bytes", bytesMax);
    const args = {
      scope: scopeOf(scope),
      contextId,
      after: after && messagePlaceOf(after),
      newest: check.checkHistoryLimit(newest),
      limit,
      bytesMax,
    };
    const { messages, next } = await this.#engine.call("listMessagePage", args);
    return { messages: messagesOf(messages), ...(next !== undefined && { next }) };
  }

  async storeMessages(scope: Scope, messages: readonly Message[], settle?: MessageClaim): Promise<void> {
    check.checkMessages(scope, messages, settle);
    const encoded = messages.map((message): EncodedMessage => {
      const bytes = toBinary(MessageSchema, message);
      check.checkBytes("message", bytes);
      return { messageId: message.messageId, contextId: message.contextId, bytes };
    });
    await this.#engine.call("storeMessages", {
      scope: scopeOf(scope),
      messages: encoded,
      settle: settle && claimOf(settle),
    });
  }

  async deleteMessage(scope: Scope, messageId: string): Promise<boolean> {
    check.checkMessageKey(scope, messageId);
    return await this.#engine.call("deleteMessage", { scope: scopeOf(scope), messageId });
  }

  async claimMessage(scope: Scope, claim: MessageClaim): Promise<ClaimResult> {
    check.checkScope(scope);
    check.checkClaim(claim);
    const outcome = await this.#engine.call("claimMessage", { scope: scopeOf(scope), claim: claimOf(claim) });
    return outcome.outcome === "duplicate" ? { outcome: "duplicate", ...duplicateOf(outcome) } : outcome;
  }

  // ── Conversations ──

  async storeConversation(scope: Scope, { contextId, messageIds, lastAccessTime }: ConversationHistory): Promise<void> {
    const conversation = { contextId, messageIds, lastAccessTime };
    check.checkConversation(scope, conversation);
    await this.#engine.call("storeConversation", { scope: scopeOf(scope), conversation });
  }

  async getConversation(scope: Scope, contextId: string): Promise<ConversationHistory | undefined> {
    check.checkContext(scope, contextId);
    return await this.#engine.call("getConversation", { scope: scopeOf(scope), contextId });
  }

  async listConversations(scope: Scope, page: PageQuery): Promise<ConversationPage> {
    check.checkScope(scope);
    check.checkPageQuery(page);
    return await this.#engine.call("listConversations", { scope: scopeOf(scope), page: pageOf(page) });
  }

  async updateConversationAccess(scope: Scope, contextId: string): Promise<boolean> {
    check.checkContext(scope, contextId);
    return await this.#engine.call("updateConversationAccess", { scope: scopeOf(scope), contextId });
  }

  async deleteConversation(scope: Scope, contextId: string): Promise<boolean> {
    check.checkContext(scope, contextId);
    return await this.#engine.call("deleteConversation", { scope: scopeOf(scope), contextId });
  }

  async getExpiredConversations(maxAgeMs: number, limit: number, scope?: Scope): Promise<readonly ConversationKey[]> {
    check.checkExpired(maxAgeMs, scope);
    check.checkLimit(limit);
    return await this.#engine.call("getExpiredConversations", { maxAgeMs, limit, scope: optionalScope(scope) });
  }

  async cleanupExpiredConversations(maxAgeMs: number, scope?: Scope): Promise<number> {
    check.checkExpired(maxAgeMs, scope);
    return await this.#engine.call("cleanupExpiredConversations", { maxAgeMs, scope: optionalScope(scope) });
  }

  async getConversationStats(scope?: Scope): Promise<ConversationStats> {
    check.checkOptionalScope(scope);
    return await this.#engine.call("getConversationStats", { scope: optionalScope(scope) });
  }

  // ── Push notification configs ──

  async storePushNotification(key: TaskKey, config: TaskPushNotificationConfig): Promise<void> {
    check.checkConfigKey(key, config.id);
    const bytes = toBinary(TaskPushNotificationConfigSchema, config);
    check.checkBytes("config", bytes);
    const args = { key: taskKeyOf(key), configId: config.id, bytes };
    if (!(await this.#engine.call("storePushNotification", args))) {
      throw new StorageError("missing", `There is no task "${key.taskId}"`);
    }
  }

  async getPushNotification(key: TaskKey, configId: string): Promise<TaskPushNotificationConfig | undefined> {
    check.checkConfigKey(key, configId);
    const bytes = await this.#engine.call("getPushNotification", { key: taskKeyOf(key), configId });
    return bytes === undefined ? undefined : decode(TaskPushNotificationConfigSchema, bytes);
  }

  async listPushNotifications(key: TaskKey): Promise<readonly TaskPushNotificationConfig[]> {
    check.checkTaskKey(key);
    const configs = await this.#engine.call("listPushNotifications", { key: taskKeyOf(key) });
    return configs.map((bytes) => decode(TaskPushNotificationConfigSchema, bytes));
  }

  async deletePushNotification(key: TaskKey, configId: string): Promise<boolean> {
    check.checkConfigKey(key, configId);
    return await this.#engine.call("deletePushNotification", { key: taskKeyOf(key), configId });
  }

  // ── Replicas ──

  async register(replica: string): Promise<void> {
    check.checkId("replica", replica);
    await this.#engine.call("register", { replica });
  }

  async heartbeat(replica: string): Promise<boolean> {
    check.checkId("replica", replica);
    return await this.#engine.call("heartbeat", { replica });
  }

  async deregister(replica: string, counter?: bigint): Promise<boolean> {
    check.checkId("replica", replica);
    if (counter !== undefined) check.checkSequence("counter", counter);
    return await this.#engine.call("deregister", { replica, counter });
  }

  async listReplicas(): Promise<readonly ReplicaRecord[]> {
    return await this.#engine.call("listReplicas", {});
  }

  async listRunners({ after, limit }: RunnerQuery): Promise<readonly string[]> {
    if (after !== undefined) check.checkId("replica", after);
    check.checkLimit(limit);
    return await this.#engine.call("listRunners", { after, limit });
  }

  async claimTasks({ replicas, limit }: TaskClaim): Promise<readonly TaskKey[]> {
    check.checkReplicas(replicas);
    check.checkLimit(limit);
    return await this.#engine.call("claimTasks", { claim: { replicas, limit } });
  }

  watch(replica: string, wake: (keys: readonly TaskKey[]) => void): AsyncDisposable {
    check.checkId("replica", replica);
    return this.#engine.watch(replica, wake);
  }

  async wake(replicas: readonly string[], keys: readonly TaskKey[]): Promise<void> {
    check.checkReplicas(replicas);
    for (const key of keys) {
      check.checkTaskKey(key);
    }
    await this.#engine.wake(replicas, keys.map(taskKeyOf));
  }

  [Symbol.asyncDispose](): Promise<void> {
    if (this.#opened !== undefined) {
      this.#closed = Promise.resolve(this.#opened[Symbol.asyncDispose]());
      this.#opened = undefined;
    }
    return this.#closed;
  }
}

// Arguments with the members that the port names, and no others: callers hand in objects with further ones, some of
// which can't be cloned into another thread.

function scopeOf({ tenant, owner }: Scope): Scope {
  return { tenant, owner };
}

function optionalScope(scope: Scope | undefined): Scope | undefined {
  return scope && scopeOf(scope);
}

function taskKeyOf({ tenant, owner, taskId }: TaskKey): TaskKey {
  return { tenant, owner, taskId };
}

/** Without spreads, which cost more than the rest of an append's copy. So are the two functions below. */
function appendOf({ after: { head, batch: last, fence }, batch, header, messages, handled, create }: TaskAppend) {
  const append: { -readonly [Name in keyof TaskAppend]: TaskAppend[Name] } = {
    after: { head, batch: last, fence },
    batch: { id: batch.id, entries: batch.entries },
    header: headerOf(header),
    messages: messages.map(({ index, messageId, timeMs }) => ({ index, messageId, timeMs })),
    handled,
  };
  if (create !== undefined) {
    const { contextId, claim } = create;
    append.create = claim === undefined ? { contextId } : { contextId, claim: claimOf(claim) };
  }
  return append;
}

function headerOf({ state, statusTimeMs, replica, fence, pending = false, summary }: HeaderUpdate): HeaderUpdate {
  return summary === undefined
    ? { state, statusTimeMs, replica, fence, pending }
    : { state, statusTimeMs, replica, fence, pending, summary };
}

function claimOf({ messageId, contentHash, taskId, windowMs, strict }: MessageClaim): MessageClaim {
  return strict === undefined
    ? { messageId, contentHash, taskId, windowMs }
    : { messageId, contentHash, taskId, windowMs, strict };
}

function queryOf({ scope, contextId, state, statusTimeMsMin, after, limit }: TaskQuery): TaskQuery {
  return {
    scope: scopeOf(scope),
    ...(contextId !== undefined && { contextId }),
    ...(state !== undefined && { state }),
    ...(statusTimeMsMin !== undefined && { statusTimeMsMin }),
    ...(after !== undefined && { after: { statusTimeMs: after.statusTimeMs, taskId: after.taskId } }),
    limit,
  };
}

function pageOf({ after, limit }: PageQuery): PageQuery {
  return {
    ...(after !== undefined && { after: { lastAccessMs: after.lastAccessMs, contextId: after.contextId } }),
    limit,
  };
}

function messagePlaceOf({ timeMs, taskId, sequence }: MessagePlace): MessagePlace {
  return { timeMs, taskId, sequence };
}

function duplicateOf({ taskId, answer }: HeldClaim): DuplicateClaim {
  return { taskId, ...(answer !== undefined && { answer: decode(MessageSchema, answer) }) };
}

/** An entry that brings no message to a history is left out. */
function messagesOf(stored: readonly StoredMessage[]): readonly Message[] {
  return stored
    .map((one) => (one.isEntry ? historyMessageOf(one.bytes, one) : decode(MessageSchema, one.bytes)))
    .filter((message) => message !== undefined);
}

/** Decodes what this class encoded. Throws "corrupt" if the bytes can't be decoded. */
function decode<T extends DescMessage>(schema: T, bytes: Uint8Array): MessageShape<T> {
  try {
    return fromBinary(schema, bytes);
  } catch (error) {
    throw new StorageError("corrupt", `The storage holds something other than a ${schema.name}`, { cause: error });
  }
}
