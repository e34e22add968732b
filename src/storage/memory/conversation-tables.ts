import type { Scope } from "../../domain/scope.ts";
import { compareIds } from "../compare-ids.ts";
import type { ConversationPlace, MessagePlace } from "../storage.ts";
import type { Moment } from "../tables/moment.ts";
import type { ConversationTables, MessageRow, OldConversation, OldRange } from "../tables/tables.ts";
import type { ConversationRecord, MessageRecord } from "./records.ts";
import type { SortedList } from "./sorted-list.ts";
import { isHeld, isLive, type MemoryState } from "./state.ts";

/** The conversations, messages and claims of a memory storage. What is hidden is removed at once. */
export function conversationTables(state: MemoryState): ConversationTables {
  return {
    conversation(scope, contextId, at) {
      const record = state.findScope(scope)?.conversations.get(contextId);
      return (
        record && {
          id: record.id,
          lastAccessMs: record.lastAccessMs,
          messageCount: record.messages.length,
          live: isLive(record, at),
        }
      );
    },
    addConversation: (scope, contextId, lastAccessMs) => state.addConversation(scope, contextId, lastAccessMs).id,
    // The number of messages is the length of the history.
    updateConversation(id, { lastAccessMs }) {
      if (lastAccessMs !== undefined) {
        state.setLastAccess(state.conversation(id), lastAccessMs);
      }
    },
    hideConversation: (id) => state.removeConversation(state.conversation(id)),
    pageConversations(scope, after, limit, at) {
      const list = state.findScope(scope)?.conversationsByAccess;
      const page: ConversationPlace[] = [];
      if (list !== undefined) {
        let index = after === undefined ? list.length : list.firstIndex((record) => !isBefore(record, after));
        for (index -= 1; index >= 0 && page.length < limit; index--) {
          const record = list.at(index);
          if (record !== undefined && isLive(record, at)) {
            page.push({ contextId: record.contextId, lastAccessMs: record.lastAccessMs });
          }
        }
      }
      return page;
    },
    oldConversations: (scope, range, at) => oldConversations(state, scope, range, at),
    conversationStats(scope, at) {
      const list = scope === undefined ? state.conversationsByAccess : state.findScope(scope)?.conversationsByAccess;
      const live = (list?.slice() ?? []).filter((record) => isLive(record, at));
      const [oldest, newest] = [live[0], live.at(-1)];
      return {
        totalConversations: live.length,
        totalMessages: live.reduce((sum, { messages }) => sum + messages.length, 0),
        ...(oldest !== undefined && { oldestAccess: new Date(oldest.lastAccessMs) }),
        ...(newest !== undefined && { newestAccess: new Date(newest.lastAccessMs) }),
      };
    },

    addMessages(_scope, conversation, messages) {
      for (const message of messages) {
        state.addMessage(state.conversation(conversation), message);
      }
    },
    removeMessages(ids) {
      for (const id of ids) {
        state.removeMessage(state.messages.get(id) as MessageRecord);
      }
    },
    removeOldestMessages(conversation, count) {
      for (const message of state.conversation(conversation).messages.slice(0, count)) {
        state.removeMessage(message);
      }
    },
    messageIds: (conversation) => state.conversation(conversation).messages.slice(),
    messagesOfTask(task) {
      const messages = state.task(task).conversation.messages.slice();
      return messages.filter(({ source }) => "task" in source && source.task === task).map(({ id }) => id);
    },
    messagesWithoutTask(scope, conversation, messageId) {
      const messages = messagesNamed(state, scope, messageId);
      return messages
        .filter((one) => one.conversation.id === conversation && "bytes" in one.source)
        .map(({ id }) => id);
    },
    messagesNamed(scope, messageId, at) {
      const messages = messagesNamed(state, scope, messageId).filter(({ conversation }) => isLive(conversation, at));
      return messages.map(({ id, conversation }) => ({ id, conversation: conversation.id }));
    },
    lastMessages(scope, messageIds, at) {
      return messageIds
        .map((messageId) => messagesNamed(state, scope, messageId).findLast((one) => isLive(one.conversation, at)))
        .filter((record) => record !== undefined)
        .map((record) => ({ ...messageRow(record), contextId: record.conversation.contextId }));
    },
    newestMessages(conversation, limit) {
      const { messages } = state.conversation(conversation);
      const start = limit === undefined ? 0 : Math.max(0, messages.length - limit);
      return messages.slice(start).reverse().map(messageRow);
    },
    messagesAfter(conversation, after, limit) {
      const { messages } = state.conversation(conversation);
      const start = after === undefined ? 0 : messages.firstIndex((record) => isAfter(record, after));
      return messages.slice(start, start + limit).map(messageRow);
    },

    claims(scope, messageId, at) {
      state.dropEndedClaims(at.nowMs);
      const claims = state.findScope(scope)?.claims.get(messageId) ?? [];
      return claims.map(({ id, contentHash, taskId, answer, endsMs, conversation }) => ({
        id,
        contentHash,
        taskId,
        answer: answer && new Uint8Array(answer),
        held: endsMs > at.nowMs && (conversation === undefined || isLive(conversation, at)),
      }));
    },
    putClaim: (scope, claim, endsMs) => state.putClaim(scope, claim, endsMs).id,
    settleClaim(id, conversation, answer) {
      const claim = state.claims.get(id);
      if (claim !== undefined) {
        state.settleClaim(claim, state.conversation(conversation), answer);
      }
    },
    removeClaimsOfTask(conversation, taskId) {
      for (const claim of state.conversation(conversation).claims) {
        if (claim.taskId === taskId) {
          state.removeClaim(claim);
        }
      }
    },
  };
}

function oldConversations(
  state: MemoryState,
  scope: Scope | undefined,
  { before, after, limit }: OldRange,
  at: Moment,
): readonly OldConversation[] {
  const list: SortedList<ConversationRecord> | undefined =
    scope === undefined ? state.conversationsByAccess : state.findScope(scope)?.conversationsByAccess;
  if (list === undefined) {
    return [];
  }
  const tie = (record: ConversationRecord, place: OldConversation) =>
    scope === undefined ? record.id - place.id : compareIds(place.key.contextId, record.contextId);
  const start =
    after === undefined
      ? 0
      : list.firstIndex((record) => (record.lastAccessMs - after.lastAccessMs || tie(record, after)) > 0);
  const end = list.firstIndex(({ lastAccessMs }) => lastAccessMs >= before);
  return list.slice(start, Math.min(end, start + limit)).map((record) => ({
    id: record.id,
    key: { ...record.scope.scope, contextId: record.contextId },
    lastAccessMs: record.lastAccessMs,
    held: isHeld(record, at),
  }));
}

/** In the order in which they were added. */
function messagesNamed(state: MemoryState, scope: Scope, messageId: string): readonly MessageRecord[] {
  return state.findScope(scope)?.messages.get(messageId) ?? [];
}

/** Whether a conversation is before a place in the order of `conversationsByAccess` of a scope. */
function isBefore(record: ConversationRecord, place: ConversationPlace): boolean {
  return (record.lastAccessMs - place.lastAccessMs || compareIds(place.contextId, record.contextId)) < 0;
}

function isAfter({ timeMs, taskId, sequence }: MessageRecord, place: MessagePlace): boolean {
  return (timeMs - place.timeMs || compareIds(taskId, place.taskId) || sequence - Number(place.sequence)) > 0;
}

function messageRow({ timeMs, taskId, sequence, source }: MessageRecord): MessageRow {
  const own = "task" in source ? { task: source.task } : { bytes: new Uint8Array(source.bytes) };
  return { timeMs, taskId, sequence, source: own };
}
