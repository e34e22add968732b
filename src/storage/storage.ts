import type { Message, TaskPushNotificationConfig, TaskState } from "../../gen/lf/a2a/v1/a2a_pb.ts";
import type { ConversationKey, Scope, TaskKey } from "../domain/scope.ts";

/**
 * Keeps what the task manager knows. The log of a task is the truth; everything else here is an index on it or a cache
 * of it.
 *
 * Promises that hold for every method:
 * - Each is atomic: it happens whole or not at all, whatever fails meanwhile.
 * - What a resolved promise reports is durable (where `traits.durable`), and every later read, by anyone, sees it.
 * - A `StorageError` with `outcome: "none"` changed nothing. With `outcome: "unknown"` the call may have happened;
 *   calls say below how that is settled. No other kind of error leaves a storage, but for programming errors.
 * - Ids are opaque strings of at most 256 bytes of UTF-8, compared byte by byte: case and trailing spaces count.
 * - Byte arrays that are handed in are not changed afterwards by either side; those handed out belong to the caller.
 * - Nothing of one scope is ever visible through another.
 *
 * Conversations and what belongs to them: a task belongs to the *incarnation* of its conversation that was current when
 * the task was made. Once a conversation is past its time (see `setRetention`), it, its tasks and its messages are not
 * found by any method, whether or not they were removed already; the same context id used again starts a new, empty
 * incarnation.
 */
export interface Storage extends AsyncDisposable {
  readonly traits: StorageTraits;

  /** How long conversations live. Called once, before any other call. Until then nothing expires. */
  setRetention(retention: Retention): Promise<void>;

  // ── Tasks and their logs ──

  /**
   * Creates a task (`append.create`), or appends one batch to its log: one atomic step on entries, header, message
   * pointers, claim and conversation.
   * - The condition is `append.after`: the head, the id of the batch that ends there, and the fence. If any differs:
   *   "lost", with what was found; nothing changed. Creating is lost if the task exists. Appending to a task that
   *   doesn't exist (any more): "gone".
   * - Creating with a claim that is held for another task: "duplicate"; nothing changed. With a strict claim whose
   *   message id was claimed with other content within the window: "reused"; nothing changed.
   * - "unknown" is thrown as `StorageError` with `outcome: "unknown"`: send the identical append again. If that is
   *   "lost", the batch may be in the log all the same: look for its id there.
   * - Creating makes the conversation if there is none, and counts as an access to it; so does every append of a
   *   message, and every append after which the task is settled (neither SUBMITTED nor WORKING): its conversation's
   *   time begins when it stops being held.
   * - When a conversation's history exceeds `maxHistoryLength`, its oldest messages leave it in the same step; their
   *   entries stay in the log.
   */
  appendTask(key: TaskKey, append: TaskAppend): Promise<AppendResult>;
  /** The task's header and, if asked for, its newest snapshot; undefined if there is no such task. */
  getTask(key: TaskKey, options?: { readonly snapshot?: boolean }): Promise<StoredTask | undefined>;
  /**
   * Entries after a sequence, dense and in order: from `after + 1` on. At least one if there is one, and no more than
   * fit `bytesMax` besides. Empty at the head, and for a task that doesn't exist. Only committed entries, each with the
   * id of the batch that brought it.
   */
  readTask(key: TaskKey, after: bigint, bytesMax: number): Promise<readonly StoredEntry[]>;
  taskExists(key: TaskKey): Promise<boolean>;
  /**
   * A page of headers, newest status first, then by task id, descending. A task whose status time doesn't change while
   * pages are read appears exactly once; one that changes moves to a place above the cursor and is found by
   * `statusTimeMsMin`.
   */
  listTasks(query: TaskQuery): Promise<TaskPage>;
  /**
   * Keeps a fold as a cache. Ignored unless its sequence is above the present one's and at most the head; ignored for
   * tasks that don't exist.
   */
  storeSnapshot(key: TaskKey, snapshot: Snapshot): Promise<void>;
  /**
   * Removes a task with its log, snapshots, requests, push configs and messages, and the claim that it was created
   * with: its message, sent again, is a new one and never comes back under the id of the removed task (R76). Claims for
   * other tasks stay. False if there was none.
   */
  deleteTask(key: TaskKey): Promise<boolean>;
  /**
   * Asks a task's owner for something, unconditionally; the owner's next append returns it, and every one after that
   * until an append names it in `answered`. The same id again is the same request. False if there is no such task.
   */
  sendCommand(key: TaskKey, request: TaskCommand): Promise<boolean>;

