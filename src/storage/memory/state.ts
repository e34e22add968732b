import { TaskState } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import type { Scope, TaskKey } from "../../domain/scope.ts";
import { compareIds } from "../compare-ids.ts";
import type { MessageClaim } from "../storage.ts";
import type { Moment } from "../tables/moment.ts";
import type { HeaderChange, NewMessage, Progress, SegmentRow } from "../tables/tables.ts";
import type { ClaimRecord, ConversationRecord, MessageRecord, ScopeRecord, TaskRecord } from "./records.ts";
import { SortedList } from "./sorted-list.ts";
import { TaskIndex } from "./task-index.ts";

const runningStates = [TaskState.SUBMITTED, TaskState.WORKING];
/** Claims dropped in one call. */
const endedClaimsMax = 16;
const interruptedStates = [TaskState.INPUT_REQUIRED, TaskState.AUTH_REQUIRED];

/** All records of a memory storage, and the changes that keep its indexes right. */
export class MemoryState {
  readonly scopes = new Map<string, ScopeRecord>();
  readonly conversations = new Map<number, ConversationRecord>();
  readonly tasks = new Map<number, TaskRecord>();
  readonly messages = new Map<number, MessageRecord>();
  readonly claims = new Map<number, ClaimRecord>();
  /** The counters of replicas. */
  readonly replicas = new Map<string, bigint>();
  /** In the order of the last access, then of the ids. */
  readonly conversationsByAccess = new SortedList<ConversationRecord>(
    (a, b) => a.lastAccessMs - b.lastAccessMs || a.id - b.id,
  );
  /** The tasks of each runner, by id. */
  readonly runningTasks = new Map<string, SortedList<TaskRecord>>();
  /** Those that end first come first. */
  readonly #claimsByEnd = new SortedList<ClaimRecord>((a, b) => a.endsMs - b.endsMs || a.id - b.id);
  /** The scope that was asked for last: an operation asks for its scope several times. */
  #lastScope: ScopeRecord | undefined;
  #lastId = 0;

  // ── Scopes ──

  findScope(scope: Scope): ScopeRecord | undefined {
    const last = this.#lastScope?.scope;
    if (last === undefined || last.owner !== scope.owner || last.tenant !== scope.tenant) {
      this.#lastScope = this.scopes.get(scopeString(scope));
    }
    return this.#lastScope;
  }

