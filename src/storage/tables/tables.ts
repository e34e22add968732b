import type { TaskState } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import type { ConversationKey, Scope, TaskKey } from "../../domain/scope.ts";
import type {
  ConversationPlace,
  ConversationStats,
  MessageClaim,
  MessagePlace,
  MessagePointer,
  ReplicaRecord,
  StoredTask,
  TaskAppend,
  TaskCommand,
  TaskPlace,
} from "../storage.ts";
import type { AppendOutcome, MaybePromise } from "../storage-engine.ts";
import type { Moment } from "./moment.ts";

/**
 * What an engine with transactions implements: the statements of one transaction. Each method is one statement, or a
 * few that nothing can come between; the decisions are in `operations/`.
 *
 * - An id is a number that the engine gives a row. It is above 0 and never used again. Ids grow in the order in which
 *   rows are added.
 * - A conversation's id is its incarnation: whatever belongs to a conversation names that id, never the context id.
 * - A conversation is *live* if it isn't hidden and either `lastAccessMs >= at.liveSince` or a task *holds* it: one
 *   that is SUBMITTED or WORKING, or one that is INPUT_REQUIRED or AUTH_REQUIRED with `statusTimeMs > at.heldSince`.
 * - Nothing finds a hidden row, nor what belongs to it. An engine may remove its rows at once, or leave them to
 *   `removed`.
 * - Texts are compared and ordered by their bytes of UTF-8 (`compareIds`), times and numbers by value.
 * - Bytes: those in arguments belong to the engine, which may keep them and never changes them, as nothing else does.
 *   Those in results belong to the operation; an engine that keeps what it returns returns a copy.
 * - Under concurrent transactions, `conversation` and `task` of a transaction that writes lock the row they find, and
 *   `claims` the message id.
 */
export interface Tables extends ConversationTables, TaskTables {
  /** `StorageOptions.maxHistoryLength`. */
  readonly maxHistoryLength: number;
  /** The rows of what is hidden, for engines that don't remove them at once. */
  readonly removed?: RemovedRows;
}

/** The statements on conversations, messages and claims. */
export interface ConversationTables {
  /** The conversation under a context id that isn't hidden, live or not. */
  conversation(scope: Scope, contextId: string, at: Moment): MaybePromise<ConversationRow | undefined>;
  /** Adds a conversation without messages, and returns its id. There is none of that context id that isn't hidden. */
  addConversation(scope: Scope, contextId: string, lastAccessMs: number): MaybePromise<number>;
  updateConversation(conversation: number, change: ConversationChange): MaybePromise<void>;
  /** Hides a conversation with its tasks, messages and claims. */
  hideConversation(conversation: number): MaybePromise<void>;
  /** Live conversations, the one accessed last first, then by context id; after a place in that order. */
  pageConversations(
    scope: Scope,
    after: ConversationPlace | undefined,
    limit: number,
    at: Moment,
  ): MaybePromise<readonly ConversationPlace[]>;
  /**
   * Conversations last accessed before a time, live or not, oldest access first; after one in that order. Among equal
   * times the order is any fixed one. Without a scope: of all scopes.
   */
  oldConversations(scope: Scope | undefined, range: OldRange, at: Moment): MaybePromise<readonly OldConversation[]>;
  /** Live conversations and their messages, counted. Without a scope: of all scopes. */
  conversationStats(scope: Scope | undefined, at: Moment): MaybePromise<ConversationStats>;

  // ── Messages ──

