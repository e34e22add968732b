import type { Message, TaskPushNotificationConfig, TaskState } from "../../gen/lf/a2a/v1/a2a_pb.ts";
import type { ConversationKey, Scope, TaskKey } from "../domain/scope.ts";
import type { Logger } from "../runtime/logger.ts";

/**
 * Stores tasks, messages, conversations, push notification configs and replicas. The log of a task is the truth. All
 * else about a task is an index on its log or a cache of it.
 *
 * Every method keeps these promises:
 * - A call is atomic: it takes effect as a whole or not at all, whatever fails meanwhile.
 * - When the promise of a call resolves, its effect is durable (if `traits.durable`), and every later read of any
 *   process sees it.
 * - A storage throws only `StorageError`, except for bugs. With `outcome: "none"` the call had no effect. With
 *   `outcome: "unknown"` it may have had its effect; the methods say how to find out.
 * - Invalid arguments fail with "invalid", and calls after the end of the storage with "closed". Neither has an effect.
 * - Ids are opaque strings of 1 to 256 bytes of UTF-8. They are compared byte by byte: case and trailing spaces count.
 * - Neither side changes a byte array that was passed in. A byte array that is returned belongs to the caller.
 * - Nothing of one scope is visible through another.
 *
 * A task belongs to the *incarnation* of its conversation that existed when the task was created. When a conversation
 * is past its time (see `setRetention`), no method finds it, its tasks or its messages, whether or not they were
 * removed already. The same context id, used again, starts a new and empty incarnation.
 */
export interface Storage extends AsyncDisposable {
  readonly traits: StorageTraits;

  /** Sets how long conversations live. Called once, before any other call. Without it nothing expires. */
  setRetention(retention: Retention): Promise<void>;

  // ── Tasks and their logs ──

  /**
   * Creates a task (with `append.create`), or appends one batch to its log. Entries, header, message pointers, claim
   * and conversation change in one atomic step.
   * - The condition is `append.after`: the head, the id of the batch that ends there, and the fence. If one of them
   *   differs, the result is "lost", with the present values, and nothing changes. Creating is "lost" if the task
   *   exists. Appending is "gone" if the task doesn't exist.
   * - Creating with a claim that is held for another task is a "duplicate", and nothing changes. Creating with a strict
   *   claim, whose message id was claimed with other content within the window, is "reused", and nothing changes.
   * - After a `StorageError` with `outcome: "unknown"`, send the identical append again. If the result is then "lost",
   *   the batch may still be in the log: look there for its id.
   * - Creating creates the conversation if there is none, and counts as an access to it. So does every append of a
   *   message, and every append after which the task is settled (neither SUBMITTED nor WORKING). So the conversation's
   *   time starts when the task no longer holds the conversation.
   * - When the conversation's history exceeds `maxHistoryLength`, its oldest messages leave it in the same step. Their
   *   entries stay in the log.
   */
  appendTask(key: TaskKey, append: TaskAppend): Promise<AppendResult>;
  /**
   * The task's header and, if requested, its newest snapshot. Undefined if there is no such task. The snapshot is left
   * out if the task's log has more than `logBytesMax` bytes: a caller that has no room for it must not get it.
   */
  getTask(
    key: TaskKey,
    options?: { readonly snapshot?: boolean; readonly logBytesMax?: number },
  ): Promise<StoredTask | undefined>;
  /**
   * The entries from `after + 1` on, in order and without holes, each with the id of its batch. Only committed entries.
   * As many as fit into `bytesMax`, but at least one if there is one. Empty at the head, and for a task that doesn't
   * exist.
   */
  readTask(key: TaskKey, after: bigint, bytesMax: number): Promise<readonly StoredEntry[]>;
  taskExists(key: TaskKey): Promise<boolean>;
  /**
   * A page of headers, newest status first, then by task id, descending. A task whose status time doesn't change while
   * pages are read appears exactly once. A task whose status time changes moves to a place before the pages to come,
   * and is found with `statusTimeMsMin`.
   */
  listTasks(query: TaskQuery): Promise<TaskPage>;
  /**
   * Stores a fold as a cache. Ignored unless its sequence is higher than that of the present snapshot and at most the
   * head. Ignored for a task that doesn't exist.
   */
  storeSnapshot(key: TaskKey, snapshot: Snapshot): Promise<void>;
  /**
   * Removes a task with its log, snapshots, commands, push notification configs and messages, and the claim that it was
   * created with. So its first message, sent again, creates a new task with another id (R76). Claims for other tasks
   * stay. False if there was no such task.
   */
  deleteTask(key: TaskKey): Promise<boolean>;
  /**
   * Adds a command for the task's owner, without a condition. Each of the owner's appends returns it until one names it
   * in `handled`. The same id again is the same command. False if there is no such task.
   */
  sendCommand(key: TaskKey, command: TaskCommand): Promise<boolean>;

  // ── Messages ──

