import type { TaskState } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import type { Scope, TaskKey } from "../../domain/scope.ts";
import type { TaskCommand } from "../storage.ts";
import type { MessageSource, SegmentRow } from "../tables/tables.ts";
import type { SortedList } from "./sorted-list.ts";
import type { TaskIndex } from "./task-index.ts";

/** All that is kept for one tenant and owner. */
export interface ScopeRecord {
  readonly scope: Scope;
  /** By task id. */
  readonly tasks: Map<string, TaskRecord>;
  readonly taskIndex: TaskIndex<TaskRecord>;
  /** By context id. */
  readonly conversations: Map<string, ConversationRecord>;
  /** In the order of the last access, then by context id, descending: lists read it backwards. */
  readonly conversationsByAccess: SortedList<ConversationRecord>;
  /** By message id: all places where a message of that id is in a history. */
  readonly messages: Map<string, MessageRecord[]>;
  /** By message id: one for each content. */
  readonly claims: Map<string, ClaimRecord[]>;
}

/** One incarnation of a conversation. */
export interface ConversationRecord {
  readonly id: number;
  readonly scope: ScopeRecord;
  readonly contextId: string;
  lastAccessMs: number;
  readonly taskIndex: TaskIndex<TaskRecord>;
  /** The history, oldest first. */
  readonly messages: SortedList<MessageRecord>;
  /** Claims that were settled with this conversation and end with it. */
  readonly claims: Set<ClaimRecord>;
}

export interface TaskRecord {
  readonly id: number;
  readonly key: TaskKey;
  readonly conversation: ConversationRecord;
  /** The batches of its log, in order. */
  readonly segments: SegmentRow[];
  head: number;
  batch: string;
  logBytes: number;
  state: TaskState;
  statusTimeMs: number;
  replica: string;
  runner: string | undefined;
  fence: bigint;
  summary: Uint8Array;
  /** The number of its snapshot; undefined if it has none. */
  snapshot: number | undefined;
  snapshotSequence: number;
  /** By the number of a snapshot, complete or not. This map and the next two are made when they are needed. */
  snapshotPieces: Map<number, readonly Uint8Array[]> | undefined;
  /** By command id, oldest first. */
  commands: Map<string, TaskCommand> | undefined;
  /** By config id. */
  configs: Map<string, Uint8Array> | undefined;
}

/** A message's place in a history. */
export interface MessageRecord {
  readonly id: number;
  readonly conversation: ConversationRecord;
  readonly messageId: string;
  readonly timeMs: number;
  /** Empty for a message without a task. */
  readonly taskId: string;
  readonly sequence: number;
  readonly source: MessageSource;
}

export interface ClaimRecord {
  readonly id: number;
  readonly scope: ScopeRecord;
  readonly messageId: string;
  readonly contentHash: string;
  readonly taskId: string;
  readonly endsMs: number;
  /** The encoded message that settled it. */
  answer: Uint8Array | undefined;
  /** The conversation it was settled with. */
  conversation: ConversationRecord | undefined;
}