  // ── Messages ──

  /**
   * The message of that id that was stored last. Finds it wherever it is in a history: in a task's log or stored on its
   * own.
   */
  getMessage(scope: Scope, messageId: string): Promise<Message | undefined>;
  /** Those that exist, in the order asked for. */
  getMessages(scope: Scope, messageIds: readonly string[]): Promise<readonly Message[]>;
  /**
   * The newest `limit` messages of a conversation in the order (time, task, sequence), oldest first; -1 or absent: all.
   */
  listMessagesByContextId(scope: Scope, contextId: string, limit?: number): Promise<readonly Message[]>;
  /** The messages after a place in the same order, oldest first, at most `limit`. */
  listMessagePage(
    scope: Scope,
    contextId: string,
    page: { readonly after?: MessagePlace; readonly limit: number },
  ): Promise<MessagePage>;
  /**
   * Keeps messages that belong to no task, in the conversation each names, made if need be; counts as an access. With a
   * claim it settles that claim with the last of them as its answer, in the same step.
   */
  storeMessages(scope: Scope, messages: readonly Message[], settle?: MessageClaim): Promise<void>;
  /** Takes a message out of the histories; a log that holds it keeps it. False if there was none. */
  deleteMessage(scope: Scope, messageId: string): Promise<boolean>;
  /**
   * The acceptance of a message: the first caller gets "accepted", a repeat of the same content within the window what
   * the first one made.
   */
  claimMessage(scope: Scope, claim: MessageClaim): Promise<ClaimResult>;

  // ── Conversations ──

  /**
   * Sets a conversation's last access, making it if need be, and makes its history exactly those of `messageIds` that
   * are in it already: others leave it, unknown ids are passed over.
   */
  storeConversation(scope: Scope, conversation: ConversationHistory): Promise<void>;
  getConversation(scope: Scope, contextId: string): Promise<ConversationHistory | undefined>;
  /** A page, the one accessed last first, then by context id; `messageIds` is empty in each. */
  listConversations(scope: Scope, page: PageQuery): Promise<ConversationPage>;
  /** Sets the last access to now, by the database's clock. False if there is no such conversation. */
  updateConversationAccess(scope: Scope, contextId: string): Promise<boolean>;
  /**
   * Removes a conversation and all that belongs to it, the claims that led to something in it among them. False if
   * there was none.
   */
  deleteConversation(scope: Scope, contextId: string): Promise<boolean>;
  /**
   * Conversations last accessed more than `maxAgeMs` ago (0: before now) and not held by a task, oldest access first.
   */
  getExpiredConversations(maxAgeMs: number, limit: number, scope?: Scope): Promise<readonly ConversationKey[]>;
  /** Removes those, in small steps, each checked again as it is removed; says how many. */
  cleanupExpiredConversations(maxAgeMs: number, scope?: Scope): Promise<number>;
  getConversationStats(scope?: Scope): Promise<ConversationStats>;

  // ── Push notification configs ──

  /**
   * Stores a config under its task and `config.id`, replacing one of the same id. Without the task nothing is stored
   * and a "missing" error thrown.
   */
  storePushNotification(key: TaskKey, config: TaskPushNotificationConfig): Promise<void>;
  getPushNotification(key: TaskKey, configId: string): Promise<TaskPushNotificationConfig | undefined>;
  /** All of a task, by id. */
  listPushNotifications(key: TaskKey): Promise<readonly TaskPushNotificationConfig[]>;
  deletePushNotification(key: TaskKey, configId: string): Promise<boolean>;

  // ── Replicas ──

