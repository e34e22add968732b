import type { Scope } from "../../../domain/scope.ts";
import { hashKey } from "../../key.ts";
import type { MessageClaim } from "../../storage.ts";
import type { ClaimOutcome } from "../../storage-engine.ts";
import { lifeTimes, type SqliteContext } from "../thread/context.ts";

export interface HeldClaim {
  readonly id: number;
  readonly taskId: string;
  /** The encoded message that settled it. */
  readonly answer: Uint8Array | undefined;
}

export function messageKey(scope: Scope, messageId: string): Uint8Array {
  return hashKey(scope.tenant, scope.owner, messageId);
}

export function claimMessage(
  context: SqliteContext,
  { scope, claim }: { readonly scope: Scope; readonly claim: MessageClaim },
  nowMs: number,
): ClaimOutcome {
  const key = messageKey(scope, claim.messageId);
  const { same, otherContent } = findClaims(context, key, claim.contentHash, nowMs);
  if (same !== undefined) {
    return { outcome: "duplicate", taskId: same.taskId, answer: same.answer };
  }
  if (otherContent && claim.strict) {
    return { outcome: "reused" };
  }
  putClaim(context, key, claim, nowMs);
  return { outcome: "accepted", otherContent };
}

/** What a claim for one task meets: the same content that another task holds, or the same id with other content. */
export function findRival(
  context: SqliteContext,
  scope: Scope,
  claim: MessageClaim,
  nowMs: number,
): { readonly duplicate: HeldClaim | undefined; readonly otherContent: boolean } {
  const { same, otherContent } = findClaims(context, messageKey(scope, claim.messageId), claim.contentHash, nowMs);
  return { duplicate: same?.taskId === claim.taskId ? undefined : same, otherContent };
}

/**
 * Ties a claim, made now if need be, to the conversation where its outcome is, and ends with. A claim that is held for
 * another task by now, because this one's window is over, is left alone.
 */
export function settleClaim(
  context: SqliteContext,
  scope: Scope,
  claim: MessageClaim,
  outcome: { readonly conversation: number; readonly answer?: Uint8Array },
  nowMs: number,
): void {
  const key = messageKey(scope, claim.messageId);
  const { same } = findClaims(context, key, claim.contentHash, nowMs);
  if (same !== undefined && same.taskId !== claim.taskId) {
    return;
  }
  const id = same?.id ?? putClaim(context, key, claim, nowMs);
  context.sql.settleClaim.run({ id, conversation: outcome.conversation, answer: outcome.answer ?? null });
}

function findClaims(
  context: SqliteContext,
  key: Uint8Array,
  contentHash: string,
  nowMs: number,
): { readonly same: HeldClaim | undefined; readonly otherContent: boolean } {
  let same: HeldClaim | undefined;
  let otherContent = false;
  for (const row of context.sql.findClaims.all({ messageKey: key, nowMs, ...lifeTimes(context, nowMs) })) {
    if (row.held !== 1) {
      continue;
    }
    if (row.content_hash === contentHash) {
      const answer = row.answer as Uint8Array | null;
      same = { id: row.id as number, taskId: row.task_id as string, answer: answer ?? undefined };
    } else {
      otherContent = true;
    }
  }
  return { same, otherContent };
}

/** Makes the claim, in the place of one of the same content that is no longer held. */
function putClaim(context: SqliteContext, key: Uint8Array, claim: MessageClaim, nowMs: number): number {
  const row = context.sql.putClaim.get({
    messageKey: key,
    contentHash: claim.contentHash,
    taskId: claim.taskId,
    endsMs: Math.min(Math.ceil(nowMs + claim.windowMs), Number.MAX_SAFE_INTEGER),
  });
  return row?.id as number;
}