  /** Adds messages to a conversation's history. The sequence of one without a task is its id. */
  addMessages(scope: Scope, conversation: number, messages: readonly NewMessage[]): MaybePromise<void>;
  removeMessages(ids: readonly number[]): MaybePromise<void>;
  /** Removes the first messages in the order (time, task id, sequence). */
  removeOldestMessages(conversation: number, count: number): MaybePromise<void>;
  /** The ids and message ids of a history, in the order (time, task id, sequence). */
  messageIds(conversation: number): MaybePromise<readonly { readonly id: number; readonly messageId: string }[]>;
  /** The ids of the messages that name a task. */
  messagesOfTask(task: number): MaybePromise<readonly number[]>;
  /** The ids of the messages of a message id in a conversation that have no task. */
  messagesWithoutTask(scope: Scope, conversation: number, messageId: string): MaybePromise<readonly number[]>;
  /** The messages of a message id in live conversations. */
  messagesNamed(
    scope: Scope,
    messageId: string,
    at: Moment,
  ): MaybePromise<readonly { readonly id: number; readonly conversation: number }[]>;
  /** For each message id the message in a live conversation that was added last, in the order of the argument. */
  lastMessages(scope: Scope, messageIds: readonly string[], at: Moment): MaybePromise<readonly FoundMessage[]>;
  /** The newest messages of a history, newest first in the order (time, task id, sequence). Without a limit: all. */
  newestMessages(conversation: number, limit: number | undefined): MaybePromise<readonly MessageRow[]>;
  /** The messages of a history after a place, in the order (time, task id, sequence). */
  messagesAfter(
    conversation: number,
    after: MessagePlace | undefined,
    limit: number,
  ): MaybePromise<readonly MessageRow[]>;

  // ── Claims ──

  /**
   * All claims of a message id. One is held if its end is after `at.nowMs`, and the conversation that it was settled
   * with, if any, is live.
   */
  claims(scope: Scope, messageId: string, at: Moment): MaybePromise<readonly ClaimRow[]>;
  /** Adds a claim, not settled, in place of one of the same message id and content hash. Returns its id. */
  putClaim(scope: Scope, claim: MessageClaim, endsMs: number): MaybePromise<number>;
  settleClaim(id: number, conversation: number, answer: Uint8Array | undefined): MaybePromise<void>;
  /** Removes the claims for a task that were settled with a conversation. */
  removeClaimsOfTask(conversation: number, taskId: string): MaybePromise<void>;
}

/** The statements on tasks, their logs and what hangs on one task, and on replicas. */
export interface TaskTables {
  /** The task under a key that isn't hidden, with whether its conversation is live. */
  task(key: TaskKey, at: Moment): MaybePromise<TaskRow | undefined>;
  /** The whole header of a task whose conversation is live, without a snapshot. */
  header(key: TaskKey, at: Moment): MaybePromise<HeaderRow | undefined>;
  /** Adds a task and returns its id. Its snapshot sequence is 0. */
  addTask(key: TaskKey, task: NewTask): MaybePromise<number>;
  /**
   * Moves a task's head if the row is as `after` says, as one conditional statement; says whether it did. Without a
   * change, the state, status time, replica and runner stay.
   */
  advanceTask(task: number, after: TaskAfter, progress: Progress, change?: HeaderChange): MaybePromise<boolean>;
  /** Hides a task with its log, summary, snapshots, commands and push notification configs. */
  hideTask(task: number): MaybePromise<void>;
  putSummary(task: number, bytes: Uint8Array): MaybePromise<void>;
  /** Headers of tasks whose conversation is live, newest status time first, then by task id, descending. */
  pageTasks(
    filter: TaskFilter,
    after: TaskPlace | undefined,
    limit: number,
    at: Moment,
  ): MaybePromise<readonly HeaderRow[]>;
  /** The number of all tasks that `pageTasks` would find. */
  countTasks(filter: TaskFilter, at: Moment): MaybePromise<number>;

  /** Adds a batch to a log; `first` is the sequence of its first entry. */
  addSegment(task: number, first: number, batch: EncodedBatch): MaybePromise<void>;
  /**
   * The batches of a log from the one with a sequence on, in order. It may end after the batch with which their bytes
   * exceed `bytesMax`.
   */
  segments(task: number, from: number, bytesMax: number): MaybePromise<Iterable<SegmentRow>>;
  /**
   * For each place the batch that holds it, or undefined. Places in one batch that follow each other give the same
   * object. The bytes stay the engine's: the operation only reads them.
   */
  segmentsAt(places: readonly EntryPlace[]): MaybePromise<readonly (SegmentRow | undefined)[]>;

