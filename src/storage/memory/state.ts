import { TaskState } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import type { Scope, TaskKey } from "../../domain/scope.ts";
import { compareIds } from "../compare-ids.ts";
import type { Retention } from "../storage.ts";
import type { ClaimRecord, ConversationRecord, MessageRecord, ScopeRecord, TaskRecord } from "./records.ts";
import { MemoryReplicas } from "./replicas.ts";
import { SortedList } from "./sorted-list.ts";

/**
 * All records of a memory storage, with what keeps the indexes among them right. Nothing here waits, so whatever a
 * caller does between two awaits is one atomic step.
 */
export class MemoryState {
  readonly maxHistoryLength: number;
  retention: Retention = { conversationTtlMs: Number.POSITIVE_INFINITY, interruptedTtlMs: Number.POSITIVE_INFINITY };
  readonly replicas = new MemoryReplicas();
  readonly scopes = new Map<string, ScopeRecord>();
  /** Tasks that are SUBMITTED, WORKING or pending, by their replica. */
  readonly claimableTasks = new Map<string, Set<TaskRecord>>();
  /** Those that end first come first. */
  readonly claimsByEnd = new SortedList<ClaimRecord>((a, b) => a.expiresAtMs - b.expiresAtMs || a.order - b.order);
  closed = false;
  #order = 0;

  constructor(maxHistoryLength: number) {
    this.maxHistoryLength = maxHistoryLength;
  }

  /** A number larger than every one before. */
  nextOrder(): number {
    this.#order += 1;
    return this.#order;
  }

  // ── Scopes ──

  findScope(scope: Scope): ScopeRecord | undefined {
    return this.scopes.get(scopeString(scope));
  }

  ensureScope(scope: Scope): ScopeRecord {
    const name = scopeString(scope);
    let record = this.scopes.get(name);
    if (record === undefined) {
      record = {
        scope: { tenant: scope.tenant, owner: scope.owner },
        tasks: new Map(),
        tasksByStatus: new SortedList(compareTasks),
        conversations: new Map(),
        conversationsByAccess: new SortedList(
          (a, b) => a.lastAccessMs - b.lastAccessMs || compareIds(b.contextId, a.contextId),
        ),
        messages: new Map(),
        claims: new Map(),
      };
      this.scopes.set(name, record);
    }
    return record;
  }

  /** Forgets a scope that holds nothing, so that owners who are gone cost nothing. */
  releaseScope(record: ScopeRecord): void {
    if (record.conversations.size === 0 && record.claims.size === 0) {
      this.scopes.delete(scopeString(record.scope));
    }
  }

  // ── Conversations ──

  /** Whether a task keeps the conversation from expiring. */
  isHeld(conversation: ConversationRecord, nowMs: number): boolean {
    if (conversation.runningTasks > 0) {
      return true;
    }
    for (const task of conversation.interruptedTasks) {
      if (task.statusTimeMs + this.retention.interruptedTtlMs > nowMs) {
        return true;
      }
    }
    return false;
  }

  /** Whether the conversation can still be found: not removed and not past its time. */
  isLive(conversation: ConversationRecord, nowMs: number): boolean {
    const pastTtl = nowMs > conversation.lastAccessMs + this.retention.conversationTtlMs;
    return !conversation.removed && (!pastTtl || this.isHeld(conversation, nowMs));
  }

  findConversation(scope: Scope, contextId: string, nowMs: number): ConversationRecord | undefined {
    const conversation = this.findScope(scope)?.conversations.get(contextId);
    return conversation !== undefined && this.isLive(conversation, nowMs) ? conversation : undefined;
  }

  /** The live conversation of that id; a new one if there is none or if it is past its time. */
  ensureConversation(scope: Scope, contextId: string, nowMs: number): ConversationRecord {
    const present = this.findScope(scope)?.conversations.get(contextId);
    if (present !== undefined) {
      if (this.isLive(present, nowMs)) {
        return present;
      }
      this.removeConversation(present);
    }
    const conversation: ConversationRecord = {
      scope: this.ensureScope(scope),
      contextId,
      lastAccessMs: nowMs,
      tasks: new Set(),
      runningTasks: 0,
      interruptedTasks: new Set(),
      messages: new SortedList(compareMessages),
      claims: new Set(),
      removed: false,
    };
    conversation.scope.conversations.set(contextId, conversation);
    conversation.scope.conversationsByAccess.insert(conversation);
    return conversation;
  }

  setLastAccess(conversation: ConversationRecord, timeMs: number): void {
    if (conversation.lastAccessMs === timeMs) return;
    const list = conversation.scope.conversationsByAccess;
    list.delete(conversation);
    conversation.lastAccessMs = timeMs;
    list.insert(conversation);
  }

