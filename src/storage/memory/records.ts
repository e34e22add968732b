import type { TaskState } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import type { Scope, TaskKey } from "../../domain/scope.ts";
import type { Snapshot } from "../storage.ts";
import type { SortedList } from "./sorted-list.ts";

/** All that is kept for one tenant and owner. */
export interface ScopeRecord {
  readonly scope: Scope;
  /** By task id. */
  readonly tasks: Map<string, TaskRecord>;
  /** Newest status last, then by task id: lists read it backwards. */
  readonly tasksByStatus: SortedList<TaskRecord>;
  /**
   * By context id. The incarnation of a conversation is its record's identity: one past its time is replaced by another
   * record.
   */
  readonly conversations: Map<string, ConversationRecord>;
  /** The one accessed last is the last, then by context id, descending: lists read it backwards. */
  readonly conversationsByAccess: SortedList<ConversationRecord>;
  /** By message id: all places where a message of that id is in a history. */
  readonly messages: Map<string, Set<MessageRecord>>;
  /** By message id, then by content hash. */
  readonly claims: Map<string, Map<string, ClaimRecord>>;
}

/** One incarnation of a conversation. */
export interface ConversationRecord {
  readonly scope: ScopeRecord;
  readonly contextId: string;
  lastAccessMs: number;
  readonly tasks: Set<TaskRecord>;
  /** Its tasks that are SUBMITTED or WORKING. */
  runningTasks: number;
  /** Its tasks that are INPUT_REQUIRED or AUTH_REQUIRED. */
  readonly interruptedTasks: Set<TaskRecord>;
  /** The history, oldest first. */
  readonly messages: SortedList<MessageRecord>;
  /** Claims that led to something in this conversation, and end with it. */
  readonly claims: Set<ClaimRecord>;
  removed: boolean;
}

export interface TaskRecord {
  readonly key: TaskKey;
  readonly conversation: ConversationRecord;
  /** The encoded entries: that of sequence n at n - 1. The head is the length. */
  readonly entries: Uint8Array[];
  /** The id of the batch of each entry. */
  readonly batches: string[];
  logBytes: number;
  state: TaskState;
  statusTimeMs: number;
  replica: string;
  /** Something is left to be done although the task isn't running. */
  pending: boolean;
  fence: bigint;
  summary: Uint8Array;
  snapshot: Snapshot | undefined;
  /** By request id, oldest first. */
  readonly requests: Map<string, Uint8Array>;
  /** Encoded, by config id. */
  readonly pushNotifications: Map<string, Uint8Array>;
}

/** A message's place in a history. */
export interface MessageRecord {
  readonly conversation: ConversationRecord;
  readonly messageId: string;
  readonly timeMs: number;
  /** The message's place in the log, or among those without a task. */
  readonly sequence: number;
  /** Grows with every message stored: the largest is the one stored last. */
  readonly order: number;
  /** Where its bytes are: in a task's log, or here. */
  readonly source: { readonly task: TaskRecord } | { readonly bytes: Uint8Array };
}

export interface ClaimRecord {
  readonly scope: ScopeRecord;
  readonly messageId: string;
  readonly contentHash: string;
  readonly taskId: string;
  readonly expiresAtMs: number;
  readonly order: number;
  /** The encoded message that settled it. */
  answer: Uint8Array | undefined;
  /** What came of it belongs here; undefined until then. */
  conversation: ConversationRecord | undefined;
}