  /** A task's open commands, oldest first. */
  commands(task: number): MaybePromise<readonly TaskCommand[]>;
  /** Adds a command if the task has none of that id. */
  addCommand(task: number, command: TaskCommand): MaybePromise<void>;
  removeCommands(task: number, ids: readonly string[]): MaybePromise<void>;

  addSnapshotPieces(task: number, snapshot: number, first: number, pieces: readonly Uint8Array[]): MaybePromise<void>;
  countSnapshotPieces(task: number, snapshot: number): MaybePromise<number>;
  /** Makes a snapshot the task's and removes the pieces of all others. */
  nameSnapshot(task: number, snapshot: number, sequence: number): MaybePromise<void>;
  /** In order. The bytes stay the engine's: the operation only reads them. */
  snapshotPieces(task: number, snapshot: number): MaybePromise<readonly Uint8Array[]>;

  // ── Push notification configs ──

  putConfig(task: number, configId: string, bytes: Uint8Array): MaybePromise<void>;
  config(task: number, configId: string): MaybePromise<Uint8Array | undefined>;
  /** By id. */
  configs(task: number): MaybePromise<readonly Uint8Array[]>;
  /** Says whether there was one. */
  removeConfig(task: number, configId: string): MaybePromise<boolean>;

  // ── Replicas ──

  /** Adds a replica with the counter 1 and the time of its heartbeat, if it has no record. */
  addReplica(replica: string, nowMs: number): MaybePromise<void>;
  /** Raises the counter of a replica that has a record, and sets the time of its heartbeat; says whether it has one. */
  heartbeat(replica: string, nowMs: number): MaybePromise<boolean>;
  /** Removes a replica; with a counter, only if it has this counter. */
  removeReplica(replica: string, counter: bigint | undefined): MaybePromise<void>;
  replicas(): MaybePromise<readonly ReplicaRecord[]>;
  /** Forgets the replicas with a heartbeat before a time that no task names as its runner. */
  forgetReplicas(beforeMs: number): MaybePromise<void>;
  /** The first replica after a name that a task names as its runner. */
  nextRunner(after: string): MaybePromise<string | undefined>;
  /** The largest id of a task that a replica runs. */
  lastRunningTask(replica: string): MaybePromise<number | undefined>;
  /** The tasks that a replica runs with ids from `from` up to but not including `to`, by id. */
  runningTasks(replica: string, range: IdRange, limit: number): MaybePromise<readonly TaskKey[]>;

  /**
   * A shortcut: the whole of an append as one statement, with the outcome and the effects that the general way has.
   * Undefined: this append takes the general way, and nothing that is seen has changed. For engines whose statements
   * return values. Tests compare both ways on random histories.
   */
  append?(key: TaskKey, append: EncodedAppend, at: Moment): AppendOutcome | undefined;
}

/** The rows of hidden conversations and tasks, claims that have ended, and the space that all these leave. */
export interface RemovedRows {
  /** The id of a hidden conversation. */
  conversation(): MaybePromise<number | undefined>;
  /** The id of a hidden task. */
  task(): MaybePromise<number | undefined>;
  /** Hides tasks of a hidden conversation, at most `limit`, so that `task` finds them; returns how many. */
  hideTasks(conversation: number, limit: number): MaybePromise<number>;
  /** Rows of a kind, with the size of their bytes. `of`: the conversation, the task, or the time for ended claims. */
  rows(kind: RemovedKind, of: number, limit: number): MaybePromise<readonly SizedRow[]>;
  removeRows(kind: RemovedKind, ids: readonly number[]): MaybePromise<void>;
  /** Removes the row of a conversation to which no other row refers. */
  removeConversation(conversation: number): MaybePromise<void>;
  /**
   * Gives a bounded part of the space that removed rows have left back to the file system. False if nothing more is to
   * be given back. For engines whose database doesn't do it by itself.
   */
  giveBack?(): MaybePromise<boolean>;
  /** Removes the row of a task with its summary and configs. No other row refers to it. */
  removeTask(task: number): MaybePromise<void>;
}

