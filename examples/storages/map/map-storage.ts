import { fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  type Message,
  MessageSchema,
  type TaskPushNotificationConfig,
  TaskPushNotificationConfigSchema,
} from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import {
  type AppendResult,
  type ClaimResult,
  type ConversationHistory,
  type ConversationKey,
  type ConversationPage,
  type ConversationStats,
  checkArguments as check,
  compareIds,
  type DuplicateClaim,
  isSettled,
  type MessageClaim,
  type MessagePage,
  type MessagePlace,
  type PageQuery,
  type ReplicaRecord,
  type Retention,
  type Scope,
  type Snapshot,
  type Storage,
  StorageError,
  type StorageOptions,
  type StoredEntry,
  type StoredTask,
  type TaskAppend,
  type TaskClaim,
  type TaskCommand,
  type TaskKey,
  type TaskPage,
  type TaskQuery,
} from "../../../src/index.ts";
import type { Claim, Conversation, Task } from "./map-records.ts";
import * as records from "./map-records.ts";
import { MapReplicas } from "./map-replicas.ts";
import { MapState } from "./map-state.ts";

/**
 * The whole port of a storage in the memory of one process, as plainly as it can be said: maps, arrays and filters.
 * Every method checks its arguments, forgets what is past its time, and does what it has to without waiting for
 * anything, which makes it one atomic step.
 */
export function createMapStorage(options?: StorageOptions): Storage {
  return new MapStorage(check.checkStorageOptions(options));
}

class MapStorage implements Storage {
  // "native": nobody need call for a cleanup, since every call begins with one.
  readonly traits = { durable: false, shared: false, expiry: "native", wakeUps: "local" } as const;
  readonly #state: MapState;
  readonly #replicas = new MapReplicas();
  /** Messages without a task so far: the sequence of the last. */
  #bare = 0n;

  constructor(options: Required<StorageOptions>) {
    this.#state = new MapState(options);
  }

  async setRetention(retention: Retention): Promise<void> {
    check.checkRetention(retention);
    this.#state.begin();
    this.#state.retention = { ...retention };
  }

  // ── Tasks and their logs ──

  async appendTask(key: TaskKey, append: TaskAppend): Promise<AppendResult> {
    check.checkTaskAppend(key, append);
    const nowMs = this.#state.begin();
    const { after, create } = append;
    const task = this.#state.tasks.get(records.keyOf(key, key.taskId));
    if (create !== undefined) {
      return task === undefined ? this.#create(key, append, create, nowMs) : records.lostTo(task);
    }
    if (task === undefined) {
      return { outcome: "gone" };
    }
    const isAfter =
      after.head === records.headOf(task) && after.batch === records.lastBatchOf(task) && after.fence === task.fence;
    return isAfter ? this.#commit(task, append, nowMs) : records.lostTo(task);
  }