  /** The message of that id that was stored last, in a task's log or on its own, if it is in a history. */
  getMessage(scope: Scope, messageId: string): Promise<Message | undefined>;
  /** The messages that exist, in the order of `messageIds`. */
  getMessages(scope: Scope, messageIds: readonly string[]): Promise<readonly Message[]>;
  /**
   * The newest `limit` messages of a conversation, oldest first, in the order (time, task, sequence). -1 or absent:
   * all.
   */
  listMessagesByContextId(scope: Scope, contextId: string, limit?: number): Promise<readonly Message[]>;
  /**
   * The messages after a place in the same order, oldest first. At most `limit`, and no more than fit into `bytesMax`,
   * but at least one if there is one. Without a place: from the first message, or from the first of the `newest`.
   */
  listMessagePage(scope: Scope, contextId: string, page: MessagePageQuery): Promise<MessagePage>;
  /**
   * Stores up to 256 messages without a task, each in the conversation that it names. A conversation is created if
   * there is none. Counts as an access. With a claim, the last message becomes the answer of that claim in the same
   * step.
   */
  storeMessages(scope: Scope, messages: readonly Message[], settle?: MessageClaim): Promise<void>;
  /** Removes a message from the histories. Its entry stays in the log. False if there was no such message. */
  deleteMessage(scope: Scope, messageId: string): Promise<boolean>;
  /**
   * Claims a message id and its content. The first caller gets "accepted". A repeat of the same content within the
   * window gets the task or the answer of the first caller.
   */
  claimMessage(scope: Scope, claim: MessageClaim): Promise<ClaimResult>;

  // ── Conversations ──

  /**
   * Sets a conversation's last access, and creates it if there is none. Messages that are not in `messageIds` leave its
   * history. Unknown ids are ignored.
   */
  storeConversation(scope: Scope, conversation: ConversationHistory): Promise<void>;
  getConversation(scope: Scope, contextId: string): Promise<ConversationHistory | undefined>;
  /** A page, the latest access first, then by context id. `messageIds` is empty in each. */
  listConversations(scope: Scope, page: PageQuery): Promise<ConversationPage>;
  /** Sets the last access to the present time of the database's clock. False if there is no such conversation. */
  updateConversationAccess(scope: Scope, contextId: string): Promise<boolean>;
  /**
   * Removes a conversation, its tasks and messages, and the claims that led to them. False if there was no such
   * conversation. Fails with "running" while a task of it is SUBMITTED or WORKING, or is being created. The check and
   * the removal are one step: no task that was acknowledged meanwhile is removed.
   */
  deleteConversation(scope: Scope, contextId: string): Promise<boolean>;
  /**
   * At most `limit` conversations that were last accessed more than `maxAgeMs` ago (0: before now) and are not held by
   * a task, oldest access first.
   */
  getExpiredConversations(maxAgeMs: number, limit: number, scope?: Scope): Promise<readonly ConversationKey[]>;
  /** Removes such conversations in small steps. Each is checked again when it is removed. Returns how many. */
  cleanupExpiredConversations(maxAgeMs: number, scope?: Scope): Promise<number>;
  getConversationStats(scope?: Scope): Promise<ConversationStats>;

  // ── Push notification configs ──

  /**
   * Stores a config of a task under `config.id`, and replaces one of the same id. Fails with "missing" if there is no
   * such task.
   */
  storePushNotification(key: TaskKey, config: TaskPushNotificationConfig): Promise<void>;
  getPushNotification(key: TaskKey, configId: string): Promise<TaskPushNotificationConfig | undefined>;
  /** All configs of a task, by id. */
  listPushNotifications(key: TaskKey): Promise<readonly TaskPushNotificationConfig[]>;
  deletePushNotification(key: TaskKey, configId: string): Promise<boolean>;

  // ── Replicas ──

  /** Makes the record of a replica, before its first task. A replica that has one keeps it as it is. */
  register(replica: string): Promise<void>;
  /**
   * Raises the counter of a replica's record. False if there is no record; the call never makes one. So a replica that
   * was taken for dead learns of it, and cannot raise itself from the dead.
   */
  heartbeat(replica: string): Promise<boolean>;
  /**
   * Removes a replica's record. With a counter, only a record that still has this counter: a replica that was taken for
   * dead and has sent a heartbeat meanwhile stays. Says whether the replica has no record afterwards.
   */
  deregister(replica: string, counter?: bigint): Promise<boolean>;
  listReplicas(): Promise<readonly ReplicaRecord[]>;
  /**
   * At most `limit` replicas after a name, by name, with tasks that `claimTasks` would find, whether or not they have a
   * record. Tasks of a conversation that is past its time may count. Read before `listReplicas`, a replica that is
   * missing there is dead.
   */
  listRunners(page: RunnerQuery): Promise<readonly string[]>;
  /**
   * At most `limit` tasks of the given replicas that are SUBMITTED, WORKING or `pending`. In random order, so that two
   * callers start with different tasks.
   */
  claimTasks(claim: TaskClaim): Promise<readonly TaskKey[]>;

