import type { Document } from "mongodb";
import type { Scope } from "../../../domain/scope.ts";
import type { ConversationPage, ConversationStats, PageQuery } from "../../storage.ts";
import { type MongoContext, ttlOf } from "../context.ts";
import { scopeKey } from "../keys.ts";
import { liveExpression } from "./conversation-pipelines.ts";

export async function listConversations(
  context: MongoContext,
  scope: Scope,
  { after, limit }: PageQuery,
): Promise<ConversationPage> {
  const place = after === undefined ? {} : { $or: beyond(new Date(after.lastAccessMs), after.contextId) };
  const found = await context.collections.conversations
    .find(
      { scope: scopeKey(scope), ...place, $expr: liveExpression(ttlOf(context)) },
      { projection: { contextId: 1, lastAccess: 1 } },
    )
    .sort({ lastAccess: -1, contextId: 1 })
    // One more than the limit, to see whether there are more.
    .limit(limit + 1)
    .toArray();
  const conversations = found
    .slice(0, limit)
    .map(({ contextId, lastAccess }) => ({ contextId, messageIds: [], lastAccessTime: lastAccess }));
  return { conversations, more: found.length > limit };
}

/** Ranges that are each contiguous in the index, so no record is read that isn't returned. */
function beyond(lastAccess: Date, contextId: string): Document[] {
  return [{ lastAccess: { $lt: lastAccess } }, { lastAccess, contextId: { $gt: contextId } }];
}

export async function getConversationStats(
  context: MongoContext,
  scope: Scope | undefined,
): Promise<ConversationStats> {
  const { conversations, messages, tasks } = context.collections;
  const count = (from: string, match: Document, as = from) => ({
    $lookup: {
      from,
      localField: "incarnation",
      foreignField: "incarnation",
      as,
      pipeline: [{ $match: match }, { $count: "count" }],
    },
  });
  const stages = [
    { $match: { ...(scope !== undefined && { scope: scopeKey(scope) }), $expr: liveExpression(ttlOf(context)) } },
    { $project: { incarnation: 1, lastAccess: 1 } },
    count(messages.collectionName, { time: { $gte: Number.MIN_SAFE_INTEGER } }),
    count(tasks.collectionName, { "first.time": { $gte: Number.MIN_SAFE_INTEGER } }, "first"),
    count(tasks.collectionName, { "last.time": { $gte: Number.MIN_SAFE_INTEGER } }, "last"),
    {
      $group: {
        _id: null,
        totalConversations: { $sum: 1 },
        // Messages that are about to be trimmed are not in a history.
        totalMessages: {
          $sum: {
            $min: [
              context.maxHistoryLength,
              { $add: [countIn(messages.collectionName), countIn("first"), countIn("last")] },
            ],
          },
        },
        oldestAccess: { $min: "$lastAccess" },
        newestAccess: { $max: "$lastAccess" },
      },
    },
  ];
  const [found] = await conversations.aggregate(stages).toArray();
  if (found === undefined) {
    return { totalConversations: 0, totalMessages: 0 };
  }
  const { totalConversations, totalMessages, oldestAccess, newestAccess } = found;
  return { totalConversations, totalMessages, oldestAccess, newestAccess };
}

function countIn(name: string): Document {
  return { $ifNull: [{ $first: `$${name}.count` }, 0] };
}
