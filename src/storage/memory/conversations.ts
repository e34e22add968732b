import { setImmediate } from "node:timers/promises";
import type { ConversationKey, Scope } from "../../domain/scope.ts";
import { compareIds } from "../compare-ids.ts";
import type {
  ConversationHistory,
  ConversationPage,
  ConversationPlace,
  ConversationStats,
  PageQuery,
} from "../storage.ts";
import type { ConversationRecord } from "./records.ts";
import type { MemoryState } from "./state.ts";

/** Conversations removed before others get their turn. */
const cleanupStep = 256;

export function storeConversation(state: MemoryState, scope: Scope, stored: ConversationHistory, nowMs: number): void {
  const conversation = state.ensureConversation(scope, stored.contextId, nowMs);
  const kept = new Set(stored.messageIds);
  for (const message of conversation.messages.items.filter(({ messageId }) => !kept.has(messageId))) {
    state.removeMessage(message);
  }
  state.setLastAccess(conversation, stored.lastAccessTime.getTime());
}

export function historyOf(conversation: ConversationRecord): ConversationHistory {
  return { ...summaryOf(conversation), messageIds: conversation.messages.items.map(({ messageId }) => messageId) };
}

function summaryOf({ contextId, lastAccessMs }: ConversationRecord): ConversationHistory {
  return { contextId, messageIds: [], lastAccessTime: new Date(lastAccessMs) };
}

export function listConversations(
  state: MemoryState,
  scope: Scope,
  { after, limit }: PageQuery,
  nowMs: number,
): ConversationPage {
  const list = state.findScope(scope)?.conversationsByAccess;
  if (list === undefined) {
    return { conversations: [], more: false };
  }
  const end = after === undefined ? list.length : list.firstIndex((record) => !isBefore(record, after));
  const conversations: ConversationHistory[] = [];
  for (let index = end - 1; index >= 0; index--) {
    const conversation = list.items[index] as ConversationRecord;
    if (!state.isLive(conversation, nowMs)) {
      continue;
    }
    if (conversations.length === limit) {
      return { conversations, more: true };
    }
    conversations.push(summaryOf(conversation));
  }
  return { conversations, more: false };
}

/** Whether a conversation is further down the list than a place in it: before it in the order of the records. */
function isBefore(record: ConversationRecord, place: ConversationPlace): boolean {
  return (record.lastAccessMs - place.lastAccessMs || compareIds(place.contextId, record.contextId)) < 0;
}

export function getExpiredConversations(
  state: MemoryState,
  maxAgeMs: number,
  limit: number,
  scope: Scope | undefined,
  nowMs: number,
): readonly ConversationKey[] {
  return findExpired(state, maxAgeMs, scope, nowMs)
    .sort((a, b) => a.lastAccessMs - b.lastAccessMs)
    .slice(0, limit)
    .map(({ scope: { scope: of }, contextId }) => ({ ...of, contextId }));
}

/**
 * Removes conversations in steps, between which other calls run; `isOpen` says whether there is still something to
 * clean up.
 */
export async function cleanupExpiredConversations(
  state: MemoryState,
  maxAgeMs: number,
  scope: Scope | undefined,
  isOpen: () => boolean,
): Promise<number> {
  let removed = 0;
  for (const [index, conversation] of findExpired(state, maxAgeMs, scope, Date.now()).entries()) {
    if (index > 0 && index % cleanupStep === 0) {
      await setImmediate();
    }
    // Since it was found, it may have been accessed or removed, or the storage closed.
    if (isOpen() && !conversation.removed && isExpired(state, conversation, maxAgeMs, Date.now())) {
      state.removeConversation(conversation);
      removed += 1;
    }
  }
  return removed;
}

export function getConversationStats(state: MemoryState, scope: Scope | undefined, nowMs: number): ConversationStats {
  let totalConversations = 0;
  let totalMessages = 0;
  let oldestMs = Number.POSITIVE_INFINITY;
  let newestMs = Number.NEGATIVE_INFINITY;
  for (const conversation of conversationsOf(state, scope)) {
    if (state.isLive(conversation, nowMs)) {
      totalConversations += 1;
      totalMessages += conversation.messages.length;
      oldestMs = Math.min(oldestMs, conversation.lastAccessMs);
      newestMs = Math.max(newestMs, conversation.lastAccessMs);
    }
  }
  const accesses = totalConversations > 0 && { oldestAccess: new Date(oldestMs), newestAccess: new Date(newestMs) };
  return { totalConversations, totalMessages, ...accesses };
}

function findExpired(
  state: MemoryState,
  maxAgeMs: number,
  scope: Scope | undefined,
  nowMs: number,
): ConversationRecord[] {
  return Array.from(conversationsOf(state, scope)).filter((conversation) =>
    isExpired(state, conversation, maxAgeMs, nowMs),
  );
}

function isExpired(state: MemoryState, conversation: ConversationRecord, maxAgeMs: number, nowMs: number): boolean {
  return nowMs - conversation.lastAccessMs > maxAgeMs && !state.isHeld(conversation, nowMs);
}

function* conversationsOf(state: MemoryState, scope: Scope | undefined): Iterable<ConversationRecord> {
  const one = scope === undefined ? undefined : state.findScope(scope);
  for (const record of scope === undefined ? state.scopes.values() : one === undefined ? [] : [one]) {
    yield* record.conversations.values();
  }
}
