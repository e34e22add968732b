import type { Binary, Document } from "mongodb";
import type { TaskState } from "../../../../gen/lf/a2a/v1/a2a_pb.ts";
import type { ConversationKey, Scope, TaskKey } from "../../../domain/scope.ts";
import { isInterrupted, isTerminal } from "../../../domain/task-state.ts";
import { StorageError, taskRuns } from "../../storage-error.ts";
import { type MongoContext, pinMsOf, ttlOf } from "../context.ts";
import { dateAfter, liveExpression } from "../conversations/conversation-pipelines.ts";
import { findConversation, touchConversation } from "../conversations/conversations.ts";
import { bigintOf, nameOf, newId, scopeKey, taskKey } from "../keys.ts";
import { attemptsMax, cleanupStepConversations, removalStaleMs } from "../limits.ts";
import { findTask } from "../log/find-task.ts";
import type { ConversationRecord, Pin } from "../records.ts";
import { isRunning } from "../states.ts";
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

/**
 * The removal of the conversation's record decides, under the condition that no running task pins it. A task pins its
 * conversation before its record says SUBMITTED or WORKING, so either the removal is refused or the task's append finds
 * no conversation.
 */
export async function deleteConversation(context: MongoContext, scope: Scope, contextId: string): Promise<boolean> {
  const condition = { $and: [liveExpression(ttlOf(context)), { $not: [{ $in: [true, "$pins.running"] }] }] };
  for (let attempt = 1; attempt <= attemptsMax; attempt++) {
    const found = await findConversation(context, scope, contextId, context.latest);
    if (found === undefined) {
      return false;
    }
    if (found.pins.some(({ running }) => running) && !(await releaseLeftPins(context, found))) {
      throw taskRuns(contextId);
    }
    if ((await removeConversations(context, [found], condition)) > 0) {
      return true;
    }
  }
  throw new StorageError("unavailable", `Conversation "${contextId}" changes too often at once`);
}

/**
 * Releases the pins that say "running" and were left by a crash. False if a task runs, or may be about to: a pin is
 * written before the record of its task.
 */
async function releaseLeftPins(context: MongoContext, conversation: ConversationRecord): Promise<boolean> {
  const { _id, incarnation } = conversation;
  const pins = conversation.pins.filter(({ running }) => running);
  const tasks = await context.collections.tasks
    .find({ _id: { $in: pins.map(({ task }) => task) }, incarnation }, { projection: { state: 1, statusTime: 1 } })
    .toArray();
  const [clock] = await context.collections.conversations
    .aggregate<{ readonly now: Date }>([{ $match: { _id } }, { $project: { now: "$$NOW" } }])
    .toArray();
  if (clock === undefined) {
    return true;
  }
  const nowMs = clock.now.getTime();
  const found = new Map(tasks.map((task) => [nameOf(task._id), task]));
  const pinned = pins.map((pin) => ({ pin, task: found.get(nameOf(pin.task)) }));
  if (pinned.some(({ pin, task }) => !isLeft(context, pin, task?.state, nowMs))) {
    return false;
  }
  for (const { pin, task } of pinned) {
    const { fence, head, until } = pin;
    const waitsUntil =
      task !== undefined && isInterrupted(task.state)
        ? dateAfter(task.statusTime, context.retention.interruptedTtlMs)
        : undefined;
    await touchConversation(
      context,
      { conversation: _id, incarnation },
      {
        access: "keep",
        pin: { task: pin.task, fence: bigintOf(fence), head, until: waitsUntil },
        token: newId(),
      },
      // Only this pin: that of a later append stays.
      { pins: { $elemMatch: { task: pin.task, until } } },
    );
  }
  return true;
}

/**
 * Whether no append can follow a pin that says "running": its task has ended, or the pin is older than an append takes
 * from the pin to the task's record. `nowMs` is the database's time, as that of the pin is.
 */
function isLeft(context: MongoContext, { until }: Pin, state: TaskState | undefined, nowMs: number): boolean {
  if (state !== undefined && (isRunning(state) || isTerminal(state))) {
    return isTerminal(state);
  }
  const madeMs = until.getTime() - pinMsOf(context);
  return nowMs - madeMs > removalStaleMs;
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
