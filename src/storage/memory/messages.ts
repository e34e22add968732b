import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Message, MessageSchema } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import type { Scope } from "../../domain/scope.ts";
import { checkBytes } from "../check-arguments.ts";
import { compareIds } from "../compare-ids.ts";
import { historyMessageOf } from "../message-of-entry.ts";
import type { MessageClaim, MessagePage, MessagePlace } from "../storage.ts";
import { settleClaim } from "./claims.ts";
import type { ConversationRecord, MessageRecord } from "./records.ts";
import { type MemoryState, taskIdOf } from "./state.ts";

export function getMessage(state: MemoryState, scope: Scope, messageId: string, nowMs: number): Message | undefined {
  let newest: MessageRecord | undefined;
  for (const record of state.findScope(scope)?.messages.get(messageId) ?? []) {
    if (state.isLive(record.conversation, nowMs) && (newest === undefined || record.order > newest.order)) {
      newest = record;
    }
  }
  return newest === undefined ? undefined : readMessage(newest);
}

export function listMessages(
  state: MemoryState,
  scope: Scope,
  contextId: string,
  limit: number | undefined,
  nowMs: number,
): readonly Message[] {
  const records = state.findConversation(scope, contextId, nowMs)?.messages.items ?? [];
  return readMessages(records.slice(limit === undefined ? 0 : Math.max(0, records.length - limit)));
}

export function listMessagePage(
  state: MemoryState,
  scope: Scope,
  contextId: string,
  page: { readonly after?: MessagePlace; readonly limit: number },
  nowMs: number,
): MessagePage {
  const list = state.findConversation(scope, contextId, nowMs)?.messages;
  if (list === undefined) {
    return { messages: [] };
  }
  const { after } = page;
  const start = after === undefined ? 0 : list.firstIndex((record) => compareToPlace(record, after) > 0);
  const records = list.items.slice(start, start + page.limit);
  const last = records.at(-1);
  const more = last !== undefined && list.length > start + page.limit;
  return { messages: readMessages(records), ...(more && { next: placeOf(last) }) };
}

export function storeMessages(
  state: MemoryState,
  scope: Scope,
  messages: readonly Message[],
  settle: MessageClaim | undefined,
  nowMs: number,
): void {
  // All that can fail comes before anything is changed.
  const encoded = messages.map((message) => toBinary(MessageSchema, message));
  for (const bytes of encoded) {
    checkBytes("message", bytes);
  }
  for (const [index, message] of messages.entries()) {
    const conversation = state.ensureConversation(scope, message.contextId, nowMs);
    const bytes = encoded[index] as Uint8Array;
    state.setLastAccess(conversation, nowMs);
    removeEqual(state, conversation, message.messageId);
    const order = state.nextOrder();
    state.addMessage({
      conversation,
      messageId: message.messageId,
      timeMs: nowMs,
      sequence: order,
      order,
      source: { bytes },
    });
    if (settle !== undefined && index === messages.length - 1) {
      settleClaim(state, conversation, settle, bytes, nowMs);
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

function readMessages(records: readonly MessageRecord[]): readonly Message[] {
  return records.map(readMessage).filter((message) => message !== undefined);
}

function readMessage({ source, sequence, conversation }: MessageRecord): Message | undefined {
  if ("bytes" in source) {
    return fromBinary(MessageSchema, source.bytes);
  }
  const ids = { taskId: source.task.key.taskId, contextId: conversation.contextId };
  return historyMessageOf(source.task.entries[sequence - 1] as Uint8Array, ids);
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
