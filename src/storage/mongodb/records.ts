import type { Binary, Long, Timestamp } from "mongodb";
import type { TaskState } from "../../../gen/lf/a2a/v1/a2a_pb.ts";

/**
 * The documents of the MongoDB engine. Ids of clients are in values, never in names of fields, and what must be unique
 * is an `_id`.
 *
 * What belongs to a conversation carries its `incarnation`, 16 random bytes made with it; what belongs to a task has an
 * `_id` that begins with the task's `log`, 16 random bytes as well. So an id that is used again never meets what it
 * stood for before.
 */

/**
 * What belongs to an incarnation of a conversation, and when MongoDB may take it away. Without retention there is no
 * `expireAt`.
 */
export interface Belonging {
  incarnation: Binary;
  expireAt?: Date;
}

/**
 * A batch within a tail or a segment: its entries as an encoded `EntryBatch`, or where they are if they are many bytes.
 */
export interface LogItem {
  /** The sequence of its first entry. */
  readonly s: number;
  /** The number of its entries. */
  readonly n: number;
  /** The batch's id. */
  readonly b: string;
  readonly d?: Binary;
  /** The pieces: the id they share and, of each, the number of entries and their size. */
  readonly x?: { readonly id: Binary; readonly pieces: readonly { readonly n: number; readonly z: number }[] };
}

/** Bytes in the record, or beside it in a blob. */
export type Inline = Binary | { readonly blob: Binary };

export interface RequestRecord {
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
  /** The replica, while it has something to do on the task. */
  runner?: string;
  summary: Inline;
  logBytes: number;
  /** The newest batches. Invariant: the entries below `tailFirst` are in segments, majority-committed. */
  tail: LogItem[];
  tailFirst: number;
  /** The size of the tail by `itemBytes`. */
  tailBytes: number;
  requests: RequestRecord[];
  /** Replicas with readers of this task. */
  watchers: string[];
  snapshot?: SnapshotRecord;
  /** Some records of its own have times far ahead, because it ran when they were written. */
  longLived?: boolean;
  /** The pointer of the message that made the task: with the task, so that creating one takes no other record. */
  first?: FirstPointer;
  /** The claim that it was created with. */
  claim?: ClaimPointer;
  /** When it was made, by the server: orders messages of one id. */
  at: Timestamp;
}

export interface SnapshotRecord {
  readonly id: Binary;
  readonly sequence: number;
  readonly pieces: number;
}

export interface FirstPointer {
  readonly time: number;
  readonly sequence: number;
  readonly messageId: string;
  readonly key: Binary;
}

/** `_id`: log, 8 bytes first sequence. Only committed entries are ever in one. */
export interface SegmentRecord extends Belonging {
  _id: Binary;
  last: number;
  items: readonly LogItem[];
}

/**
 * `_id`: log, 16 random bytes, 8 bytes index. Of a batch too large for the tail, beside the segments; of a snapshot; or
 * a blob, without index.
 */
export interface PieceRecord extends Belonging {
  _id: Binary;
  d: Binary;
}

/**
 * A message in a history. `_id` of one with a task: log, 8 bytes sequence, 8 bytes of the batch id's hash; of one
 * without: incarnation, SHA-256 of the message id, so that a message stored again is the same record.
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
  /** The message itself if it has no task. */
  bytes?: Binary;
  /** The batch was seen in the log, so it needn't be looked for again when a history is counted. */
  verified?: boolean;
  at: Timestamp;
}

/** A task that keeps its conversation. The later of two by (fence, head) is the one that counts. */
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
  /** When this incarnation was made. */
  createdAt: Date;
  lastAccess: Date;
  pins: Pin[];
  /** The latest `until` of the holds. */
  pinnedUntil: Date | null;
  /** At or after: past its time. The TTL index takes it away then. */
  expireAt?: Date;
  /** All that belongs to it stays until then at least. */
  covered?: Date;
  /** At least the number of its pointers. */
  said: number;
  /** Messages without a task so far: the sequence of the last. */
  stored: number;
  /** Who touched it last, and what he found: what it takes to undo that touch. */
  touch: Binary;
  previous: { readonly lastAccess?: Date; readonly pin?: Pin };
  /** The incarnation that this one took the place of, if MongoDB would not remove what belonged to it. */
  replaced?: Binary;
}

/** One content of a message, claimed. */
export interface ClaimEntry {
  readonly hash: string;
  readonly task: string;
  readonly at: Date;
  readonly ends: Date;
  readonly token: Binary;
  /** Where its outcome is: the conversation, and its incarnation if it was settled with an answer. */
  readonly conversation?: Binary;
  readonly incarnation?: Binary;
  readonly answer?: Inline;
}

/** Where a claim is: the record's `_id`, and the entry's token. */
export interface ClaimPointer {
  readonly key: Binary;
  readonly token: Binary;
}

/**
 * `_id`: SHA-256 of (tenant, owner, message id). All contents under one id in one record, so that one step decides
 * among them.
 */
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
export interface ReplicaBeat {
  _id: string;
  counter: Long | number;
  beat: Date;
}

/** A hint for replicas, in the order they were given. */
export interface WakeRecord {
  to: readonly string[];
  keys: readonly { readonly tenant: string; readonly owner: string; readonly taskId: string }[];
  at: Timestamp;
}

/** A removal under way: what it names is not found by anyone any more, but may still have records. */
export interface RemovalRecord {
  /** An incarnation or a log. */
  _id: Binary;
  /** The `_id` of the conversation or the task that must be gone, or be another one, for the removal to go on. */
  of: Binary;
  kind: "incarnation" | "log";
  /** The claim that the task of the log was created with: it isn't held once that task is gone. */
  claim?: ClaimPointer;
  at: Date;
}

/** `_id`: "schema". */
export interface SchemaRecord {
  _id: string;
  version: number;
  readableBy: number;
}
