import type { ConversationKey, Scope, TaskKey } from "../domain/scope.ts";
import type {
  AppendResult,
  ClaimResult,
  ConversationHistory,
  ConversationPage,
  ConversationStats,
  MessageClaim,
  MessagePlace,
  PageQuery,
  ReplicaRecord,
  Retention,
  Snapshot,
  StorageTraits,
  StoredEntry,
  StoredTask,
  TaskAppend,
  TaskClaim,
  TaskCommand,
  TaskPage,
  TaskQuery,
} from "./storage.ts";

/**
 * The part of a storage that differs from database to database. `checkedStorage` makes a `Storage` of it. Every promise
 * of `Storage` about what is stored, found and removed is a promise of the engine; `StorageOperations` names the method
 * whose promises an operation keeps.
 *
 * What an engine may rely on:
 * - Arguments are valid by the rules of `check-arguments.ts`.
 * - Arguments are plain objects without further members, so they can be cloned into another thread.
 * - Messages and push notification configs are bytes.
 * - Nothing is called after `[Symbol.asyncDispose]`, which is called once. Calls may be under way at that time: they
 *   finish, or fail with `StorageError` "closed".
 *
 * Who owns bytes, unless an operation says otherwise: arguments belong to the caller. The engine may keep them without
 * a copy, because the caller never changes them, but it neither changes nor transfers them. Results belong to the
 * caller: an engine that keeps what it returns returns a copy.
 */
export interface StorageEngine extends AsyncDisposable {
  readonly traits: StorageTraits;

  /** See `Storage.setRetention`. */
  setRetention(retention: Retention): MaybePromise<void>;

  /**
   * Carries out one operation. An engine that needs no waiting may return the result itself, and may throw instead of
   * returning a promise that rejects.
   */
  call<Name extends OperationName>(name: Name, args: OperationArgs<Name>): MaybePromise<OperationResult<Name>>;

  /** See `Storage.watch`. */
  watch(replica: string, wake: (keys: readonly TaskKey[]) => void): AsyncDisposable;
  /** See `Storage.wake`. */
  wake(replicas: readonly string[], keys: readonly TaskKey[]): MaybePromise<void>;
}

export type MaybePromise<T> = T | Promise<T>;

export type OperationName = keyof StorageOperations;
export type OperationArgs<Name extends OperationName> = StorageOperations[Name]["args"];
export type OperationResult<Name extends OperationName> = StorageOperations[Name]["result"];

export interface Operation<Args, Result> {
  readonly args: Args;
  readonly result: Result;
}

/** Each entry keeps the promises of the method of `Storage` that has its name. */
export interface StorageOperations {
  // ── Tasks and their logs ──

  readonly appendTask: Operation<{ readonly key: TaskKey; readonly append: TaskAppend }, AppendOutcome>;
  /** With the snapshot if the log has at most `snapshotLogBytesMax` bytes. -1: without. */
  readonly getTask: Operation<{ readonly key: TaskKey; readonly snapshotLogBytesMax: number }, StoredTask | undefined>;
  readonly readTask: Operation<
    { readonly key: TaskKey; readonly after: bigint; readonly bytesMax: number },
    readonly StoredEntry[]
  >;
  readonly taskExists: Operation<{ readonly key: TaskKey }, boolean>;
  readonly listTasks: Operation<{ readonly query: TaskQuery }, TaskPage>;
  readonly storeSnapshot: Operation<{ readonly key: TaskKey; readonly snapshot: Snapshot }, void>;
  readonly deleteTask: Operation<{ readonly key: TaskKey }, boolean>;
  readonly sendCommand: Operation<{ readonly key: TaskKey; readonly command: TaskCommand }, boolean>;

  // ── Messages ──

  readonly getMessages: Operation<
    { readonly scope: Scope; readonly messageIds: readonly string[] },
    readonly StoredMessage[]
  >;
  /** `Storage.listMessagesByContextId`. Without a limit: all. Limit 0: none. */
  readonly listMessages: Operation<
    { readonly scope: Scope; readonly contextId: string; readonly limit: number | undefined },
    readonly StoredMessage[]
  >;
  readonly listMessagePage: Operation<
    {
      readonly scope: Scope;
      readonly contextId: string;
      readonly after: MessagePlace | undefined;
      readonly newest: number | undefined;
      readonly limit: number;
      readonly bytesMax: number;
    },
    StoredMessagePage
  >;
  /** The bytes of the messages belong to the engine, each in a buffer of its own. */
  readonly storeMessages: Operation<
    { readonly scope: Scope; readonly messages: readonly EncodedMessage[]; readonly settle: MessageClaim | undefined },
    void
  >;
  readonly deleteMessage: Operation<{ readonly scope: Scope; readonly messageId: string }, boolean>;
  readonly claimMessage: Operation<{ readonly scope: Scope; readonly claim: MessageClaim }, ClaimOutcome>;

