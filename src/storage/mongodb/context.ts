import type { Binary, Collection, Db, ReadConcernLike } from "mongodb";
import type { TaskState } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import type { Retention } from "../storage.ts";
import type { PinChange } from "./conversations/conversation-pipelines.ts";
import type { DatabaseClock } from "./database-clock.ts";
import type { MongoJobs } from "./jobs.ts";
import { foreverMs, majorityTimeoutMs, runningPinMs, slackMsMin } from "./limits.ts";
import type { Primaries } from "./primaries.ts";
import type * as records from "./records.ts";
import type { TaskHints } from "./replicas/hints.ts";

/** What every operation of the engine works with. */
export interface MongoContext {
  readonly collections: MongoCollections;
  readonly maxHistoryLength: number;
  /**
   * A record stays this much longer than its conversation's time. Undefined: as long as that time, but at least two
   * minutes.
   */
  readonly slackMs: number | undefined;
  retention: Retention;
  readonly hints: TaskHints;
  readonly jobs: MongoJobs;
  readonly running: RunningNotes;
  readonly ended: EndedNotes;
  readonly clock: DatabaseClock;
  /** Options of reads that show every acknowledged write. They wait for a majority. */
  readonly latest: { readonly readConcern: ReadConcernLike; readonly maxTimeMS: number };
  /** Tells whether a read of "majority" was the latest, too. */
  readonly primaries: Pick<Primaries, "currentTerm">;
}

/** The conversation that a record belongs to. */
export interface Parent {
  readonly conversation: Binary;
  readonly incarnation: Binary;
}

/** Tracks the tasks that this process runs. */
export interface RunningNotes {
  note(task: Binary, parent: Parent & { readonly state: TaskState }, pin: PinChange | undefined): void;
  forget(task: Binary): void;
}

/** A task that has stopped running while some of its records still have a far expiry. */
export interface EndedTask {
  readonly log: Binary;
  readonly conversation: Binary;
  /** The task pins its conversation until this time. */
  readonly until: Date | undefined;
}

/** Collects the tasks that have ended. */
export interface EndedNotes {
  add(context: MongoContext, task: EndedTask): void;
}

export interface MongoCollections {
  readonly tasks: Collection<records.TaskRecord>;
  readonly segments: Collection<records.SegmentRecord>;
  /** Pieces of batches that are too large for a record, in the collection of the segments. */
  readonly batchPieces: Collection<records.PieceRecord>;
  /** Pieces of snapshots, and blobs. */
  readonly snapshots: Collection<records.PieceRecord>;
  readonly messages: Collection<records.MessageRecord>;
  readonly conversations: Collection<records.ConversationRecord>;
  readonly pushNotifications: Collection<records.PushNotificationRecord>;
  readonly claims: Collection<records.ClaimRecord>;
  readonly replicas: Collection<records.HeartbeatRecord>;
  readonly removals: Collection<records.RemovalRecord>;
  readonly schema: Collection<records.SchemaRecord>;
}

/**
 * Every operation reads what a majority has, and is done when a majority has it, whatever the URL says. "majority"
 * implies the journal.
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

/** The time to live in milliseconds. Undefined: conversations do not expire. */
export function ttlOf({ retention: { conversationTtlMs } }: MongoContext): number | undefined {
  return Number.isFinite(conversationTtlMs) ? Math.min(conversationTtlMs, foreverMs) : undefined;
}

export function slackOf(context: MongoContext): number {
  return context.slackMs ?? Math.max(ttlOf(context) ?? 0, slackMsMin);
}

/** A running task pins its conversation for this long from now. */
export function pinMsOf({ retention: { interruptedTtlMs } }: MongoContext): number {
  return Math.max(Math.min(interruptedTtlMs, foreverMs), runningPinMs);
}

export interface ExpiryOptions {
  /** A task of the conversation is running. The record then stays as long as that task pins the conversation. */
  readonly running: boolean;
  /** A task pins the conversation until this time. */
  readonly until?: Date | undefined;
  /** The conversation's `covered`. */
  readonly covered?: Date | undefined;
}

/**
 * The expiry of a record that belongs to a conversation: the longest time that the conversation can live from now on
 * without another access, plus the slack.
 */
export function expiryOf(
  context: MongoContext,
  { running, until, covered }: ExpiryOptions,
): { readonly expireAt?: Date } {
  const ttlMs = ttlOf(context);
  if (ttlMs === undefined) {
    return {};
  }
  const { nowMs } = context.clock;
  const livesMs = Math.max(nowMs + (running ? pinMsOf(context) : 0) + ttlMs, until?.getTime() ?? 0);
  return { expireAt: new Date(Math.min(Math.max(livesMs + slackOf(context), covered?.getTime() ?? 0), 8.64e15)) };
}

/** The fields of a record that belongs to an incarnation. */
export function belongingOf(incarnation: Binary, expiry: { readonly expireAt?: Date }): records.Belonging {
  return { incarnation, ...expiry };
}