  removeConversation(conversation: ConversationRecord): void {
    // Messages first: removing a task looks for its messages among those that are left.
    for (const message of [...conversation.messages.items]) {
      this.removeMessage(message);
    }
    for (const task of [...conversation.tasks]) {
      this.removeTask(task);
    }
    for (const claim of [...conversation.claims]) {
      this.removeClaim(claim);
    }
    conversation.removed = true;
    conversation.scope.conversations.delete(conversation.contextId);
    conversation.scope.conversationsByAccess.delete(conversation);
    this.releaseScope(conversation.scope);
  }

  // ── Tasks ──

  findTask(key: TaskKey, nowMs: number): TaskRecord | undefined {
    const task = this.findScope(key)?.tasks.get(key.taskId);
    return task !== undefined && this.isLive(task.conversation, nowMs) ? task : undefined;
  }

  addTask(task: TaskRecord): void {
    const { conversation } = task;
    conversation.scope.tasks.set(task.key.taskId, task);
    conversation.tasks.add(task);
    this.#index(task);
  }

  /** Changes fields of a task that indexes depend on. */
  updateTask(task: TaskRecord, fields: Pick<TaskRecord, "state" | "statusTimeMs" | "replica" | "pending">): void {
    const { state, statusTimeMs, replica, pending } = fields;
    if (
      task.state === state &&
      task.statusTimeMs === statusTimeMs &&
      task.replica === replica &&
      task.pending === pending
    ) {
      return;
    }
    this.#unindex(task);
    Object.assign(task, fields);
    this.#index(task);
  }

  removeTask(task: TaskRecord): void {
    const { conversation } = task;
    for (const message of conversation.messages.items.filter(
      ({ source }) => "task" in source && source.task === task,
    )) {
      this.removeMessage(message);
    }
    this.#unindex(task);
    conversation.tasks.delete(task);
    conversation.scope.tasks.delete(task.key.taskId);
  }

  #index(task: TaskRecord): void {
    const { conversation } = task;
    conversation.scope.tasksByStatus.insert(task);
    if (isRunning(task.state)) {
      conversation.runningTasks += 1;
    } else if (isInterrupted(task.state)) {
      conversation.interruptedTasks.add(task);
    }
    if (isRunning(task.state) || task.pending) {
      const claimable = this.claimableTasks.get(task.replica);
      if (claimable === undefined) {
        this.claimableTasks.set(task.replica, new Set([task]));
      } else {
        claimable.add(task);
      }
    }
  }

  #unindex(task: TaskRecord): void {
    const { conversation } = task;
    conversation.scope.tasksByStatus.delete(task);
    conversation.interruptedTasks.delete(task);
    if (isRunning(task.state)) {
      conversation.runningTasks -= 1;
    }
    const claimable = this.claimableTasks.get(task.replica);
    claimable?.delete(task);
    if (claimable?.size === 0) {
      this.claimableTasks.delete(task.replica);
    }
  }

  // ── Messages and claims ──

  /** Puts a message into its history, which the oldest ones then leave if it is full. */
  addMessage(message: MessageRecord): void {
    const { messages, scope } = message.conversation;
    messages.insert(message);
    const sameId = scope.messages.get(message.messageId);
    if (sameId === undefined) {
      scope.messages.set(message.messageId, new Set([message]));
    } else {
      sameId.add(message);
    }
    while (messages.length > this.maxHistoryLength) {
      this.removeMessage(messages.items[0] as MessageRecord);
    }
  }

  removeMessage(message: MessageRecord): void {
    const { messages, scope } = message.conversation;
    messages.delete(message);
    const sameId = scope.messages.get(message.messageId);
    sameId?.delete(message);
    if (sameId?.size === 0) {
      scope.messages.delete(message.messageId);
    }
  }

  removeClaim(claim: ClaimRecord): void {
    this.claimsByEnd.delete(claim);
    claim.conversation?.claims.delete(claim);
    const sameId = claim.scope.claims.get(claim.messageId);
    sameId?.delete(claim.contentHash);
    if (sameId?.size === 0) {
      claim.scope.claims.delete(claim.messageId);
    }
    this.releaseScope(claim.scope);
  }
}

/** The task of a message, empty for one without. */
export function taskIdOf(message: MessageRecord): string {
  return "task" in message.source ? message.source.task.key.taskId : "";
}

function isRunning(state: TaskState): boolean {
  return state === TaskState.SUBMITTED || state === TaskState.WORKING;
}

function isInterrupted(state: TaskState): boolean {
  return state === TaskState.INPUT_REQUIRED || state === TaskState.AUTH_REQUIRED;
}

function compareTasks(a: TaskRecord, b: TaskRecord): number {
  return a.statusTimeMs - b.statusTimeMs || compareIds(a.key.taskId, b.key.taskId);
}

function compareMessages(a: MessageRecord, b: MessageRecord): number {
  return a.timeMs - b.timeMs || compareIds(taskIdOf(a), taskIdOf(b)) || a.sequence - b.sequence;
}

function scopeString(scope: Scope): string {
  return `${scope.tenant.length}:${scope.tenant}${scope.owner}`;
}
