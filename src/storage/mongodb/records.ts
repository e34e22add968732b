import type { Binary, Long, Timestamp } from "mongodb";
import type { TaskState } from "../../../gen/lf/a2a/v1/a2a_pb.ts";

/**
 * The documents of the MongoDB engine. Clients' ids are in values, never in names of fields. What must be unique is an
 * `_id`.
 *
 * Terms:
 * - Incarnation: 16 random bytes, created with a conversation. The records that belong to the conversation have it too.
 * - Log: 16 random bytes, created with a task. The `_id` of each record that belongs to the task begins with it. So a
 *   conversation's or a task's id that is used again never finds older records.
 * - Pin: keeps a conversation from expiring while a task of it runs or waits for input.
 * - Covered: a lower bound of the `expireAt` of all records that belong to a conversation.
 * - Slack: the time by which the records of a conversation outlive it at least.
 */

/** A record that belongs to a conversation. MongoDB removes it after `expireAt`, which is absent without retention. */
export interface Belonging {
  incarnation: Binary;
  expireAt?: Date;
}

/** A batch in a tail or a segment: an encoded `EntryBatch`, or a reference to its pieces if it is large. */
export interface LogItem {
  /** The sequence of its first entry. */
  readonly s: number;
  /** The number of its entries. */
  readonly n: number;
  /** The batch's id. */
  readonly b: string;
  readonly d?: Binary;
  /** The pieces: their common id and, for each, the number of entries and their size. */
  readonly x?: { readonly id: Binary; readonly pieces: readonly { readonly n: number; readonly z: number }[] };
}

/** Bytes, or the key of the blob that contains them. */
export type Inline = Binary | { readonly blob: Binary };

export interface CommandRecord {
  readonly id: string;
  readonly bytes: Inline;
}

/** `_id`: SHA-256 of (tenant, owner, task id). */
export interface TaskRecord extends Belonging {
  _id: Binary;
  log: Binary;
  /** The `_id` of its conversation. */
  conversation: Binary;
  scope: Binary;
  tenant: string;
  owner: string;
  taskId: string;
  contextId: string;
  head: number;
  batch: string;
  fence: Long | number;
  state: TaskState;
  statusTime: number;
  replica: string;
  /** The replica, while the task is SUBMITTED, WORKING or pending. */
  runner?: string;
  summary: Inline;
  logBytes: number;
  /** The newest batches. Invariant: the entries below `tailFirst` are in segments, majority-committed. */
  tail: LogItem[];
  tailFirst: number;
  /** The size of the tail by `itemBytes`. */
  tailBytes: number;
  commands: CommandRecord[];
  /** Replicas with readers of this task. */
  watchers: string[];
  snapshot?: SnapshotRecord;
  /** Some records of the task have the expiry of a running task. It is lowered when the task has ended. */
  longLived?: boolean;
  /** The pointer to the first message. It is in the task's record, so that creating a task writes no other. */
  first?: InnerPointer;
  /** The pointer to the message that ended the task. It is set by the update that appends the message. */
  last?: InnerPointer & { readonly at: Timestamp };
  /** The claim that the task was created with. */
  claim?: ClaimPointer;
  /** The server's time of the creation. It orders messages of one id. */
  at: Timestamp;
}

export interface SnapshotRecord {
  readonly id: Binary;
  readonly sequence: number;
  readonly pieces: number;
}

/** A pointer in its task's record. */
export interface InnerPointer {
  readonly time: number;
  readonly sequence: number;
  readonly messageId: string;
  readonly key: Binary;
}

/** `_id`: log, 8 bytes first sequence. Contains only committed entries. */
export interface SegmentRecord extends Belonging {
  _id: Binary;
  last: number;
  items: readonly LogItem[];
}

/**
 * `_id`: log, 16 random bytes, 8 bytes index. A piece of a batch that is too large for the tail, in the collection of
 * the segments; a piece of a snapshot; or a blob, without an index.
 */
export interface PieceRecord extends Belonging {
  _id: Binary;
  d: Binary;
}