  /** Raises the counter of a replica's record, making it if need be. */
  heartbeat(replica: string): Promise<void>;
  /** Removes a replica's record, if there is one: it has ended, or all that it ran was taken over. */
  deregister(replica: string): Promise<void>;
  listReplicas(): Promise<readonly ReplicaRecord[]>;
  /**
   * Tasks that are SUBMITTED, WORKING or `pending` under one of the given replicas, at most `limit`, in no order that
   * two callers would share.
   */
  claimTasks(claim: TaskClaim): Promise<readonly TaskKey[]>;

  /** Calls `wake` for every `wake()` that names this replica. Hints: they may be lost, doubled or late. */
  watch(replica: string, wake: (keys: readonly TaskKey[]) => void): AsyncDisposable;
  wake(replicas: readonly string[], keys: readonly TaskKey[]): Promise<void>;
}

export interface StorageTraits {
  /** What it acknowledged survives the end of the process. */
  readonly durable: boolean;
  /** Several processes may use it at once. */
  readonly shared: boolean;
  /** Who removes expired conversations: the database, or somebody calling `cleanupExpiredConversations`. */
  readonly expiry: "native" | "sweep";
  readonly wakeUps: "push" | "poll" | "local";
}

export interface StorageOptions {
  /** Messages a conversation's history keeps; the oldest leave it. Default 100. */
  readonly maxHistoryLength?: number;
  /** Begins the name of every table or collection. Letters, digits, underscores. Default "a2a_". */
  readonly prefix?: string;
}

export interface Retention {
  /** A conversation is past its time this long after its last access, unless a task holds it. Infinity: never. */
  readonly conversationTtlMs: number;
  /**
   * A task in INPUT_REQUIRED or AUTH_REQUIRED holds its conversation this long after its status time. SUBMITTED and
   * WORKING always hold it.
   */
  readonly interruptedTtlMs: number;
}

/** What an append changes in the header, beside the head. */
export interface HeaderUpdate {
  readonly state: TaskState;
  /** Milliseconds since the epoch. */
  readonly statusTimeMs: number;
  readonly replica: string;
  readonly fence: bigint;
  /**
   * Something is left to be done by its replica although the task is neither SUBMITTED nor WORKING: `claimTasks` finds
   * it like one that is. Default false.
   */
  readonly pending?: boolean;
  /** An encoded `TaskSummary`; absent: as before. Always there when the task is created. */
  readonly summary?: Uint8Array;
}

export interface TaskAppend {
  /** What the log must end with: head 0 and an empty batch id and fence 0 for a task that doesn't exist yet. */
  readonly after: { readonly head: bigint; readonly batch: string; readonly fence: bigint };
  /** 1 to 256 encoded entries under a random id of at most 64 characters. Never changed once sent. */
  readonly batch: { readonly id: string; readonly entries: readonly Uint8Array[] };
  readonly header: HeaderUpdate;
  /** The entries of this batch that bring a message into the conversation's history. */
  readonly messages: readonly MessagePointer[];
  /** Ids of requests that this batch answers: removed in the same step. */
  readonly handled: readonly string[];
  /** Present if and only if the task is to be created. */
  readonly create?: { readonly contextId: string; readonly claim?: MessageClaim };
}

/** A message in the log: the entry at `index` of the batch, whose `created`, `message` or `status_update` holds it. */
export interface MessagePointer {
  readonly index: number;
  readonly messageId: string;
  /** Milliseconds since the epoch. */
  readonly timeMs: number;
}

export type AppendResult =
  | {
      readonly outcome: "committed";
      readonly head: bigint;
      /** The claim's message id was claimed before with other content. Absent: it wasn't, or there was no claim. */
      readonly otherContent?: boolean;
      /** Replicas with readers of this task. */
      readonly watchers: readonly string[];
      /** Open requests, oldest first. */
      readonly commands: readonly TaskCommand[];
    }
  | {
      readonly outcome: "lost";
      readonly head: bigint;
      readonly batch: string;
      readonly replica: string;
      readonly fence: bigint;
    }
  | { readonly outcome: "gone" }
  | { readonly outcome: "duplicate"; readonly claim: DuplicateClaim }
  | { readonly outcome: "reused" };

