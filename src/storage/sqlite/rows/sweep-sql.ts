/**
 * Statements that take away the rows of what was removed. What holds bytes is looked up with its size first, so that
 * one step stays small; `length` of a blob doesn't read it.
 */
export const sweepSql = {
  removedConversation: `SELECT id FROM {conversations} WHERE key IS NULL LIMIT 1`,
  messagesOfConversation: `SELECT id, coalesce(length(bytes), 0) AS size FROM {messages} WHERE conversation = :conversation LIMIT :limit`,
  claimsOfConversation: `SELECT id, coalesce(length(answer), 0) AS size FROM {claims} WHERE conversation = :conversation LIMIT :limit`,
  tasksOfConversation: `SELECT id FROM {tasks} WHERE conversation = :conversation LIMIT :limit`,
  deleteConversation: `DELETE FROM {conversations} WHERE id = :id`,

  removedTask: `SELECT id FROM {tasks} WHERE key IS NULL LIMIT 1`,
  messagesWithTask: `SELECT id, 0 AS size FROM {messages} WHERE task = :task LIMIT :limit`,
  segmentsOfTask: `SELECT id, length(bytes) AS size FROM {segments} WHERE task = :task LIMIT :limit`,
  snapshotsOfTask: `SELECT id, length(bytes) AS size FROM {snapshots} WHERE task = :task LIMIT :limit`,
  requestsOfTask: `SELECT id, length(bytes) AS size FROM {requests} WHERE task = :task LIMIT :limit`,
  deletePushNotifications: `DELETE FROM {push_notifications} WHERE task = :task`,
  deleteSummary: `DELETE FROM {summaries} WHERE task = :task`,
  deleteTask: `DELETE FROM {tasks} WHERE id = :id`,

  endedClaims: `SELECT id, coalesce(length(answer), 0) AS size FROM {claims} WHERE ends_ms <= :nowMs LIMIT :limit`,

  deleteMessageRow: `DELETE FROM {messages} WHERE id = :id`,
  deleteClaimRow: `DELETE FROM {claims} WHERE id = :id`,
  deleteSegmentRow: `DELETE FROM {segments} WHERE id = :id`,
  deleteSnapshotRow: `DELETE FROM {snapshots} WHERE id = :id`,
  deleteRequestRow: `DELETE FROM {requests} WHERE id = :id`,
} as const;
