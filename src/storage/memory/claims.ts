import type { Scope } from "../../domain/scope.ts";
import type { MessageClaim } from "../storage.ts";
import type { ClaimOutcome, HeldClaim } from "../storage-engine.ts";
import type { ClaimRecord, ConversationRecord } from "./records.ts";
import type { MemoryState } from "./state.ts";

export function claimMessage(state: MemoryState, scope: Scope, claim: MessageClaim, nowMs: number): ClaimOutcome {
  const held = findClaim(state, scope, claim, nowMs);
  if (held !== undefined) {
    return { outcome: "duplicate", ...duplicateOf(held) };
  }
  const otherContent = hasOtherContent(state, scope, claim, nowMs);
  if (otherContent && claim.strict) {
    return { outcome: "reused" };
  }
  addClaim(state, scope, claim, nowMs);
  return { outcome: "accepted", otherContent };
}

/** What a claim for one task meets: the same content that another task holds, or the same id with other content. */
export function findRival(
  state: MemoryState,
  scope: Scope,
  claim: MessageClaim,
  nowMs: number,
): { readonly duplicate: HeldClaim | undefined; readonly otherContent: boolean } {
  const held = findClaim(state, scope, claim, nowMs);
  const duplicate = held === undefined || held.taskId === claim.taskId ? undefined : duplicateOf(held);
  return { duplicate, otherContent: hasOtherContent(state, scope, claim, nowMs) };
}

function hasOtherContent(
  state: MemoryState,
  scope: Scope,
  { messageId, contentHash }: MessageClaim,
  nowMs: number,
): boolean {
  const sameId = state.findScope(scope)?.claims.get(messageId);
  return sameId?.values().some((other) => other.contentHash !== contentHash && isHeld(state, other, nowMs)) ?? false;
}

/**
 * Ties a claim, made now if need be, to the conversation where its outcome is, and ends with. A claim that is held for
 * another task by now, because this one's window is over, is left alone.
 */
export function settleClaim(
  state: MemoryState,
  conversation: ConversationRecord,
  claim: MessageClaim,
  answer: Uint8Array | undefined,
  nowMs: number,
): void {
  const { scope } = conversation.scope;
  const record = findClaim(state, scope, claim, nowMs) ?? addClaim(state, scope, claim, nowMs);
  if (record.taskId !== claim.taskId) {
    return;
  }
  record.answer = answer;
  record.conversation?.claims.delete(record);
  record.conversation = conversation;
  conversation.claims.add(record);
}

/**
 * Drops claims whose window is over, once they are an eighth of all: so each call's share is small, and no more than
 * that are kept.
 */
export function dropEndedClaims(state: MemoryState, nowMs: number): void {
  const { claimsByEnd } = state;
  const ended = claimsByEnd.firstIndex(({ expiresAtMs }) => expiresAtMs > nowMs);
  if (ended * 8 >= claimsByEnd.length) {
    for (const claim of claimsByEnd.removeFirst(ended)) {
      state.removeClaim(claim);
    }
  }
}

function findClaim(state: MemoryState, scope: Scope, claim: MessageClaim, nowMs: number): ClaimRecord | undefined {
  const record = state.findScope(scope)?.claims.get(claim.messageId)?.get(claim.contentHash);
  return record !== undefined && isHeld(state, record, nowMs) ? record : undefined;
}

/**
 * A claim is held for its window, but not beyond the conversation that it led to: what that held is not to be found any
 * more.
 */
function isHeld(state: MemoryState, { expiresAtMs, conversation }: ClaimRecord, nowMs: number): boolean {
  return expiresAtMs > nowMs && (conversation === undefined || state.isLive(conversation, nowMs));
}

function addClaim(state: MemoryState, scope: Scope, claim: MessageClaim, nowMs: number): ClaimRecord {
  const ended = state.findScope(scope)?.claims.get(claim.messageId)?.get(claim.contentHash);
  if (ended !== undefined) {
    state.removeClaim(ended);
  }
  const record: ClaimRecord = {
    scope: state.ensureScope(scope),
    messageId: claim.messageId,
    contentHash: claim.contentHash,
    taskId: claim.taskId,
    expiresAtMs: nowMs + claim.windowMs,
    order: state.nextOrder(),
    answer: undefined,
    conversation: undefined,
  };
  const sameId = record.scope.claims.get(claim.messageId);
  if (sameId === undefined) {
    record.scope.claims.set(claim.messageId, new Map([[claim.contentHash, record]]));
  } else {
    sameId.set(claim.contentHash, record);
  }
  state.claimsByEnd.insert(record);
  return record;
}

function duplicateOf({ taskId, answer }: ClaimRecord): HeldClaim {
  return { taskId, answer: answer && new Uint8Array(answer) };
}
