import type { Filter } from "mongodb";
import { type MongoContext, ttlOf } from "../context.ts";
import { expiryStages } from "../conversations/conversation-pipelines.ts";
import { lifeTimesOf } from "../conversations/conversations.ts";
import { jobStepRecords } from "../limits.ts";
import type { Belonging, ConversationRecord } from "../records.ts";
import { renew } from "./expiry.ts";
import { belongings } from "./removal-steps.ts";

/**
 * Brings what was stored under another retention in line, off the request path. Only the change between "for ever" and
 * "for a time" needs that: from one time to another, each conversation changes when it is used next.
 */
export async function applyRetention(context: MongoContext): Promise<void> {
  const mortal = ttlOf(context) !== undefined;
  // What is done doesn't match any more, so that every page is the first. The index is named: it is the one that holds
  // next to nothing of this.
  const filter: Filter<ConversationRecord> = mortal
    ? { expireAt: { $exists: false } }
    : { expireAt: { $gt: new Date(0) } };
  while (!context.jobs.closed && mortal === (ttlOf(context) !== undefined)) {
    const page = await context.collections.conversations
      .find(filter)
      .hint({ expireAt: 1 })
      .limit(jobStepRecords)
      .toArray();
    if (page.length === 0) {
      return;
    }
    for (const conversation of page) {
      await (mortal ? endow(context, conversation) : immortalise(context, conversation));
    }
  }
}

/**
 * Gives a conversation its time; what belongs to it a later one first, so that nothing is left without one if this is
 * interrupted.
 */
async function endow(context: MongoContext, conversation: ConversationRecord): Promise<void> {
  const { _id, incarnation } = conversation;
  await renew(context, conversation);
  if (context.jobs.closed) {
    return;
  }
  await context.collections.conversations.updateOne({ _id, incarnation }, expiryStages(lifeTimesOf(context)));
}

/** Takes the times away: of what belongs to the conversation first, so that it never outlives that. */
async function immortalise(context: MongoContext, { _id, incarnation }: ConversationRecord): Promise<void> {
  for (const collection of belongings(context)) {
    await collection.updateMany({ incarnation } as Filter<Belonging>, { $unset: { expireAt: "" } });
  }
  await context.collections.conversations.updateOne({ _id, incarnation }, { $unset: { expireAt: "", covered: "" } });
}