  /**
   * Calls `wake` for every `wake()` that names this replica. The calls are hints: they may be lost, doubled or late. A
   * call without keys means that some may have been lost.
   */
  watch(replica: string, wake: (keys: readonly TaskKey[]) => void): AsyncDisposable;
  wake(replicas: readonly string[], keys: readonly TaskKey[]): Promise<void>;
}

export interface StorageTraits {
  /** Whether acknowledged calls survive the end of the process. */
  readonly durable: boolean;
  /** Whether several processes may use it at once. */
  readonly shared: boolean;
  /**
   * Whether no other process can have opened it while this one has. Then the records of all other replicas are those of
   * processes that have ended. Absent: no.
   */
  readonly exclusive?: boolean;
  /** "native": the database removes expired conversations. "sweep": `cleanupExpiredConversations` removes them. */
  readonly expiry: "native" | "sweep";
  readonly wakeUps: "push" | "poll" | "local";
}

export interface StorageOptions {
  /** The most messages in a conversation's history. The oldest leave it. Default 100. */
  readonly maxHistoryLength?: number;
  /** The prefix of all names of tables or collections: letters, digits, underscores. Default "a2a_". */
  readonly prefix?: string;
  /** Is told of work off the request path that failed. Default: nobody is told. */
  readonly logger?: Logger;
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

/** The new header, beside the head. */
export interface HeaderUpdate {
  readonly state: TaskState;
  /** Milliseconds since the epoch. */
  readonly statusTimeMs: number;
  readonly replica: string;
  readonly fence: bigint;
  /**
   * Whether its replica still has work on the task although the task is neither SUBMITTED nor WORKING. Then
   * `claimTasks` finds the task. Default false.
   */
  readonly pending?: boolean;
  /** An encoded `TaskSummary`. Absent: as before. Required when the task is created. */
  readonly summary?: Uint8Array;
}

export interface TaskAppend {
  /** The expected end of the log. For a task that doesn't exist: head 0, an empty batch id and fence 0. */
  readonly after: { readonly head: bigint; readonly batch: string; readonly fence: bigint };
  /** 1 to 256 encoded entries of at most 12 MiB, and a random id of at most 64 characters. */
  readonly batch: { readonly id: string; readonly entries: readonly Uint8Array[] };
  readonly header: HeaderUpdate;
  /** The entries of this batch that add a message to the conversation's history. At most one for each entry. */
  readonly messages: readonly MessagePointer[];
  /** Ids of commands that this batch handles. They are removed in the same step. */
  readonly handled: readonly string[];
  /** Present if and only if the append creates the task. */
  readonly create?: { readonly contextId: string; readonly claim?: MessageClaim };
}

/** A message in the log: that of the `created`, `message` or `status_update` entry at `index` of the batch. */
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
      /** Whether the claim's message id was claimed before with other content. Absent: no. */
      readonly otherContent?: boolean;
      /** Replicas with readers of this task. */
      readonly watchers: readonly string[];
      /** Open commands, oldest first. */
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
  /** Open commands, oldest first. */
  readonly commands: readonly TaskCommand[];
  /** Only if requested, and if there is one. */
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

/** A command for a task's owner. The storage doesn't read the bytes. */
export interface TaskCommand {
  readonly id: string;
  readonly bytes: Uint8Array;
}

/** Filters. A task must match all of them. */
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
  /** The number of tasks that match the filters, on all pages. */
  readonly total: number;
  /** Whether there are more after this page. */
  readonly more: boolean;
}

export interface MessagePlace {
  readonly timeMs: number;
  /** Empty for a message without a task. */
  readonly taskId: string;
  readonly sequence: bigint;
}

export interface MessagePageQuery {
  readonly after?: MessagePlace;
  /** Without `after`: how many of the newest messages are meant. Absent: all. */
  readonly newest?: number | undefined;
  readonly limit: number;
  /** Bytes of the encoded messages. Absent: any number. */
  readonly bytesMax?: number;
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
  /** The task that the caller is going to create. */
  readonly taskId: string;
  /** How long the claim is held. */
  readonly windowMs: number;
  /** Whether an id that was claimed with other content within the window is "reused". Default false. */
  readonly strict?: boolean;
}

export type ClaimResult =
  /** The caller has the claim. `otherContent`: the same id was claimed before with other content within the window. */
  | { readonly outcome: "accepted"; readonly otherContent: boolean }
  | ({ readonly outcome: "duplicate" } & DuplicateClaim)
  | { readonly outcome: "reused" };

export interface DuplicateClaim {
  /** The task that the first caller named. It may not exist yet, or never be created. */
  readonly taskId: string;
  /** The message without a task that is the answer of the claim, if it has one. */
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

export interface RunnerQuery {
  /** Absent: from the first. */
  readonly after?: string;
  readonly limit: number;
}

export interface TaskClaim {
  /** Replicas that are dead. */
  readonly replicas: readonly string[];
  readonly limit: number;
}
