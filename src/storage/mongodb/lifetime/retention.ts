import type { Filter } from "mongodb";
import { type MongoContext, ttlOf } from "../context.ts";
import { expiryStages } from "../conversations/conversation-pipelines.ts";
import { lifeTimesOf } from "../conversations/conversations.ts";
import { jobStepRecords } from "../limits.ts";
import type { Belonging, ConversationRecord } from "../records.ts";
import { renew } from "./expiry.ts";
import { belongings } from "./removal-steps.ts";

/**
 * Adapts records that were stored under another retention, off the request path. Only a change between "never" and a
 * time needs it. After a change from one time to another, each conversation is adapted when it is next used.
 */
export async function applyRetention(context: MongoContext): Promise<void> {
  const mortal = ttlOf(context) !== undefined;
  // Adapted records don't match any more, so every page is the first. With the hint MongoDB reads only the matching
  // part of the index.
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

/** Gives a conversation an expiry. Its records get a later one first, so an interruption leaves none without. */
async function endow(context: MongoContext, conversation: ConversationRecord): Promise<void> {
  const { _id, incarnation } = conversation;
  await renew(context, conversation);
  if (context.jobs.closed) {
    return;
  }
  await context.collections.conversations.updateOne({ _id, incarnation }, expiryStages(lifeTimesOf(context)));
}

/** Removes the expiry of a conversation. That of its records is removed first, so it never outlives them. */
async function immortalise(context: MongoContext, { _id, incarnation }: ConversationRecord): Promise<void> {
  for (const collection of belongings(context)) {
    await collection.updateMany({ incarnation } as Filter<Belonging>, { $unset: { expireAt: "" } });
  }
  await context.collections.conversations.updateOne({ _id, incarnation }, { $unset: { expireAt: "", covered: "" } });
}