  #ensureScope(scope: Scope): ScopeRecord {
    let record = this.findScope(scope);
    if (record === undefined) {
      const { tenant, owner } = scope;
      record = {
        scope: { tenant, owner },
        tasks: new Map(),
        taskIndex: new TaskIndex(),
        conversations: new Map(),
        conversationsByAccess: new SortedList(
          (a, b) => a.lastAccessMs - b.lastAccessMs || compareIds(b.contextId, a.contextId),
        ),
        messages: new Map(),
        claims: new Map(),
      };
      this.scopes.set(scopeString(scope), record);
    }
    return record;
  }

  /** Forgets a scope that holds nothing, so that owners who are gone cost nothing. */
  #releaseScope({ scope, conversations, claims }: ScopeRecord): void {
    if (conversations.size === 0 && claims.size === 0) {
      this.scopes.delete(scopeString(scope));
      this.#lastScope = undefined;
    }
  }

  // ── Conversations ──

  conversation(id: number): ConversationRecord {
    return found(this.conversations.get(id));
  }

  addConversation(scope: Scope, contextId: string, lastAccessMs: number): ConversationRecord {
    const conversation: ConversationRecord = {
      id: this.#nextId(),
      scope: this.#ensureScope(scope),
      contextId,
      lastAccessMs,
      taskIndex: new TaskIndex(),
      messages: new SortedList(compareMessages),
      claims: new Set(),
    };
    this.conversations.set(conversation.id, conversation);
    conversation.scope.conversations.set(contextId, conversation);
    this.#indexAccess(conversation);
    return conversation;
  }

  setLastAccess(conversation: ConversationRecord, timeMs: number): void {
    if (conversation.lastAccessMs !== timeMs) {
      this.#unindexAccess(conversation);
      conversation.lastAccessMs = timeMs;
      this.#indexAccess(conversation);
    }
  }

  removeConversation(conversation: ConversationRecord): void {
    for (const message of conversation.messages.slice()) {
      this.removeMessage(message);
    }
    for (const task of [...conversation.taskIndex.descending(undefined)]) {
      this.removeTask(task);
    }
    for (const claim of [...conversation.claims]) {
      this.removeClaim(claim);
    }
    this.conversations.delete(conversation.id);
    conversation.scope.conversations.delete(conversation.contextId);
    this.#unindexAccess(conversation);
    this.#releaseScope(conversation.scope);
  }

  #indexAccess(conversation: ConversationRecord): void {
    this.conversationsByAccess.insert(conversation);
    conversation.scope.conversationsByAccess.insert(conversation);
  }

  #unindexAccess(conversation: ConversationRecord): void {
    this.conversationsByAccess.delete(conversation);
    conversation.scope.conversationsByAccess.delete(conversation);
  }

  // ── Tasks ──

  task(id: number): TaskRecord {
    return found(this.tasks.get(id));
  }

  addTask(
    { tenant, owner, taskId }: TaskKey,
    conversation: ConversationRecord,
    { head, batch, logBytes, state, statusTimeMs, replica, runner, fence }: HeaderChange & Progress,
    segments: SegmentRow[],
    summary: Uint8Array,
  ): TaskRecord {
    const record: TaskRecord = {
      id: this.#nextId(),
      key: { tenant, owner, taskId },
      conversation,
      segments,
      head,
      batch,
      logBytes,
      state,
      statusTimeMs,
      replica,
      runner,
      fence,
      summary,
      snapshot: undefined,
      snapshotSequence: 0,
      snapshotPieces: undefined,
      commands: undefined,
      configs: undefined,
    };
    this.tasks.set(record.id, record);
    conversation.scope.tasks.set(taskId, record);
    this.#indexTask(record);
    return record;
  }

  /** Changes the fields of a task that indexes depend on. */
  changeTask(task: TaskRecord, { state, statusTimeMs, replica, runner }: HeaderChange): void {
    this.#unindexTask(task);
    task.state = state;
    task.statusTimeMs = statusTimeMs;
    task.replica = replica;
    task.runner = runner;
    this.#indexTask(task);
  }

  removeTask(task: TaskRecord): void {
    this.#unindexTask(task);
    this.tasks.delete(task.id);
    task.conversation.scope.tasks.delete(task.key.taskId);
  }

  #indexTask(task: TaskRecord): void {
    const { conversation, runner } = task;
    conversation.taskIndex.insert(task);
    conversation.scope.taskIndex.insert(task);
    if (runner !== undefined) {
      const tasks = this.runningTasks.get(runner) ?? new SortedList<TaskRecord>((a, b) => a.id - b.id);
      this.runningTasks.set(runner, tasks);
      tasks.insert(task);
    }
  }

  #unindexTask(task: TaskRecord): void {
    const { conversation, runner } = task;
    conversation.taskIndex.delete(task);
    conversation.scope.taskIndex.delete(task);
    const tasks = runner === undefined ? undefined : this.runningTasks.get(runner);
    tasks?.delete(task);
    if (runner !== undefined && tasks?.length === 0) {
      this.runningTasks.delete(runner);
    }
  }

  // ── Messages ──

  addMessage(conversation: ConversationRecord, { messageId, timeMs, source }: NewMessage): void {
    const id = this.#nextId();
    const [taskId, sequence] = "task" in source ? [source.taskId, source.sequence] : ["", id];
    const message = { id, conversation, messageId, timeMs, taskId, sequence, source };
    this.messages.set(id, message);
    conversation.messages.insert(message);
    const { messages } = conversation.scope;
    addTo(messages, messageId, message);
  }

  removeMessage(message: MessageRecord): void {
    const { messages, scope } = message.conversation;
    this.messages.delete(message.id);
    messages.delete(message);
    removeFrom(scope.messages, message.messageId, message);
  }

  // ── Claims ──

  /** Adds a claim in place of one of the same content. */
  putClaim(scope: Scope, { messageId, contentHash, taskId }: MessageClaim, endsMs: number): ClaimRecord {
    const replaced = this.findScope(scope)
      ?.claims.get(messageId)
      ?.find((claim) => claim.contentHash === contentHash);
    if (replaced !== undefined) {
      this.removeClaim(replaced);
    }
    const record = this.#ensureScope(scope);
    const claim: ClaimRecord = {
      id: this.#nextId(),
      scope: record,
      messageId,
      contentHash,
      taskId,
      endsMs,
      answer: undefined,
      conversation: undefined,
    };
    this.claims.set(claim.id, claim);
    addTo(record.claims, messageId, claim);
    this.#claimsByEnd.insert(claim);
    return claim;
  }

  /** Ties a claim to a conversation, with which it ends. */
  settleClaim(claim: ClaimRecord, conversation: ConversationRecord, answer: Uint8Array | undefined): void {
    claim.conversation?.claims.delete(claim);
    claim.answer = answer;
    claim.conversation = conversation;
    conversation.claims.add(claim);
  }

  removeClaim(claim: ClaimRecord): void {
    this.claims.delete(claim.id);
    this.#claimsByEnd.delete(claim);
    claim.conversation?.claims.delete(claim);
    removeFrom(claim.scope.claims, claim.messageId, claim);
    this.#releaseScope(claim.scope);
  }

  /** Drops some claims whose window is over: more than a call adds, and so few that no call takes long. */
  dropEndedClaims(nowMs: number): void {
    for (let dropped = 0; dropped < endedClaimsMax; dropped++) {
      const first = this.#claimsByEnd.at(0);
      if (first === undefined || first.endsMs > nowMs) {
        return;
      }
      this.removeClaim(first);
    }
  }

  /** A number larger than every one before. */
  #nextId(): number {
    this.#lastId += 1;
    return this.#lastId;
  }
}

