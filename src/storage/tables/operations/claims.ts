import type { Scope } from "../../../domain/scope.ts";
import type { MessageClaim } from "../../storage.ts";
import type { ClaimOutcome, OperationArgs } from "../../storage-engine.ts";
import type { Moment } from "../moment.ts";
import { type Steps, step } from "../steps.ts";
import type { ClaimRow, Tables } from "../tables.ts";

/** See `Storage.claimMessage`. */
export function* claimMessage(
  tables: Tables,
  { scope, claim }: OperationArgs<"claimMessage">,
  at: Moment,
): Steps<ClaimOutcome> {
  const { same, otherContent } = yield* findHeld(tables, scope, claim, at);
  if (same !== undefined) {
    return { outcome: "duplicate", taskId: same.taskId, answer: same.answer };
  }
  if (otherContent && claim.strict) {
    return { outcome: "reused" };
  }
  yield* step(tables.putClaim(scope, claim, endOf(claim, at)));
  return { outcome: "accepted", otherContent };
}

/**
 * Ties a claim to the conversation that its outcome is in; the claim ends with that conversation. `held` is what
 * `findHeld` found in this transaction. Makes the claim if there is none. Changes nothing if the claim is held for
 * another task, which is possible once this one's window is over.
 */
export function* settleClaim(
  tables: Tables,
  scope: Scope,
  claim: MessageClaim,
  held: HeldClaims,
  { conversation, answer }: { readonly conversation: number; readonly answer?: Uint8Array },
  at: Moment,
): Steps<void> {
  const { same } = held;
  if (same !== undefined && same.taskId !== claim.taskId) {
    return;
  }
  const id = same?.id ?? (yield* step(tables.putClaim(scope, claim, endOf(claim, at))));
  yield* step(tables.settleClaim(id, conversation, answer));
}

/** The held claims of a message id. */
export interface HeldClaims {
  /** The one of this content. */
  readonly same: ClaimRow | undefined;
  readonly otherContent: boolean;
}

export function* findHeld(
  tables: Tables,
  scope: Scope,
  { messageId, contentHash, windowMs }: MessageClaim,
  at: Moment,
): Steps<HeldClaims> {
  let same: ClaimRow | undefined;
  let otherContent = false;
  // All claims have the window of the same setting.
  const earliestMs = at.earliest(windowMs);
  const earliestAt = earliestMs === at.nowMs ? at : { ...at, nowMs: earliestMs };
  for (const claim of yield* step(tables.claims(scope, messageId, earliestAt))) {
    if (claim.held) {
      if (claim.contentHash === contentHash) {
        same = claim;
      } else {
        otherContent = true;
      }
    }
  }
  return { same, otherContent };
}

/** The end of a claim that is put now. */
export function endOf({ windowMs }: MessageClaim, { nowMs }: Moment): number {
  return Math.min(Math.ceil(nowMs + windowMs), Number.MAX_SAFE_INTEGER);
}
