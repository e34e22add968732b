import type { TaskKey } from "../../domain/scope.ts";
import { checkStorageOptions } from "../check-arguments.ts";
import { checkedStorage } from "../checked-storage.ts";
import { compareIds } from "../compare-ids.ts";
import type { Retention, Storage, StorageOptions, StorageTraits } from "../storage.ts";
import type { MaybePromise, OperationArgs, OperationName, OperationResult, StorageEngine } from "../storage-engine.ts";
import { claimMessage, dropEndedClaims } from "./claims.ts";
import * as conversations from "./conversations.ts";
import * as messages from "./messages.ts";
import { MemoryState } from "./state.ts";
import * as tasks from "./tasks.ts";

/**
 * A storage in the memory of this process, for tests and demos. It keeps every promise of the port but durability.
 * Expired conversations are hidden at once and removed by `cleanupExpiredConversations`. Throws `StorageError`
 * "invalid" if the options are.
 */
export function createMemoryStorage(options?: StorageOptions): Storage {
  return checkedStorage(new MemoryEngine(checkStorageOptions(options).maxHistoryLength));
}

class MemoryEngine implements StorageEngine {
  readonly traits: StorageTraits = { durable: false, shared: false, expiry: "sweep", wakeUps: "local" };
  readonly #state: MemoryState;

  constructor(maxHistoryLength: number) {
    this.#state = new MemoryState(maxHistoryLength);
  }

  setRetention(retention: Retention): void {
    this.#state.retention = retention;
  }

  call<Name extends OperationName>(name: Name, args: OperationArgs<Name>): MaybePromise<OperationResult<Name>> {
    return operations[name](this.#state, args, Date.now());
  }

  watch(replica: string, wake: (keys: readonly TaskKey[]) => void): AsyncDisposable {
    return this.#state.replicas.watch(replica, wake);
  }

  wake(replicas: readonly string[], keys: readonly TaskKey[]): void {
    this.#state.replicas.wake(replicas, keys);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#state.closed = true;
    this.#state.replicas.close();
  }
}

const operations: {
  readonly [Name in OperationName]: (
    state: MemoryState,
    args: OperationArgs<Name>,
    nowMs: number,
  ) => MaybePromise<OperationResult<Name>>;
} = {
  appendTask(state, { key, append }, nowMs) {
    dropEndedClaims(state, nowMs);
    return tasks.appendTask(state, key, append, nowMs);
  },
  getTask(state, { key, snapshot }, nowMs) {
    const task = state.findTask(key, nowMs);
    return task && tasks.storedTask(task, snapshot);
  },
  readTask(state, { key, after, bytesMax }, nowMs) {
    const task = state.findTask(key, nowMs);
    return task === undefined ? [] : tasks.readEntries(task, after, bytesMax);
  },
  taskExists: (state, { key }, nowMs) => state.findTask(key, nowMs) !== undefined,
  listTasks: (state, { query }, nowMs) => tasks.listTasks(state, query, nowMs),
  storeSnapshot(state, { key, snapshot }, nowMs) {
    const task = state.findTask(key, nowMs);
    if (task !== undefined) {
      tasks.storeSnapshot(task, snapshot);
    }
  },
  deleteTask(state, { key }, nowMs) {
    const task = state.findTask(key, nowMs);
    if (task !== undefined) {
      tasks.deleteTask(state, task);
    }
    return task !== undefined;
  },
  sendCommand(state, { key, command }, nowMs) {
    const task = state.findTask(key, nowMs);
    if (task !== undefined && !task.requests.has(command.id)) {
      task.requests.set(command.id, command.bytes);
    }
    return task !== undefined;
  },
  getMessages: (state, { scope, messageIds }, nowMs) => messages.getMessages(state, scope, messageIds, nowMs),
  listMessages: (state, { scope, contextId, limit }, nowMs) =>
    messages.listMessages(state, scope, contextId, limit, nowMs),
  listMessagePage: (state, { scope, contextId, after, limit }, nowMs) =>
    messages.listMessagePage(state, scope, contextId, { after, limit }, nowMs),
  storeMessages(state, { scope, messages: stored, settle }, nowMs) {
    dropEndedClaims(state, nowMs);
    messages.storeMessages(state, scope, stored, settle, nowMs);
  },
  deleteMessage: (state, { scope, messageId }, nowMs) => messages.deleteMessage(state, scope, messageId, nowMs),
  claimMessage(state, { scope, claim }, nowMs) {
    dropEndedClaims(state, nowMs);
    return claimMessage(state, scope, claim, nowMs);
  },
  storeConversation: (state, { scope, conversation }, nowMs) =>
    conversations.storeConversation(state, scope, conversation, nowMs),
  getConversation(state, { scope, contextId }, nowMs) {
    const conversation = state.findConversation(scope, contextId, nowMs);
    return conversation && conversations.historyOf(conversation);
  },
  listConversations: (state, { scope, page }, nowMs) => conversations.listConversations(state, scope, page, nowMs),
  updateConversationAccess(state, { scope, contextId }, nowMs) {
    const conversation = state.findConversation(scope, contextId, nowMs);
    if (conversation !== undefined) {
      state.setLastAccess(conversation, nowMs);
    }
    return conversation !== undefined;
  },
  deleteConversation(state, { scope, contextId }, nowMs) {
    const conversation = state.findConversation(scope, contextId, nowMs);
    if (conversation !== undefined) {
      state.removeConversation(conversation);
    }
    return conversation !== undefined;
  },
  getExpiredConversations: (state, { maxAgeMs, limit, scope }, nowMs) =>
    conversations.getExpiredConversations(state, maxAgeMs, limit, scope, nowMs),
  cleanupExpiredConversations: (state, { maxAgeMs, scope }) =>
    conversations.cleanupExpiredConversations(state, maxAgeMs, scope, () => !state.closed),
  getConversationStats: (state, { scope }, nowMs) => conversations.getConversationStats(state, scope, nowMs),
  storePushNotification(state, { key, configId, bytes }, nowMs) {
    const task = state.findTask(key, nowMs);
    task?.pushNotifications.set(configId, bytes);
    return task !== undefined;
  },
  getPushNotification: (state, { key, configId }, nowMs) =>
    copied(state.findTask(key, nowMs)?.pushNotifications.get(configId)),
  listPushNotifications(state, { key }, nowMs) {
    const configs = [...(state.findTask(key, nowMs)?.pushNotifications ?? [])];
    return configs.sort(([a], [b]) => compareIds(a, b)).map(([, bytes]) => new Uint8Array(bytes));
  },
  deletePushNotification: (state, { key, configId }, nowMs) =>
    state.findTask(key, nowMs)?.pushNotifications.delete(configId) ?? false,
  heartbeat: (state, { replica }) => state.replicas.heartbeat(replica),
  deregister: (state, { replica }) => state.replicas.deregister(replica),
  listReplicas: (state) => state.replicas.list(),
  claimTasks: (state, { claim }) => tasks.claimTasks(state, claim),
};

function copied(bytes: Uint8Array | undefined): Uint8Array | undefined {
  return bytes && new Uint8Array(bytes);
}
