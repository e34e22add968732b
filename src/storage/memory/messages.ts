import type { Scope } from "../../domain/scope.ts";
import { compareIds } from "../compare-ids.ts";
import type { MessageClaim, MessagePlace } from "../storage.ts";
import type { EncodedMessage, StoredMessage, StoredMessagePage } from "../storage-engine.ts";
import { settleClaim } from "./claims.ts";
import type { ConversationRecord, MessageRecord } from "./records.ts";
import { type MemoryState, taskIdOf } from "./state.ts";

/** The message of each id that was stored last; ids without one are left out. */
export function getMessages(
  state: MemoryState,
  scope: Scope,
  messageIds: readonly string[],
  nowMs: number,
): readonly StoredMessage[] {
  const records = messageIds.map((id) => findMessage(state, scope, id, nowMs));
  return records.filter((record) => record !== undefined).map(readMessage);
}

function findMessage(state: MemoryState, scope: Scope, messageId: string, nowMs: number): MessageRecord | undefined {
  let newest: MessageRecord | undefined;
  for (const record of state.findScope(scope)?.messages.get(messageId) ?? []) {
    if (state.isLive(record.conversation, nowMs) && (newest === undefined || record.order > newest.order)) {
      newest = record;
    }
  }
  return newest;
}

export function listMessages(
  state: MemoryState,
  scope: Scope,
  contextId: string,
  limit: number | undefined,
  nowMs: number,
): readonly StoredMessage[] {
  const records = state.findConversation(scope, contextId, nowMs)?.messages.items ?? [];
  return records.slice(limit === undefined ? 0 : Math.max(0, records.length - limit)).map(readMessage);
}

export function listMessagePage(
  state: MemoryState,
  scope: Scope,
  contextId: string,
  page: { readonly after: MessagePlace | undefined; readonly limit: number },
  nowMs: number,
): StoredMessagePage {
  const list = state.findConversation(scope, contextId, nowMs)?.messages;
  if (list === undefined) {
    return { messages: [] };
  }
  const { after } = page;
  const start = after === undefined ? 0 : list.firstIndex((record) => compareToPlace(record, after) > 0);
  const records = list.items.slice(start, start + page.limit);
  const last = records.at(-1);
  const more = last !== undefined && list.length > start + page.limit;
  return { messages: records.map(readMessage), ...(more && { next: placeOf(last) }) };
}

export function storeMessages(
  state: MemoryState,
  scope: Scope,
  messages: readonly EncodedMessage[],
  settle: MessageClaim | undefined,
  nowMs: number,
): void {
  for (const [index, message] of messages.entries()) {
    const conversation = state.ensureConversation(scope, message.contextId, nowMs);
    state.setLastAccess(conversation, nowMs);
    removeEqual(state, conversation, message.messageId);
    const order = state.nextOrder();
    state.addMessage({
      conversation,
      messageId: message.messageId,
      timeMs: nowMs,
      sequence: order,
      order,
      source: { bytes: message.bytes },
    });
    if (settle !== undefined && index === messages.length - 1) {
      settleClaim(state, conversation, settle, message.bytes, nowMs);
    }
  }
}

export function deleteMessage(state: MemoryState, scope: Scope, messageId: string, nowMs: number): boolean {
  let found = false;
  for (const record of [...(state.findScope(scope)?.messages.get(messageId) ?? [])]) {
    found ||= state.isLive(record.conversation, nowMs);
    state.removeMessage(record);
  }
  return found;
}

/**
 * A message without a task is stored again when the outcome of the first time was unknown: that must not make two of
 * it.
 */
function removeEqual(state: MemoryState, conversation: ConversationRecord, messageId: string): void {
  for (const record of [...(conversation.scope.messages.get(messageId) ?? [])]) {
    if (record.conversation === conversation && "bytes" in record.source) {
      state.removeMessage(record);
    }
  }
}

/** The caller owns the bytes, so they are a copy. */
function readMessage(record: MessageRecord): StoredMessage {
  const { source, sequence, conversation } = record;
  const isEntry = "task" in source;
  const bytes = isEntry ? (source.task.entries[sequence - 1] as Uint8Array) : source.bytes;
  return { contextId: conversation.contextId, taskId: taskIdOf(record), isEntry, bytes: new Uint8Array(bytes) };
}

function placeOf(record: MessageRecord): MessagePlace {
  return { timeMs: record.timeMs, taskId: taskIdOf(record), sequence: BigInt(record.sequence) };
}

function compareToPlace(record: MessageRecord, place: MessagePlace): number {
  return (
    record.timeMs - place.timeMs ||
    compareIds(taskIdOf(record), place.taskId) ||
    record.sequence - Number(place.sequence)
  );
}
