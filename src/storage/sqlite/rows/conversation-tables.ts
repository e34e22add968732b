import type { ConversationPlace } from "../../storage.ts";
import type { Moment } from "../../tables/moment.ts";
import type {
  ClaimRow,
  ConversationRow,
  ConversationTables,
  FoundMessage,
  MessageRow,
  NewMessage,
  OldConversation,
} from "../../tables/tables.ts";
import { as, idOf, nameKey, type Row, run, scopeKey } from "./row.ts";
import type { Statements } from "./statements.ts";

/** The conversations, messages and claims of a database. */
export function conversationTables(sql: Statements): ConversationTables {
  let lastMessageId: number | undefined;
  /**
   * Larger than that of every message before, removed ones too: it orders messages of one millisecond, and a page token
   * may name it. After a restart those at the end that were removed are given away again, but not within a millisecond.
   */
  const newMessageId = () => {
    lastMessageId ??= (sql.lastMessageId.get() as Row).id as number;
    lastMessageId += 1;
    return lastMessageId;
  };
  return {
    conversation(scope, contextId, at) {
      const row = sql.findConversation.get({ key: nameKey(scope, contextId), ...livesOf(at) });
      return row && as<ConversationRow>({ ...row, live: row.live === 1 });
    },
    addConversation(scope, contextId, lastAccessMs) {
      const { tenant, owner } = scope;
      const key = nameKey(scope, contextId);
      const added = sql.addConversation.run({ key, scope: scopeKey(scope), tenant, owner, contextId, lastAccessMs });
      return added.lastInsertRowid as number;
    },
    updateConversation: (id, { messages: change = 0, lastAccessMs = null }) =>
      run(sql.updateConversation, { id, change, lastAccessMs }),
    hideConversation: (id) => run(sql.hideConversation, { id }),
    pageConversations(scope, after, limit, at) {
      const afterMs = after?.lastAccessMs ?? Number.MAX_SAFE_INTEGER;
      const place = { afterMs, afterContextId: after?.contextId ?? "", limit };
      return sql.pageConversations.all({ scope: scopeKey(scope), ...place, ...livesOf(at) }).map(as<ConversationPlace>);
    },
    oldConversations(scope, { before, after, limit }, { heldSince }) {
      const range = { before, afterMs: after?.lastAccessMs ?? Number.MIN_SAFE_INTEGER, limit, heldSince };
      if (scope === undefined) {
        return sql.oldConversations.all({ ...range, afterId: after?.id ?? 0 }).map(oldConversation);
      }
      // Within one time the order is descending, so it begins above every id: with characters beyond those in use.
      const afterContextId = after?.key.contextId ?? "\u{10ffff}".repeat(65);
      return sql.oldConversationsInScope.all({ ...range, scope: scopeKey(scope), afterContextId }).map(oldConversation);
    },
    conversationStats(scope, at) {
      const row =
        scope === undefined
          ? sql.conversationStats.get(livesOf(at))
          : sql.conversationStatsInScope.get({ scope: scopeKey(scope), ...livesOf(at) });
      const { conversations, messages, oldest, newest } = row as Row;
      return {
        totalConversations: conversations as number,
        totalMessages: messages as number,
        ...(oldest !== null && { oldestAccess: new Date(oldest as number) }),
        ...(newest !== null && { newestAccess: new Date(newest as number) }),
      };
    },

    addMessages(scope, conversation, messages) {
      for (const { messageId, timeMs, source } of messages) {
        const id = newMessageId();
        sql.addMessage.run({
          id,
          key: nameKey(scope, messageId),
          conversation,
          timeMs,
          messageId,
          ...sourceColumns(source, id),
        });
      }
    },
    removeMessages(ids) {
      for (const id of ids) {
        sql.removeMessage.run({ id });
      }
    },
    removeOldestMessages: (conversation, count) => run(sql.removeOldestMessages, { conversation, count }),
    messageIds(conversation) {
      return sql.messageIds.all({ conversation }).map(as<{ id: number; messageId: string }>);
    },
    messagesOfTask: (task) => sql.messagesOfTask.all({ task }).map(idOf),
    messagesWithoutTask: (scope, conversation, messageId) =>
      sql.messagesWithoutTask.all({ key: nameKey(scope, messageId), conversation }).map(idOf),
    messagesNamed(scope, messageId, at) {
      return sql.messagesByKey
        .all({ key: nameKey(scope, messageId), ...livesOf(at) })
        .map(as<{ id: number; conversation: number }>);
    },
    lastMessages(scope, messageIds, at) {
      const lives = livesOf(at);
      return messageIds
        .map((messageId) => sql.lastMessageByKey.get({ key: nameKey(scope, messageId), ...lives }))
        .filter((row) => row !== undefined)
        .map((row): FoundMessage => ({ ...messageRow(row), contextId: row.contextId as string }));
    },
    newestMessages(conversation, limit) {
      // To SQLite a negative limit is none.
      return sql.newestMessages.all({ conversation, limit: limit ?? -1 }).map(messageRow);
    },
    messagesAfter(conversation, after, limit) {
      const place = {
        afterTimeMs: after?.timeMs ?? Number.MIN_SAFE_INTEGER,
        afterTaskId: after?.taskId ?? "",
        afterSequence: after?.sequence ?? 0,
      };
      return sql.messagesAfter.all({ conversation, ...place, limit }).map(messageRow);
    },

    claims(scope, messageId, at) {
      const { nowMs, liveSince, heldSince } = at;
      return sql.findClaims
        .all({ messageKey: nameKey(scope, messageId), nowMs, liveSince, heldSince })
        .map((row) => as<ClaimRow>({ ...row, answer: row.answer ?? undefined, held: row.held === 1 }));
    },
    putClaim: (scope, { messageId, contentHash, taskId }, endsMs) =>
      idOf(sql.putClaim.get({ messageKey: nameKey(scope, messageId), contentHash, taskId, endsMs }) as Row),
    settleClaim: (id, conversation, answer) => run(sql.settleClaim, { id, conversation, answer: answer ?? null }),
    removeClaimsOfTask: (conversation, taskId) => run(sql.removeClaimsOfTask, { conversation, taskId }),
  };
}

/** The parameters of the conditions in `conditions.ts`. SQLite refuses a parameter that a statement doesn't have. */
export function livesOf({ liveSince, heldSince }: Moment): { readonly liveSince: number; readonly heldSince: number } {
  return { liveSince, heldSince };
}

function oldConversation({ id, tenant, owner, contextId, lastAccessMs, held }: Row): OldConversation {
  return as({ id, key: { tenant, owner, contextId }, lastAccessMs, held: held === 1 });
}

function sourceColumns(source: NewMessage["source"], id: number) {
  return "task" in source
    ? { task: source.task, taskId: source.taskId, sequence: source.sequence, bytes: null }
    : { task: null, taskId: "", sequence: id, bytes: source.bytes };
}

function messageRow({ timeMs, taskId, sequence, task, bytes }: Row): MessageRow {
  return as({ timeMs, taskId, sequence, source: bytes === null ? { task } : { bytes } });
}