  // ── Conversations ──

  readonly storeConversation: Operation<{ readonly scope: Scope; readonly conversation: ConversationHistory }, void>;
  readonly getConversation: Operation<
    { readonly scope: Scope; readonly contextId: string },
    ConversationHistory | undefined
  >;
  readonly listConversations: Operation<{ readonly scope: Scope; readonly page: PageQuery }, ConversationPage>;
  readonly updateConversationAccess: Operation<{ readonly scope: Scope; readonly contextId: string }, boolean>;
  readonly deleteConversation: Operation<{ readonly scope: Scope; readonly contextId: string }, boolean>;
  readonly getExpiredConversations: Operation<
    { readonly maxAgeMs: number; readonly limit: number; readonly scope: Scope | undefined },
    readonly ConversationKey[]
  >;
  readonly cleanupExpiredConversations: Operation<
    { readonly maxAgeMs: number; readonly scope: Scope | undefined },
    number
  >;
  readonly getConversationStats: Operation<{ readonly scope: Scope | undefined }, ConversationStats>;

  // ── Push notification configs ──

  /** False if there is no such task. The bytes belong to the engine, in a buffer of their own. */
  readonly storePushNotification: Operation<
    { readonly key: TaskKey; readonly configId: string; readonly bytes: Uint8Array },
    boolean
  >;
  readonly getPushNotification: Operation<{ readonly key: TaskKey; readonly configId: string }, Uint8Array | undefined>;
  readonly listPushNotifications: Operation<{ readonly key: TaskKey }, readonly Uint8Array[]>;
  readonly deletePushNotification: Operation<{ readonly key: TaskKey; readonly configId: string }, boolean>;

  // ── Replicas ──

  readonly register: Operation<{ readonly replica: string }, void>;
  readonly heartbeat: Operation<{ readonly replica: string }, boolean>;
  readonly deregister: Operation<{ readonly replica: string; readonly counter: bigint | undefined }, boolean>;
  readonly listReplicas: Operation<Readonly<Record<string, never>>, readonly ReplicaRecord[]>;
  readonly listRunners: Operation<{ readonly after: string | undefined; readonly limit: number }, readonly string[]>;
  readonly claimTasks: Operation<{ readonly claim: TaskClaim }, readonly TaskKey[]>;
}

/** A message without a task, as it is stored. */
export interface EncodedMessage {
  readonly messageId: string;
  readonly contextId: string;
  /** An encoded `Message`. */
  readonly bytes: Uint8Array;
}

/** A message as it is kept: encoded on its own, or as the entry of the log that brought it. */
export interface StoredMessage {
  readonly contextId: string;
  /** Empty for a message without a task. */
  readonly taskId: string;
  /** Whether `bytes` is an encoded `Entry`; otherwise it is an encoded `Message`. */
  readonly isEntry: boolean;
  readonly bytes: Uint8Array;
}

export interface StoredMessagePage {
  readonly messages: readonly StoredMessage[];
  /** The place of the last message; absent if there are no more. */
  readonly next?: MessagePlace | undefined;
}

/** `AppendResult` with an encoded answer. */
export type AppendOutcome =
  | Exclude<AppendResult, { readonly outcome: "duplicate" }>
  | { readonly outcome: "duplicate"; readonly claim: HeldClaim };

/** `ClaimResult` with an encoded answer. */
export type ClaimOutcome =
  | Exclude<ClaimResult, { readonly outcome: "duplicate" }>
  | ({ readonly outcome: "duplicate" } & HeldClaim);

/** `DuplicateClaim` with an encoded answer. */
export interface HeldClaim {
  readonly taskId: string;
  /** The encoded `Message` that settled the claim, if one did. */
  readonly answer?: Uint8Array | undefined;
}