/** Whether a task keeps a conversation from expiring. */
export function isHeld({ taskIndex }: ConversationRecord, { heldSince }: Moment): boolean {
  return (
    runningStates.some((state) => taskIndex.count(state, Number.NEGATIVE_INFINITY) > 0) ||
    interruptedStates.some((state) => taskIndex.count(state, heldSince + 1) > 0)
  );
}

/** Whether a conversation is not past its time. */
export function isLive(conversation: ConversationRecord, at: Moment): boolean {
  return conversation.lastAccessMs >= at.liveSince || isHeld(conversation, at);
}

function compareMessages(a: MessageRecord, b: MessageRecord): number {
  return a.timeMs - b.timeMs || compareIds(a.taskId, b.taskId) || a.sequence - b.sequence;
}

/** Lists of one item, as nearly all are, take a fraction of the memory of a set. */
function addTo<T>(lists: Map<string, T[]>, name: string, item: T): void {
  const list = lists.get(name);
  if (list === undefined) {
    lists.set(name, [item]);
  } else {
    list.push(item);
  }
}

function removeFrom<T>(lists: Map<string, T[]>, name: string, item: T): void {
  const list = lists.get(name);
  const at = list?.indexOf(item) ?? -1;
  if (list?.length === 1 && at === 0) {
    lists.delete(name);
  } else if (at >= 0) {
    list?.splice(at, 1);
  }
}

function scopeString({ tenant, owner }: Scope): string {
  return `${tenant.length}:${tenant}${owner}`;
}

/** Operations name only rows that they found in the same step. */
function found<T>(record: T | undefined): T {
  if (record === undefined) {
    throw new Error("There is no row of this id");
  }
  return record;
}
