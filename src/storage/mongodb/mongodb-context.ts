import type { Binary, Collection, Db } from "mongodb";
import type { Retention } from "../storage.ts";
import type { TaskHints } from "./mongodb-hints.ts";
import type { MongoJobs } from "./mongodb-jobs.ts";
import { foreverMs, majorityTimeoutMs, runningHoldMs, slackMsMin } from "./mongodb-limits.ts";
import type * as records from "./mongodb-records.ts";

/** What every operation of the engine works with. */
export interface MongoContext {
  readonly collections: MongoCollections;
  readonly maxHistoryLength: number;
  /** How much longer than its conversation's time a record stays; undefined: as long as that time, two minutes at least. */
  readonly slackMs: number | undefined;
  retention: Retention;
  readonly hints: TaskHints;
  readonly jobs: MongoJobs;
  /** The database's clock as far as it is known here. Only for times that have slack: what decides on life and death is `$$NOW`. */
  readonly clock: { offsetMs: number };
}

export interface MongoCollections {
  readonly tasks: Collection<records.TaskRecord>;
  readonly segments: Collection<records.SegmentRecord>;
  /** Pieces of batches that are too large for a record; in the collection of the segments. */
  readonly batchPieces: Collection<records.PieceRecord>;
  /** Pieces of snapshots, and blobs. */
  readonly snapshots: Collection<records.PieceRecord>;
  readonly messages: Collection<records.MessageRecord>;
  readonly conversations: Collection<records.ConversationRecord>;
  readonly pushNotifications: Collection<records.PushNotificationRecord>;
  readonly claims: Collection<records.ClaimRecord>;
  readonly replicas: Collection<records.ReplicaBeat>;
  readonly removals: Collection<records.RemovalRecord>;
  readonly schema: Collection<records.SchemaRecord>;
}

/**
 * Every operation says for itself that it reads what a majority holds and is done when a majority holds it, whatever the URL says.
 * "majority" implies the journal.
 */
const concerns = {
  readConcern: { level: "majority" },
  readPreference: "primary",
  writeConcern: { w: "majority", wtimeoutMS: majorityTimeoutMs },
} as const;

export function openCollections(db: Db, prefix: string): MongoCollections {
  const named = (name: string) => db.collection(`${prefix}${name}`, concerns);
  return {
    tasks: named("tasks") as unknown as MongoCollections["tasks"],
    segments: named("segments") as unknown as MongoCollections["segments"],
    batchPieces: named("segments") as unknown as MongoCollections["batchPieces"],
    snapshots: named("snapshots") as unknown as MongoCollections["snapshots"],
    messages: named("messages") as unknown as MongoCollections["messages"],
    conversations: named("conversations") as unknown as MongoCollections["conversations"],
    pushNotifications: named("push_notifications") as unknown as MongoCollections["pushNotifications"],
    claims: named("claims") as unknown as MongoCollections["claims"],
    replicas: named("replicas") as unknown as MongoCollections["replicas"],
    removals: named("removals") as unknown as MongoCollections["removals"],
    schema: named("schema") as unknown as MongoCollections["schema"],
  };
}

/** The time to live in milliseconds; undefined: for ever. */
export function ttlOf({ retention: { conversationTtlMs } }: MongoContext): number | undefined {
  return Number.isFinite(conversationTtlMs) ? Math.min(conversationTtlMs, foreverMs) : undefined;
}

export function slackOf(context: MongoContext): number {
  return context.slackMs ?? Math.max(ttlOf(context) ?? 0, slackMsMin);
}

/** How far ahead a running task holds its conversation. */
export function holdMsOf({ retention: { interruptedTtlMs } }: MongoContext): number {
  return Math.max(Math.min(interruptedTtlMs, foreverMs), runningHoldMs);
}

export function databaseNowMs({ clock }: MongoContext): number {
  return Date.now() + clock.offsetMs;
}

/** Learns the database's clock from a time that it has just told. It comes a little late, never early. */
export function noteDatabaseTime({ clock }: MongoContext, time: Date): void {
  clock.offsetMs = time.getTime() - Date.now();
}

/**
 * Until when a record that belongs to a conversation stays if nothing happens: its time and some slack, further while a task runs, and never
 * less than what the conversation relies on (`covered`).
 */
export function stayOf(context: MongoContext, options: { readonly running: boolean; readonly covered?: Date | undefined }): { readonly expireAt?: Date } {
  const ttlMs = ttlOf(context);
  if (ttlMs === undefined) {
    return {};
  }
  const heldMs = options.running ? holdMsOf(context) : 0;
  const untilMs = databaseNowMs(context) + heldMs + ttlMs + slackOf(context);
  return { expireAt: new Date(Math.max(untilMs, options.covered?.getTime() ?? 0)) };
}

/** What a record needs to belong to an incarnation. */
export function belongingOf(incarnation: Binary, stay: { readonly expireAt?: Date }): records.Belonging {
  return { incarnation, ...stay };
}
