import type { Binary, Document } from "mongodb";
import type { ConversationKey, Scope, TaskKey } from "../../../domain/scope.ts";
import { StorageError } from "../../storage-error.ts";
import { type MongoContext, ttlOf } from "../context.ts";
import { liveExpression } from "../conversations/conversation-pipelines.ts";
import { findConversation, touchConversation } from "../conversations/conversations.ts";
import { newId, scopeKey, taskKey } from "../keys.ts";
import { cleanupStepConversations } from "../limits.ts";
import { findTask } from "../log/find-task.ts";
import type { ConversationRecord } from "../records.ts";
import { forgetRemovals, noteRemovals, removeBelongings, removeLog } from "./removal-steps.ts";

const int64Max = 2n ** 63n - 1n;

export async function deleteTask(context: MongoContext, key: TaskKey): Promise<boolean> {
  const _id = taskKey(key);
  const task = await findTask(context, _id);
  if (task === undefined) {
    return false;
  }
  const { log, claim } = task;
  // After the next step, the note keeps the claim from being held until the claim is removed.
  await noteRemovals(context, [{ _id: log, of: _id, kind: "log", ...(claim !== undefined && { claim }) }]);
  const { deletedCount } = await context.collections.tasks.deleteOne({ _id, log });
  context.hints.delete(_id);
  if (deletedCount > 0) {
    // A late append of the removed task can't pin the conversation again: its fence is lower.
    const pin = { task: _id, fence: int64Max, head: Number.MAX_SAFE_INTEGER, until: undefined };
    await touchConversation(context, task, { access: "keep", pin, token: newId() });
  }
  await removeLog(context, log, claim);
  return deletedCount > 0;
}

export async function deleteConversation(context: MongoContext, scope: Scope, contextId: string): Promise<boolean> {
  const found = await findConversation(context, scope, contextId);
  return found !== undefined && (await removeConversations(context, [found], liveExpression(ttlOf(context)))) > 0;
}

/** Removes those of the given incarnations that still match an expression. Returns how many. */
async function removeConversations(
  context: MongoContext,
  found: readonly ConversationRecord[],
  condition: Document,
): Promise<number> {
  if (found.length === 0) {
    return 0;
  }
  const { conversations } = context.collections;
  await noteRemovals(
    context,
    found.map(({ _id, incarnation }) => ({ _id: incarnation, of: _id, kind: "incarnation" })),
  );
  const results = await Promise.all(
    found.map(async ({ _id, incarnation }) => {
      const { deletedCount } = await conversations.deleteOne({ _id, incarnation, $expr: condition });
      return { incarnation, deleted: deletedCount > 0 };
    }),
  );
  const incarnationsOf = (deleted: boolean): readonly Binary[] =>
    results.filter((result) => result.deleted === deleted).map(({ incarnation }) => incarnation);
  await forgetRemovals(context, incarnationsOf(false));
  const removed = incarnationsOf(true);
  await removeBelongings(context, removed);
  return removed.length;
}

export async function getExpiredConversations(
  context: MongoContext,
  maxAgeMs: number,
  limit: number,
  scope: Scope | undefined,
): Promise<readonly ConversationKey[]> {
  const found = await findExpired(context, maxAgeMs, limit, scope, undefined);
  return found.map(({ tenant, owner, contextId }) => ({ tenant, owner, contextId }));
}

export async function cleanupExpiredConversations(
  context: MongoContext,
  maxAgeMs: number,
  scope: Scope | undefined,
): Promise<number> {
  let total = 0;
  let after: ConversationRecord | undefined;
  try {
    do {
      const page = await findExpired(context, maxAgeMs, cleanupStepConversations, scope, after);
      total += await removeConversations(context, page, expiredExpression(maxAgeMs));
      after = page.length < cleanupStepConversations ? undefined : page.at(-1);
    } while (after !== undefined && !context.jobs.closed);
  } catch (error) {
    throw total === 0
      ? error
      : new StorageError("unavailable", "The cleanup was interrupted", { outcome: "unknown", cause: error });
  }
  return total;
}

/** Conversations beyond an age without a pin, oldest access first, from a place on. */
async function findExpired(
  context: MongoContext,
  maxAgeMs: number,
  limit: number,
  scope: Scope | undefined,
  after: ConversationRecord | undefined,
): Promise<readonly ConversationRecord[]> {
  const inScope = scope === undefined ? {} : { scope: scopeKey(scope) };
  const from = after === undefined ? {} : { lastAccess: { $gte: after.lastAccess } };
  return context.collections.conversations
    .find({ ...inScope, ...from, $expr: expiredExpression(maxAgeMs) })
    .sort(scope === undefined ? { lastAccess: 1 } : { lastAccess: 1, contextId: -1 })
    .limit(limit)
    .toArray();
}

function expiredExpression(maxAgeMs: number): Document {
  // The largest age within the range of dates.
  const before = { $subtract: ["$$NOW", Math.min(maxAgeMs, 8e15)] };
  return { $and: [{ $lt: ["$lastAccess", before] }, { $not: [{ $gt: ["$pinnedUntil", "$$NOW"] }] }] };
}