  #create(
    key: TaskKey,
    append: TaskAppend,
    { contextId, claim }: NonNullable<TaskAppend["create"]>,
    nowMs: number,
  ): AppendResult {
    const rivals = claim === undefined ? [] : this.#state.claimsOf(key, claim.messageId);
    const same = rivals.find((rival) => rival.claim.contentHash === claim?.contentHash);
    const otherContent = rivals.some((rival) => rival !== same);
    if (same !== undefined && same.claim.taskId !== key.taskId) {
      return { outcome: "duplicate", claim: duplicateOf(same) };
    }
    if (otherContent && claim?.strict === true) {
      return { outcome: "reused" };
    }
    const conversation = this.#state.ensure(key, contextId, nowMs);
    conversation.lastAccessMs = nowMs;
    const task: Task = {
      key: { tenant: key.tenant, owner: key.owner, taskId: key.taskId },
      conversation,
      log: [],
      ...append.header,
      pending: append.header.pending ?? false,
      summary: new Uint8Array(),
      snapshot: undefined,
      requests: new Map(),
      configs: new Map(),
    };
    this.#state.tasks.set(records.keyOf(key, key.taskId), task);
    if (claim !== undefined) {
      this.#state.settle(key, claim, conversation, undefined, nowMs);
    }
    return { ...this.#commit(task, append, nowMs), ...(otherContent && { otherContent }) };
  }

  #commit(
    task: Task,
    { batch, header, messages, handled: answered }: TaskAppend,
    nowMs: number,
  ): Extract<AppendResult, { outcome: "committed" }> {
    const first = records.headOf(task) + 1n;
    task.log.push(...batch.entries.map((bytes) => ({ batch: batch.id, bytes })));
    Object.assign(task, {
      state: header.state,
      statusTimeMs: header.statusTimeMs,
      replica: header.replica,
      fence: header.fence,
      pending: header.pending ?? false,
    });
    task.summary = header.summary ?? task.summary;
    for (const id of answered) {
      task.requests.delete(id);
    }
    const { conversation } = task;
    for (const { index, messageId, timeMs } of messages) {
      this.#state.say({
        conversation,
        messageId,
        timeMs,
        task,
        sequence: first + BigInt(index),
        bytes: batch.entries[index] as Uint8Array,
      });
    }
    if (messages.length > 0 || isSettled(header.state)) {
      conversation.lastAccessMs = nowMs;
    }
    return { outcome: "committed", head: records.headOf(task), watchers: [], commands: records.requestsOf(task) };
  }

  async getTask(key: TaskKey, options?: { readonly snapshot?: boolean }): Promise<StoredTask | undefined> {
    const task = this.#find(key);
    return task && records.storedTask(task, options?.snapshot ?? false);
  }

  async readTask(key: TaskKey, after: bigint, bytesMax: number): Promise<readonly StoredEntry[]> {
    check.checkSequence("sequence", after);
    check.checkAmount("number of bytes", bytesMax);
    const entries: StoredEntry[] = [];
    let bytesLeft = bytesMax;
    for (const { batch, bytes } of this.#find(key)?.log.slice(Number(after)) ?? []) {
      bytesLeft -= bytes.byteLength;
      if (bytesLeft < 0 && entries.length > 0) {
        break;
      }
      entries.push({ sequence: after + BigInt(entries.length) + 1n, batch, bytes: new Uint8Array(bytes) });
    }
    return entries;
  }

  async taskExists(key: TaskKey): Promise<boolean> {
    return this.#find(key) !== undefined;
  }

  async listTasks(query: TaskQuery): Promise<TaskPage> {
    check.checkTaskQuery(query);
    this.#state.begin();
    const { after, limit } = query;
    const all = [...this.#state.tasks.values()].filter((task) => records.passes(task, query));
    const following = all
      .map((task) => ({ task, statusTimeMs: task.statusTimeMs, taskId: task.key.taskId }))
      .filter((place) => after === undefined || records.compareTasks(place, after) > 0)
      .sort(records.compareTasks);
    const tasks = following.slice(0, limit).map(({ task }) => records.storedTask(task, false));
    return { tasks, total: all.length, more: following.length > limit };
  }

  async storeSnapshot(key: TaskKey, snapshot: Snapshot): Promise<void> {
    check.checkSnapshot(key, snapshot);
    const task = this.#find(key);
    if (
      task !== undefined &&
      snapshot.sequence > (task.snapshot?.sequence ?? 0n) &&
      snapshot.sequence <= records.headOf(task)
    ) {
      task.snapshot = snapshot;
    }
  }

  async deleteTask(key: TaskKey): Promise<boolean> {
    const task = this.#find(key);
    if (task !== undefined) {
      this.#state.tasks.delete(records.keyOf(key, key.taskId));
      this.#state.history = this.#state.history.filter((said) => said.task !== task);
      this.#state.claims = this.#state.claims.filter(
        ({ conversation, claim }) => conversation !== task.conversation || claim.taskId !== key.taskId,
      );
    }
    return task !== undefined;
  }

  async sendCommand(key: TaskKey, request: TaskCommand): Promise<boolean> {
    check.checkCommand(key, request);
    const task = this.#find(key);
    // The same id again is the same request, and keeps its place.
    task?.requests.set(request.id, task.requests.get(request.id) ?? request.bytes);
    return task !== undefined;
  }

  #find(key: TaskKey): Task | undefined {
    check.checkTaskKey(key);
    this.#state.begin();
    return this.#state.tasks.get(records.keyOf(key, key.taskId));
  }

  // ── Messages ──

  async getMessage(scope: Scope, messageId: string): Promise<Message | undefined> {
    return (await this.getMessages(scope, [messageId]))[0];
  }

  async getMessages(scope: Scope, messageIds: readonly string[]): Promise<readonly Message[]> {
    check.checkScope(scope);
    for (const id of messageIds) {
      check.checkId("message id", id);
    }
    this.#state.begin();
    const newest = (id: string) =>
      this.#state.history.findLast((said) => said.messageId === id && records.isSame(said.conversation.scope, scope));
    return records.messagesOf(messageIds.map(newest).filter((said) => said !== undefined));
  }

  async listMessagesByContextId(scope: Scope, contextId: string, limit?: number): Promise<readonly Message[]> {
    const most = check.checkHistoryLimit(limit);
    const all = this.#state.historyOf(this.#findConversation(scope, contextId));
    return records.messagesOf(all.slice(most === undefined ? 0 : Math.max(0, all.length - most)));
  }

  async listMessagePage(
    scope: Scope,
    contextId: string,
    page: { readonly after?: MessagePlace; readonly limit: number },
  ): Promise<MessagePage> {
    const { after, limit } = page;
    check.checkMessagePage(after, limit);
    const all = this.#state.historyOf(this.#findConversation(scope, contextId));
    const following = all.filter(
      (said) => after === undefined || records.comparePlaces(records.placeOf(said), after) > 0,
    );
    const some = following.slice(0, limit);
    const last = some.at(-1);
    const next = last !== undefined && following.length > limit && { next: records.placeOf(last) };
    return { messages: records.messagesOf(some), ...next };
  }

  async storeMessages(scope: Scope, messages: readonly Message[], settle?: MessageClaim): Promise<void> {
    check.checkMessages(scope, messages, settle);
    // All that can fail comes before anything is changed.
    const encoded = messages.map((message) => ({ message, bytes: toBinary(MessageSchema, message) }));
    for (const { bytes } of encoded) {
      check.checkBytes("message", bytes);
    }
    const nowMs = this.#state.begin();
    for (const { message, bytes } of encoded) {
      const { messageId } = message;
      const conversation = this.#state.ensure(scope, message.contextId, nowMs);
      conversation.lastAccessMs = nowMs;
      // Stored again, because the outcome of the first time was unknown, it must not be there twice.
      this.#state.history = this.#state.history.filter(
        (said) => said.conversation !== conversation || said.messageId !== messageId || said.task !== undefined,
      );
      this.#bare += 1n;
      this.#state.say({ conversation, messageId, timeMs: nowMs, task: undefined, sequence: this.#bare, bytes });
      if (settle !== undefined && message === messages.at(-1)) {
        this.#state.settle(scope, settle, conversation, bytes, nowMs);
      }
    }
  }

  async deleteMessage(scope: Scope, messageId: string): Promise<boolean> {
    check.checkMessageKey(scope, messageId);
    this.#state.begin();
    const before = this.#state.history.length;
    this.#state.history = this.#state.history.filter(
      (said) => said.messageId !== messageId || !records.isSame(said.conversation.scope, scope),
    );
    return this.#state.history.length < before;
  }

  async claimMessage(scope: Scope, claim: MessageClaim): Promise<ClaimResult> {
    check.checkScope(scope);
    check.checkClaim(claim);
    const nowMs = this.#state.begin();
    const held = this.#state.claimsOf(scope, claim.messageId);
    const same = held.find((other) => other.claim.contentHash === claim.contentHash);
    if (same !== undefined) {
      return { outcome: "duplicate", ...duplicateOf(same) };
    }
    if (held.length > 0 && claim.strict === true) {
      return { outcome: "reused" };
    }
    this.#state.claim(scope, claim, nowMs);
    return { outcome: "accepted", otherContent: held.length > 0 };
  }

  // ── Conversations ──

  async storeConversation(scope: Scope, stored: ConversationHistory): Promise<void> {
    check.checkConversation(scope, stored);
    const conversation = this.#state.ensure(scope, stored.contextId, this.#state.begin());
    conversation.lastAccessMs = stored.lastAccessTime.getTime();
    const kept = new Set(stored.messageIds);
    this.#state.history = this.#state.history.filter(
      (said) => said.conversation !== conversation || kept.has(said.messageId),
    );
  }

  async getConversation(scope: Scope, contextId: string): Promise<ConversationHistory | undefined> {
    const conversation = this.#findConversation(scope, contextId);
    return (
      conversation && {
        ...summaryOf(conversation),
        messageIds: this.#state.historyOf(conversation).map(({ messageId }) => messageId),
      }
    );
  }

  async listConversations(scope: Scope, page: PageQuery): Promise<ConversationPage> {
    check.checkScope(scope);
    check.checkPageQuery(page);
    this.#state.begin();
    const { after, limit } = page;
    const compare = (a: NonNullable<PageQuery["after"]>, b: NonNullable<PageQuery["after"]>) =>
      b.lastAccessMs - a.lastAccessMs || compareIds(a.contextId, b.contextId);
    const following = this.#state
      .conversationsIn(scope)
      .filter((conversation) => after === undefined || compare(conversation, after) > 0)
      .sort(compare);
    return { conversations: following.slice(0, limit).map(summaryOf), more: following.length > limit };
  }

  async updateConversationAccess(scope: Scope, contextId: string): Promise<boolean> {
    const conversation = this.#findConversation(scope, contextId);
    if (conversation !== undefined) {
      conversation.lastAccessMs = Date.now();
    }
    return conversation !== undefined;
  }

  async deleteConversation(scope: Scope, contextId: string): Promise<boolean> {
    const conversation = this.#findConversation(scope, contextId);
    if (conversation !== undefined) {
      this.#state.remove(conversation);
    }
    return conversation !== undefined;
  }

  async getExpiredConversations(maxAgeMs: number, limit: number, scope?: Scope): Promise<readonly ConversationKey[]> {
    check.checkExpired(maxAgeMs, scope);
    check.checkLimit(limit);
    const expired = this.#state
      .olderThan(maxAgeMs, this.#state.begin(), scope)
      .sort((a, b) => a.lastAccessMs - b.lastAccessMs);
    return expired
      .slice(0, limit)
      .map((conversation) => ({ ...conversation.scope, contextId: conversation.contextId }));
  }

  async cleanupExpiredConversations(maxAgeMs: number, scope?: Scope): Promise<number> {
    check.checkExpired(maxAgeMs, scope);
    const expired = this.#state.olderThan(maxAgeMs, this.#state.begin(), scope);
    for (const conversation of expired) {
      this.#state.remove(conversation);
    }
    return expired.length;
  }

  async getConversationStats(scope?: Scope): Promise<ConversationStats> {
    check.checkExpired(0, scope);
    this.#state.begin();
    const conversations = this.#state.conversationsIn(scope);
    const all = new Set(conversations);
    const times = conversations.map(({ lastAccessMs }) => lastAccessMs).sort((a, b) => a - b);
    const [oldest, newest] = [times[0], times.at(-1)];
    return {
      totalConversations: conversations.length,
      totalMessages: this.#state.history.filter(({ conversation }) => all.has(conversation)).length,
      ...(oldest !== undefined &&
        newest !== undefined && { oldestAccess: new Date(oldest), newestAccess: new Date(newest) }),
    };
  }

  #findConversation(scope: Scope, contextId: string): Conversation | undefined {
    check.checkContext(scope, contextId);
    this.#state.begin();
    return this.#state.conversations.get(records.keyOf(scope, contextId));
  }

  // ── Push notification configs ──

  async storePushNotification(key: TaskKey, config: TaskPushNotificationConfig): Promise<void> {
    check.checkConfigKey(key, config.id);
    const bytes = toBinary(TaskPushNotificationConfigSchema, config);
    check.checkBytes("config", bytes);
    const task = this.#find(key);
    if (task === undefined) {
      throw new StorageError("missing", `There is no task "${key.taskId}"`);
    }
    task.configs.set(config.id, bytes);
  }

  async getPushNotification(key: TaskKey, configId: string): Promise<TaskPushNotificationConfig | undefined> {
    check.checkId("config id", configId);
    const bytes = this.#find(key)?.configs.get(configId);
    return bytes && fromBinary(TaskPushNotificationConfigSchema, bytes);
  }

  async listPushNotifications(key: TaskKey): Promise<readonly TaskPushNotificationConfig[]> {
    const configs = [...(this.#find(key)?.configs ?? [])].sort(([a], [b]) => compareIds(a, b));
    return configs.map(([, bytes]) => fromBinary(TaskPushNotificationConfigSchema, bytes));
  }

  async deletePushNotification(key: TaskKey, configId: string): Promise<boolean> {
    check.checkId("config id", configId);
    return this.#find(key)?.configs.delete(configId) ?? false;
  }

  // ── Replicas ──

  async heartbeat(replica: string): Promise<void> {
    check.checkId("replica", replica);
    this.#state.begin();
    this.#replicas.beat(replica);
  }

  async deregister(replica: string): Promise<void> {
    check.checkId("replica", replica);
    this.#state.begin();
    this.#replicas.leave(replica);
  }

  async listReplicas(): Promise<readonly ReplicaRecord[]> {
    this.#state.begin();
    return this.#replicas.list();
  }

  async claimTasks({ replicas, limit }: TaskClaim): Promise<readonly TaskKey[]> {
    check.checkReplicas(replicas);
    check.checkLimit(limit);
    this.#state.begin();
    const tasks = [...this.#state.tasks.values()].filter(
      (task) => (records.isRunning(task) || task.pending) && replicas.includes(task.replica),
    );
    // In no order that two callers would share.
    const shuffled = tasks.map((task) => ({ task, place: Math.random() })).sort((a, b) => a.place - b.place);
    return shuffled.slice(0, limit).map(({ task }) => ({ ...task.key }));
  }

  watch(replica: string, wake: (keys: readonly TaskKey[]) => void): AsyncDisposable {
    check.checkId("replica", replica);
    this.#state.begin();
    return this.#replicas.watch(replica, wake);
  }

  async wake(replicas: readonly string[], keys: readonly TaskKey[]): Promise<void> {
    check.checkReplicas(replicas);
    for (const key of keys) {
      check.checkTaskKey(key);
    }
    this.#state.begin();
    this.#replicas.wake(replicas, keys);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#state.closed = true;
    this.#replicas.close();
  }
}

function duplicateOf({ claim: { taskId }, answer }: Claim): DuplicateClaim {
  return { taskId, ...(answer !== undefined && { answer: fromBinary(MessageSchema, answer) }) };
}

function summaryOf({ contextId, lastAccessMs }: Conversation): ConversationHistory {
  return { contextId, messageIds: [], lastAccessTime: new Date(lastAccessMs) };
}
