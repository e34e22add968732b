import { held, live } from "./conditions.ts";

/** Statements on conversations, messages and claims. */
export const conversationSql = {
  findConversation: `
    SELECT c.id, c.last_access_ms AS lastAccessMs, c.message_count AS messageCount, ${live} AS live
    FROM {conversations} AS c WHERE c.key = :key`,
  addConversation: `
    INSERT INTO {conversations} (key, scope, tenant, owner, context_id, last_access_ms, message_count)
    VALUES (:key, :scope, :tenant, :owner, :contextId, :lastAccessMs, 0)`,
  updateConversation: `
    UPDATE {conversations}
    SET message_count = message_count + :change, last_access_ms = coalesce(:lastAccessMs, last_access_ms)
    WHERE id = :id`,
  // Without a key nothing finds the row, and there can be another one of the same context id. The sweep removes it.
  hideConversation: `UPDATE {conversations} SET key = NULL WHERE id = :id`,
  pageConversations: `
    SELECT c.context_id AS contextId, c.last_access_ms AS lastAccessMs FROM {conversations} AS c
    WHERE c.scope = :scope AND c.last_access_ms <= :afterMs
      AND (c.last_access_ms < :afterMs OR c.context_id > :afterContextId) AND ${live}
    ORDER BY c.last_access_ms DESC, c.context_id LIMIT :limit`,
  // Held conversations are among the result, so that one step reads a bounded number of rows.
  oldConversations: `
    SELECT c.id, c.tenant, c.owner, c.context_id AS contextId, c.last_access_ms AS lastAccessMs, ${held} AS held
    FROM {conversations} AS c
    WHERE c.key IS NOT NULL AND c.last_access_ms < :before AND (c.last_access_ms, c.id) > (:afterMs, :afterId)
    ORDER BY c.last_access_ms, c.id LIMIT :limit`,
  oldConversationsInScope: `
    SELECT c.id, c.tenant, c.owner, c.context_id AS contextId, c.last_access_ms AS lastAccessMs, ${held} AS held
    FROM {conversations} AS c
    WHERE c.key IS NOT NULL AND c.scope = :scope AND c.last_access_ms < :before
      AND c.last_access_ms >= :afterMs AND (c.last_access_ms > :afterMs OR c.context_id < :afterContextId)
    ORDER BY c.last_access_ms, c.context_id DESC LIMIT :limit`,
  conversationStats: stats(""),
  conversationStatsInScope: stats("c.scope = :scope AND"),

  lastMessageId: `SELECT coalesce(max(id), 0) AS id FROM {messages}`,
  addMessage: `
    INSERT INTO {messages} (id, key, conversation, time_ms, task_id, sequence, message_id, task, bytes)
    VALUES (:id, :key, :conversation, :timeMs, :taskId, :sequence, :messageId, :task, :bytes)`,
  removeOldestMessages: `
    DELETE FROM {messages} WHERE id IN (
      SELECT id FROM {messages} WHERE conversation = :conversation ORDER BY time_ms, task_id, sequence LIMIT :count
    )`,
  removeMessage: `DELETE FROM {messages} WHERE id = :id`,
  messagesWithoutTask: `SELECT id FROM {messages} WHERE key = :key AND conversation = :conversation AND task IS NULL`,
  messagesByKey: `
    SELECT m.id, m.conversation FROM {messages} AS m CROSS JOIN {conversations} AS c ON c.id = m.conversation
    WHERE m.key = :key AND ${live}`,
  lastMessageByKey: `
    SELECT m.time_ms AS timeMs, m.task, m.task_id AS taskId, m.sequence, m.bytes, c.context_id AS contextId
    FROM {messages} AS m CROSS JOIN {conversations} AS c ON c.id = m.conversation
    WHERE m.key = :key AND ${live} ORDER BY m.id DESC LIMIT 1`,
  messagesOfTask: `SELECT id FROM {messages} WHERE task = :task`,
  newestMessages: `
    SELECT time_ms AS timeMs, task, task_id AS taskId, sequence, bytes FROM {messages}
    WHERE conversation = :conversation ORDER BY time_ms DESC, task_id DESC, sequence DESC LIMIT :limit`,
  messagesAfter: `
    SELECT time_ms AS timeMs, task, task_id AS taskId, sequence, bytes FROM {messages}
    WHERE conversation = :conversation AND (time_ms, task_id, sequence) > (:afterTimeMs, :afterTaskId, :afterSequence)
    ORDER BY time_ms, task_id, sequence LIMIT :limit`,
  messageIds: `
    SELECT id, message_id AS messageId
    FROM {messages} WHERE conversation = :conversation ORDER BY time_ms, task_id, sequence`,

  // A claim is held for its window, but not beyond the conversation that it led to.
  findClaims: `
    SELECT k.id, k.content_hash AS contentHash, k.task_id AS taskId, k.answer,
      (k.ends_ms > :nowMs AND (k.conversation IS NULL OR ${live})) AS held
    FROM {claims} AS k LEFT JOIN {conversations} AS c ON c.id = k.conversation
    WHERE k.message_key = :messageKey`,
  putClaim: `
    INSERT INTO {claims} (message_key, content_hash, task_id, ends_ms, conversation)
    VALUES (:messageKey, :contentHash, :taskId, :endsMs, NULL)
    ON CONFLICT (message_key, content_hash) DO UPDATE
    SET task_id = excluded.task_id, ends_ms = excluded.ends_ms, conversation = NULL, answer = NULL RETURNING id`,
  settleClaim: `UPDATE {claims} SET conversation = :conversation, answer = :answer WHERE id = :id`,
  removeClaimsOfTask: `DELETE FROM {claims} WHERE conversation = :conversation AND task_id = :taskId`,
} as const;

function stats(filter: string): string {
  return `
    SELECT count(*) AS conversations, coalesce(sum(c.message_count), 0) AS messages,
      min(c.last_access_ms) AS oldest, max(c.last_access_ms) AS newest
    FROM {conversations} AS c WHERE ${filter} ${live}`;
}
