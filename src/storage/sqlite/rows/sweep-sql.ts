import { pagesGivenBackMax } from "../limits.ts";

/**
 * Statements that remove the rows of what is hidden. Rows with bytes are found with their size first, so that one step
 * stays small; `length` of a blob doesn't read it.
 */
export const sweepSql = {
  removedConversation: `SELECT id FROM {conversations} WHERE key IS NULL LIMIT 1`,
  conversationMessages: `
    SELECT id, coalesce(length(bytes), 0) AS size FROM {messages} WHERE conversation = :of LIMIT :limit`,
  conversationClaims: `
    SELECT id, coalesce(length(answer), 0) AS size FROM {claims} WHERE conversation = :of LIMIT :limit`,
  tasksOfConversation: `SELECT id FROM {tasks} WHERE conversation = :conversation LIMIT :limit`,
  removeConversation: `DELETE FROM {conversations} WHERE id = :id`,

  removedTask: `SELECT id FROM {tasks} WHERE key IS NULL LIMIT 1`,
  taskMessages: `SELECT id, 0 AS size FROM {messages} WHERE task = :of LIMIT :limit`,
  taskSegments: `SELECT id, length(bytes) AS size FROM {segments} WHERE task = :of LIMIT :limit`,
  taskSnapshots: `SELECT id, length(bytes) AS size FROM {snapshots} WHERE task = :of LIMIT :limit`,
  taskCommands: `SELECT id, length(bytes) AS size FROM {requests} WHERE task = :of LIMIT :limit`,
  removeConfigs: `DELETE FROM {push_notifications} WHERE task = :task`,
  removeSummary: `DELETE FROM {summaries} WHERE task = :task`,
  removeTask: `DELETE FROM {tasks} WHERE id = :id`,

  endedClaims: `SELECT id, coalesce(length(answer), 0) AS size FROM {claims} WHERE ends_ms <= :of LIMIT :limit`,

  freePages: `PRAGMA freelist_count`,
  allPages: `PRAGMA page_count`,
  giveBackPages: `PRAGMA incremental_vacuum(${pagesGivenBackMax})`,

  removeClaim: `DELETE FROM {claims} WHERE id = :id`,
  removeSegment: `DELETE FROM {segments} WHERE id = :id`,
  removeSnapshot: `DELETE FROM {snapshots} WHERE id = :id`,
  removeCommandRow: `DELETE FROM {requests} WHERE id = :id`,
} as const;
