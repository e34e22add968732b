import type { ConversationKey, Scope } from "../../../domain/scope.ts";
import {
  claimsKeptMs,
  cleanupConversationsMax,
  expiredConversationsMax,
  sweepBytesMax,
  sweepRowsMax,
} from "../limits.ts";
import { type Moment, olderThan } from "../moment.ts";
import { type Steps, step } from "../steps.ts";
import type { OldConversation, RemovedKind, RemovedRows, Tables } from "../tables.ts";

export interface CleanupArgs {
  readonly maxAgeMs: number;
  readonly scope: Scope | undefined;
  /** Where the call before ended. */
  readonly from: CleanupPlace | undefined;
}

export interface CleanupPlace {
  /** The time before which the last access must be. It is that of the first call, or age 0 would never end. */
  readonly before: number;
  readonly after: OldConversation;
}

/**
 * Hides some of the conversations beyond an age that no task holds. `next` is where to go on; it is absent at the end.
 * Their rows are left to `sweep`.
 */
export function* cleanupConversations(
  tables: Tables,
  { maxAgeMs, scope, from }: CleanupArgs,
  at: Moment,
): Steps<{ readonly removed: number; readonly next?: CleanupPlace }> {
  const beforeMs = from?.before ?? olderThan(at, maxAgeMs);
  const range = { before: beforeMs, after: from?.after, limit: cleanupConversationsMax };
  const old = yield* step(tables.oldConversations(scope, range, at));
  const expired = old.filter(({ held }) => !held);
  for (const { id } of expired) {
    yield* step(tables.hideConversation(id));
  }
  const after = old.length < cleanupConversationsMax ? undefined : old.at(-1);
  return { removed: expired.length, ...(after !== undefined && { next: { before: beforeMs, after } }) };
}

/**
 * Some of the conversations beyond an age that no task holds, oldest access first. Held ones are looked at too, so one
 * call looks at a bounded number and says where to go on.
 */
export function* findExpired(
  tables: Tables,
  { maxAgeMs, scope, from }: CleanupArgs,
  at: Moment,
): Steps<{ readonly expired: readonly ConversationKey[]; readonly next?: CleanupPlace }> {
  const beforeMs = from?.before ?? olderThan(at, maxAgeMs);
  const range = { before: beforeMs, after: from?.after, limit: expiredConversationsMax };
  const old = yield* step(tables.oldConversations(scope, range, at));
  const expired = old.filter(({ held }) => !held).map(({ key }) => key);
  const after = old.length < expiredConversationsMax ? undefined : old.at(-1);
  return { expired, ...(after !== undefined && { next: { before: beforeMs, after } }) };
}

/** How much one call may still remove. */
interface Budget {
  rows: number;
  bytes: number;
}

/** Removes a bounded number of rows of what is hidden. False when nothing is left to do. */
export function* sweep({ removed }: Tables, _args: unknown, at: Moment): Steps<boolean> {
  if (removed === undefined) {
    return false;
  }
  const budget: Budget = { rows: sweepRowsMax, bytes: sweepBytesMax };
  while (budget.rows > 0 && budget.bytes > 0) {
    if (!(yield* sweepSome(removed, budget, at))) {
      return false;
    }
  }
  return true;
}

/** Gives some of the space that removed rows have left back to the file system. False when nothing is left to do. */
export function* giveBack({ removed }: Tables, _args: unknown): Steps<boolean> {
  return removed?.giveBack === undefined ? false : yield* step(removed.giveBack());
}

/** False if there was nothing. */
function* sweepSome(removed: RemovedRows, budget: Budget, { earliest }: Moment): Steps<boolean> {
  const conversation = yield* step(removed.conversation());
  if (conversation !== undefined) {
    yield* sweepConversation(removed, conversation, budget);
    return true;
  }
  const task = yield* step(removed.task());
  if (task !== undefined) {
    yield* sweepTask(removed, task, budget);
    return true;
  }
  return yield* removeSome(removed, "endedClaims", earliest(claimsKeptMs), budget);
}

/** The rows that refer to a conversation or a task go before its own row, since foreign keys hold. */
function* sweepConversation(removed: RemovedRows, conversation: number, budget: Budget): Steps<void> {
  if (
    (yield* removeSome(removed, "conversationMessages", conversation, budget)) ||
    (yield* removeSome(removed, "conversationClaims", conversation, budget))
  ) {
    return;
  }
  const tasks = yield* step(removed.hideTasks(conversation, budget.rows));
  if (tasks === 0) {
    yield* step(removed.removeConversation(conversation));
  }
  budget.rows -= tasks + 1;
}

function* sweepTask(removed: RemovedRows, task: number, budget: Budget): Steps<void> {
  if (
    (yield* removeSome(removed, "taskMessages", task, budget)) ||
    (yield* removeSome(removed, "taskSegments", task, budget)) ||
    (yield* removeSome(removed, "taskSnapshots", task, budget)) ||
    (yield* removeSome(removed, "taskCommands", task, budget))
  ) {
    return;
  }
  yield* step(removed.removeTask(task));
  budget.rows -= 1;
}

/** Removes rows as far as the budget goes, at least one. False if there were none. */
function* removeSome(removed: RemovedRows, kind: RemovedKind, of: number, budget: Budget): Steps<boolean> {
  const found = yield* step(removed.rows(kind, of, budget.rows));
  const ids: number[] = [];
  for (const { id, size } of found) {
    ids.push(id);
    budget.bytes -= size;
    if (budget.bytes <= 0) {
      break;
    }
  }
  budget.rows -= ids.length;
  if (ids.length > 0) {
    yield* step(removed.removeRows(kind, ids));
  }
  return found.length > 0;
}
