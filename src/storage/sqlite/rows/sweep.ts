import type { StatementSync } from "node:sqlite";
import type { Scope } from "../../../domain/scope.ts";
import { cleanupConversationsMax, replicaKeptMs, sweepBytesMax, sweepRowsMax } from "../limits.ts";
import { before, type SqliteContext } from "../thread/context.ts";
import { listOldConversations, type OldConversation, removeConversation } from "./conversations.ts";

export interface CleanupArgs {
  readonly maxAgeMs: number;
  readonly scope: Scope | undefined;
  /** Where the step before ended. */
  readonly from: CleanupPlace | undefined;
}

export interface CleanupPlace {
  /** The moment before which the last access must be: that of the first step, or a cleanup of age 0 would never end. */
  readonly before: number;
  readonly after: OldConversation;
}

/**
 * Removes some of the conversations beyond an age; `next` is where to go on, absent at the end. Their rows are left to
 * `sweep`.
 */
export function cleanupConversations(
  context: SqliteContext,
  { maxAgeMs, scope, from }: CleanupArgs,
  nowMs: number,
): { readonly removed: number; readonly next: CleanupPlace | undefined } {
  const beforeMs = from?.before ?? before(nowMs, maxAgeMs);
  const range = { before: beforeMs, after: from?.after, limit: cleanupConversationsMax };
  const old = listOldConversations(context, scope, range, nowMs);
  const expired = old.filter(({ held }) => !held);
  for (const { id } of expired) {
    removeConversation(context, id);
  }
  const after = old.length < cleanupConversationsMax ? undefined : old.at(-1);
  return { removed: expired.length, next: after === undefined ? undefined : { before: beforeMs, after } };
}

/** What one step may still do. */
interface Budget {
  rows: number;
  bytes: number;
}

/** Takes away a bounded number of rows of what was removed. False when nothing is left to do. */
export function sweep(context: SqliteContext, _args: unknown, nowMs: number): boolean {
  const budget: Budget = { rows: sweepRowsMax, bytes: sweepBytesMax };
  while (budget.rows > 0 && budget.bytes > 0) {
    if (!sweepSome(context, budget, nowMs)) {
      return false;
    }
  }
  return true;
}

/** False if there was nothing. */
function sweepSome(context: SqliteContext, budget: Budget, nowMs: number): boolean {
  const { sql } = context;
  const conversation = sql.removedConversation.get()?.id as number | undefined;
  if (conversation !== undefined) {
    sweepConversation(context, conversation, budget);
    return true;
  }
  const task = sql.removedTask.get()?.id as number | undefined;
  if (task !== undefined) {
    sweepTask(context, task, budget);
    return true;
  }
  return deleteSome(sql.endedClaims.all({ nowMs, limit: budget.rows }), sql.deleteClaimRow, budget);
}

/** Forgets replicas that have been silent for long and run nothing. */
export function forgetReplicas(context: SqliteContext, _args: unknown, nowMs: number): void {
  context.sql.forgetReplicas.run({ before: nowMs - replicaKeptMs });
}

/** What refers to a row goes before the row, which foreign keys see to; the row itself goes last. */
function sweepConversation({ sql }: SqliteContext, conversation: number, budget: Budget): void {
  const limit = budget.rows;
  if (
    deleteSome(sql.messagesOfConversation.all({ conversation, limit }), sql.deleteMessageRow, budget) ||
    deleteSome(sql.claimsOfConversation.all({ conversation, limit }), sql.deleteClaimRow, budget)
  ) {
    return;
  }
  const tasks = sql.tasksOfConversation.all({ conversation, limit });
  for (const row of tasks) {
    sql.removeTask.run({ id: row.id as number });
  }
  if (tasks.length === 0) {
    sql.deleteConversation.run({ id: conversation });
  }
  budget.rows -= tasks.length + 1;
}

function sweepTask({ sql }: SqliteContext, task: number, budget: Budget): void {
  const limit = budget.rows;
  if (
    deleteSome(sql.messagesWithTask.all({ task, limit }), sql.deleteMessageRow, budget) ||
    deleteSome(sql.segmentsOfTask.all({ task, limit }), sql.deleteSegmentRow, budget) ||
    deleteSome(sql.snapshotsOfTask.all({ task, limit }), sql.deleteSnapshotRow, budget) ||
    deleteSome(sql.requestsOfTask.all({ task, limit }), sql.deleteRequestRow, budget)
  ) {
    return;
  }
  sql.deletePushNotifications.run({ task });
  sql.deleteSummary.run({ task });
  sql.deleteTask.run({ id: task });
  budget.rows -= 1;
}

/** Deletes rows as far as the budget goes, at least one. False if there were none. */
function deleteSome(rows: ReturnType<StatementSync["all"]>, statement: StatementSync, budget: Budget): boolean {
  for (const row of rows) {
    statement.run({ id: row.id as number });
    budget.rows -= 1;
    budget.bytes -= row.size as number;
    if (budget.bytes <= 0) {
      break;
    }
  }
  return rows.length > 0;
}
