import type { Binary, Document, Filter, FindOptions } from "mongodb";
import type { Scope } from "../../../domain/scope.ts";
import { isInterrupted } from "../../../domain/task-state.ts";
import type { HeaderUpdate } from "../../storage.ts";
import { StorageError } from "../../storage-error.ts";
import { type MongoContext, type Parent, pinMsOf, slackOf, ttlOf } from "../context.ts";
import { isDuplicateKey } from "../errors.ts";
import { conversationKey, newId, sameKey } from "../keys.ts";
import { renewIfDue } from "../lifetime/expiry.ts";
import { removeBelongingsLater } from "../lifetime/removal-steps.ts";
import { attemptsMax } from "../limits.ts";
import type { ConversationRecord } from "../records.ts";
import { isRunning } from "../states.ts";
import {
  dateAfter,
  ensureStages,
  type LifeTimes,
  liveExpression,
  type PinChange,
  type Touch,
  touchStages,
  undoStages,
} from "./conversation-pipelines.ts";

export function lifeTimesOf(context: MongoContext): LifeTimes {
  return { ttlMs: ttlOf(context), pinMs: pinMsOf(context), slackMs: slackOf(context), retention: context.retention };
}

/** Until when a task that isn't running pins its conversation. Undefined: not at all. */
export function pinnedUntil(
  { retention, clock }: MongoContext,
  { state, statusTimeMs }: HeaderUpdate,
): Date | undefined {
  // The status has a time of this machine's clock, and the pin ends by the database's. The pin may end late.
  return isInterrupted(state) ? dateAfter(statusTimeMs + clock.aheadMs, retention.interruptedTtlMs) : undefined;
}

/** The pin that a task with this header has on its conversation. */
export function pinOf(context: MongoContext, task: Binary, header: HeaderUpdate, head: number): PinChange {
  return { task, fence: header.fence, head, until: isRunning(header.state) ? "running" : pinnedUntil(context, header) };
}

/** A conversation after a touch. */
export interface Touched {
  readonly record: ConversationRecord;
  /** Whether the touch created it. */
  readonly made: boolean;
}

/** Touches the conversation of that id. Creates it in the same update if there is none that can be found. */
export async function ensureConversation(
  context: MongoContext,
  scope: Scope,
  contextId: string,
  touch: Touch,
): Promise<Touched> {
  const { conversations } = context.collections;
  const incarnation = newId();
  const stages = ensureStages(scope, contextId, incarnation, lifeTimesOf(context), touch);
  for (let attempt = 1; attempt <= attemptsMax; attempt++) {
    try {
      const found = await conversations.findOneAndUpdate({ _id: conversationKey(scope, contextId) }, stages, {
        upsert: true,
        returnDocument: "after",
      });
      if (found !== null) {
        const made = sameKey(found.incarnation, incarnation);
        if (made && found.replaced !== undefined) {
          removeBelongingsLater(context, found.replaced, found._id);
        }
        noteTouch(context, found, touch);
        return { record: found, made };
      }
    } catch (error) {
      // Two calls that create the same conversation at once: the second one finds it on its next try.
      if (!isDuplicateKey(error)) {
        throw error;
      }
    }
  }
  throw new StorageError("unavailable", `Conversation "${contextId}" is created and removed too often at once`, {
    outcome: "unknown",
  });
}

/** Touches an incarnation. Undefined if it was removed or is past its time, or if `condition` doesn't match. */
export async function touchConversation(
  context: MongoContext,
  parent: Parent,
  touch: Touch,
  condition: Filter<ConversationRecord> = {},
): Promise<Touched | undefined> {
  const times = lifeTimesOf(context);
  const found = await context.collections.conversations.findOneAndUpdate(
    { _id: parent.conversation, incarnation: parent.incarnation, $expr: liveExpression(times.ttlMs), ...condition },
    touchStages(times, touch),
    { returnDocument: "after" },
  );
  if (found === null) {
    return undefined;
  }
  noteTouch(context, found, touch);
  return { record: found, made: false };
}

/**
 * Undoes a touch for a task or an append that was not committed. A conversation that the touch created is removed,
 * unless another call has used it since.
 */
export async function undoTouch(context: MongoContext, { record, made }: Touched, touch: Touch): Promise<void> {
  const { conversations } = context.collections;
  const { _id, incarnation, previous } = record;
  if (made) {
    const { deletedCount } = await conversations.deleteOne({ _id, incarnation, touch: touch.token });
    if (deletedCount > 0) {
      return;
    }
  }
  await conversations.updateOne({ _id, incarnation }, undoStages(lifeTimesOf(context), touch, previous.pin));
}

/** Finds a conversation by its id. With the options `context.latest` its latest state, see `readLatest`. */
export async function findConversation(
  context: MongoContext,
  scope: Scope,
  contextId: string,
  options: FindOptions = {},
): Promise<ConversationRecord | undefined> {
  const filter = { _id: conversationKey(scope, contextId), $expr: liveExpression(ttlOf(context)) };
  return (await context.collections.conversations.findOne(filter, options)) ?? undefined;
}

/** Stages that join a record with its conversation as `parent`, and drop records whose conversation can't be found. */
export function joinParent(context: MongoContext): Document[] {
  const { conversations } = context.collections;
  return [
    { $lookup: { from: conversations.collectionName, localField: "conversation", foreignField: "_id", as: "parent" } },
    { $unwind: "$parent" },
    {
      $match: {
        $expr: { $and: [{ $eq: ["$parent.incarnation", "$incarnation"] }, liveExpression(ttlOf(context), "$parent.")] },
      },
    },
  ];
}

/** Sets the last access to now. False if there is no such conversation. */
export async function updateConversationAccess(
  context: MongoContext,
  scope: Scope,
  contextId: string,
): Promise<boolean> {
  const touch: Touch = { access: "now", token: newId() };
  const times = lifeTimesOf(context);
  const filter = { _id: conversationKey(scope, contextId), $expr: liveExpression(times.ttlMs) };
  const found = await context.collections.conversations.findOneAndUpdate(filter, touchStages(times, touch), {
    returnDocument: "after",
  });
  if (found !== null) {
    noteTouch(context, found, touch);
  }
  return found !== null;
}

function noteTouch(context: MongoContext, conversation: ConversationRecord, touch: Touch): void {
  const someEarly = touch.access === "now" && context.clock.note(conversation.lastAccess, slackOf(context) / 2);
  renewIfDue(context, conversation, someEarly);
}