export interface StoredTask {
  readonly key: TaskKey;
  readonly contextId: string;
  readonly head: bigint;
  /** The id of the batch that ends at the head. */
  readonly batch: string;
  readonly state: TaskState;
  readonly statusTimeMs: number;
  readonly replica: string;
  readonly fence: bigint;
  /** The encoded `TaskSummary`. */
  readonly summary: Uint8Array;
  /** The encoded size of all entries. */
  readonly logBytes: number;
  /** Open requests, oldest first. */
  readonly commands: readonly TaskCommand[];
  /** Only if asked for, and if there is one. */
  readonly snapshot?: Snapshot;
}

export interface StoredEntry {
  readonly sequence: bigint;
  readonly batch: string;
  /** An encoded `Entry`. */
  readonly bytes: Uint8Array;
}

export interface Snapshot {
  readonly sequence: bigint;
  /** An encoded `TaskSnapshot`. */
  readonly bytes: Uint8Array;
}

/** What is asked of a task's owner; the bytes are the asker's and the owner's affair. */
export interface TaskCommand {
  readonly id: string;
  readonly bytes: Uint8Array;
}

/** Filters, all of which must hold. */
export interface TaskQuery {
  readonly scope: Scope;
  readonly contextId?: string;
  readonly state?: TaskState;
  /** Inclusive (R43). */
  readonly statusTimeMsMin?: number;
  /** The place of the last task of the page before. */
  readonly after?: TaskPlace;
  readonly limit: number;
}

export interface TaskPlace {
  readonly statusTimeMs: number;
  readonly taskId: string;
}

export interface TaskPage {
  readonly tasks: readonly StoredTask[];
  /** All that pass the filters, whatever the page. */
  readonly total: number;
  /** There are more after this page. */
  readonly more: boolean;
}

export interface MessagePlace {
  readonly timeMs: number;
  /** Empty for a message without a task. */
  readonly taskId: string;
  readonly sequence: bigint;
}

export interface MessagePage {
  readonly messages: readonly Message[];
  /** The place of the last message; absent if there are no more. */
  readonly next?: MessagePlace;
}

export interface MessageClaim {
  readonly messageId: string;
  /** SHA-256 of the content, hexadecimal. */
  readonly contentHash: string;
  /** The task that the claimer is going to make. */
  readonly taskId: string;
  /** How long the claim is held. */
  readonly windowMs: number;
  /** Refuse, as "reused", an id that was claimed with other content within the window. Default false. */
  readonly strict?: boolean;
}

export type ClaimResult =
  /**
   * The claim is this caller's now. `otherContent`: the same id was claimed before with other content, within the
   * window.
   */
  | { readonly outcome: "accepted"; readonly otherContent: boolean }
  | ({ readonly outcome: "duplicate" } & DuplicateClaim)
  | { readonly outcome: "reused" };

export interface DuplicateClaim {
  /** The task that the first claimer named. It may not exist yet, or never come to exist. */
  readonly taskId: string;
  /** The bare message that settled the claim, if one did. */
  readonly answer?: Message;
}

export interface ConversationHistory {
  readonly contextId: string;
  /** Oldest first. */
  readonly messageIds: readonly string[];
  readonly lastAccessTime: Date;
}

export interface PageQuery {
  readonly after?: ConversationPlace;
  readonly limit: number;
}

export interface ConversationPlace {
  readonly lastAccessMs: number;
  readonly contextId: string;
}

export interface ConversationPage {
  readonly conversations: readonly ConversationHistory[];
  readonly more: boolean;
}

export interface ConversationStats {
  readonly totalConversations: number;
  readonly totalMessages: number;
  readonly oldestAccess?: Date;
  readonly newestAccess?: Date;
}

export interface ReplicaRecord {
  readonly replica: string;
  readonly counter: bigint;
}

export interface TaskClaim {
  /** Replicas that are dead. */
  readonly replicas: readonly string[];
  readonly limit: number;
}