/**
 * A message in a history.
 * - `_id` with a task: log, 8 bytes sequence, 8 bytes of the batch id's hash.
 * - `_id` without a task: incarnation, SHA-256 of the message id. So a message that is stored again is the same record.
 */
export interface MessageRecord extends Belonging {
  _id: Binary;
  /** SHA-256 of (tenant, owner, message id). */
  key: Binary;
  messageId: string;
  conversation: Binary;
  contextId: string;
  time: number;
  /** Empty for a message without a task. */
  taskId: string;
  sequence: number;
  task?: Binary;
  log?: Binary;
  batch?: string;
  /** The encoded message, if it has no task. */
  bytes?: Binary;
  /** The batch was found in the log, so it isn't looked up again when the history is counted. */
  verified?: boolean;
  at: Timestamp;
}

/** A task that keeps its conversation from expiring. Of two for a task, the later one by (fence, head) counts. */
export interface Pin {
  readonly task: Binary;
  readonly fence: Long | number;
  readonly head: number;
  readonly until: Date;
  readonly running: boolean;
}

/** `_id`: SHA-256 of (tenant, owner, context id). */
export interface ConversationRecord {
  _id: Binary;
  incarnation: Binary;
  scope: Binary;
  tenant: string;
  owner: string;
  contextId: string;
  /** When this incarnation was created. */
  createdAt: Date;
  lastAccess: Date;
  pins: Pin[];
  /** The latest `until` of the pins. */
  pinnedUntil: Date | null;
  /** From this time on the conversation can't be found. The TTL index then removes it. */
  expireAt?: Date;
  /** A lower bound of the `expireAt` of all records that belong to the conversation. */
  covered?: Date;
  /** An upper bound of the number of its pointers. */
  messageCount: number;
  /** The number of messages without a task so far: the sequence of the last one. */
  stored: number;
  /** The token of the last touch. With `previous` the touch can be undone. */
  touch: Binary;
  previous: { readonly lastAccess?: Date; readonly pin?: Pin };
  /** The incarnation that this one replaced, if its records had no expiry. */
  replaced?: Binary;
}

/** A claim of one content of a message. */
export interface ClaimEntry {
  readonly hash: string;
  readonly task: string;
  readonly at: Date;
  readonly ends: Date;
  readonly token: Binary;
  /** The conversation of the task or the answer. With an answer also its incarnation. */
  readonly conversation?: Binary;
  readonly incarnation?: Binary;
  readonly answer?: Inline;
  /** What was settled with the answer and may not be stored yet. Absent once it is. */
  readonly unstored?: UnstoredMessages;
}

/** Messages that follow from a claim: whole `MessageRecord`s as BSON. */
export interface UnstoredMessages {
  readonly id: Binary;
  readonly records: readonly Inline[];
}

/** A claim's place: the record's `_id` and the entry's token. */
export interface ClaimPointer {
  readonly key: Binary;
  readonly token: Binary;
}

/** `_id`: SHA-256 of (tenant, owner, message id). The claims of all contents, so one update decides among them. */
export interface ClaimRecord {
  _id: Binary;
  entries: ClaimEntry[];
  expireAt: Date;
}

/** `_id`: log, SHA-256 of the config's id. */
export interface PushNotificationRecord extends Belonging {
  _id: Binary;
  configId: string;
  bytes: Binary;
}

/** `_id`: the replica's name. */
export interface HeartbeatRecord {
  _id: string;
  counter: Long | number;
  heartbeatAt: Date;
}

/** A wake-up for replicas. */
export interface WakeRecord {
  to: readonly string[];
  keys: readonly { readonly tenant: string; readonly owner: string; readonly taskId: string }[];
  at: Timestamp;
}

/** A removal under way. What it names can't be found any more, but may still have records. */
export interface RemovalRecord {
  /** An incarnation or a log. */
  _id: Binary;
  /** The `_id` of the conversation or task. The removal goes on only if that is gone or has been created anew. */
  of: Binary;
  kind: "incarnation" | "log";
  /** The claim that the task was created with. It isn't held once the task is gone. */
  claim?: ClaimPointer;
  at: Date;
}

/** `_id`: "schema". */
export interface SchemaRecord {
  _id: string;
  version: number;
  readableBy: number;
}