export type RemovedKind =
  | "conversationMessages"
  | "conversationClaims"
  | "taskMessages"
  | "taskSegments"
  | "taskSnapshots"
  | "taskCommands"
  | "endedClaims";

export interface SizedRow {
  readonly id: number;
  readonly size: number;
}

export interface ConversationRow {
  readonly id: number;
  readonly lastAccessMs: number;
  readonly messageCount: number;
  readonly live: boolean;
}

export interface ConversationChange {
  /** What is added to the number of messages in its history. */
  readonly messages?: number;
  readonly lastAccessMs?: number;
}

export interface OldRange {
  readonly before: number;
  readonly after: OldConversation | undefined;
  readonly limit: number;
}

export interface OldConversation {
  readonly id: number;
  readonly key: ConversationKey;
  readonly lastAccessMs: number;
  readonly held: boolean;
}

/** A message on its way into a history. */
export interface NewMessage {
  readonly messageId: string;
  readonly timeMs: number;
  readonly source: MessageSource;
}

/** Where the bytes of a message are: in the entry of a log, or with the message. */
export type MessageSource =
  | { readonly task: number; readonly taskId: string; readonly sequence: number }
  | { readonly bytes: Uint8Array };

export interface MessageRow {
  readonly timeMs: number;
  /** Empty for a message without a task. */
  readonly taskId: string;
  readonly sequence: number;
  /** The task's id, or the encoded message. */
  readonly source: { readonly task: number } | { readonly bytes: Uint8Array };
}

export interface FoundMessage extends MessageRow {
  readonly contextId: string;
}

export interface ClaimRow {
  readonly id: number;
  readonly contentHash: string;
  readonly taskId: string;
  /** The encoded message that settled it. */
  readonly answer: Uint8Array | undefined;
  readonly held: boolean;
}

/** What a header holds beside the place of the log's end. */
export interface HeaderChange {
  readonly state: TaskState;
  readonly statusTimeMs: number;
  readonly replica: string;
  /** The replica, if it has something left to do on the task. */
  readonly runner: string | undefined;
}

export interface TaskRow extends HeaderChange {
  readonly id: number;
  readonly conversation: number;
  readonly head: number;
  readonly batch: string;
  readonly fence: bigint;
  /** 0: it has no snapshot. */
  readonly snapshotSequence: number;
  /** The number of messages in its conversation's history. */
  readonly messageCount: number;
  readonly live: boolean;
}

export interface NewTask extends HeaderChange, Progress {
  readonly conversation: number;
}

/** Where a log ends after an append. */
export interface Progress {
  readonly head: number;
  readonly batch: string;
  readonly fence: bigint;
  /** The bytes of the batch's entries, which are added to those of the log. */
  readonly logBytes: number;
}

export type TaskAfter = TaskAppend["after"];

export interface HeaderRow {
  readonly id: number;
  readonly task: StoredTask;
  /** The number and the sequence of its snapshot; `pageTasks` may leave it out. */
  readonly snapshot?: { readonly number: number; readonly sequence: number };
}

/** All parts that are given must hold. */
export interface TaskFilter {
  readonly scope: Scope;
  /** A live conversation of the scope. */
  readonly conversation: number | undefined;
  readonly state: TaskState | undefined;
  readonly statusTimeMsMin: number;
}

export interface EntryPlace {
  readonly task: number;
  readonly sequence: number;
}

export interface SegmentRow {
  readonly first: number;
  readonly count: number;
  readonly batch: string;
  /** The encoded `EntryBatch`. */
  readonly bytes: Uint8Array;
}

export interface IdRange {
  readonly from: number;
  readonly to: number;
}

/** `TaskAppend` with its entries as one encoded `EntryBatch`. */
export interface EncodedAppend extends Omit<TaskAppend, "batch"> {
  readonly batch: EncodedBatch;
  readonly messages: readonly MessagePointer[];
}

export interface EncodedBatch {
  readonly id: string;
  readonly count: number;
  /** The size of the entries, without what the encoding puts between them. */
  readonly logBytes: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
}
