import { held, live } from "./conditions.ts";

/**
 * The columns of a header. A fence is read as text: it may be any 64-bit number, and a JavaScript number holds 53 bits.
 */
const header = `t.id, t.task_id AS taskId, c.context_id AS contextId, t.head, t.batch, t.state,
      t.status_time_ms AS statusTimeMs, t.replica, CAST(t.fence AS TEXT) AS fence, s.bytes AS summary,
      t.log_bytes AS logBytes`;

/** Statements on tasks, their logs and what hangs on one task. */
export const taskSql = {
  findTask: `
    SELECT t.id, t.conversation, t.state, t.status_time_ms AS statusTimeMs, t.replica, t.runner,
      CAST(t.fence AS TEXT) AS fence, t.head, t.batch, t.snapshot_sequence AS snapshotSequence,
      c.message_count AS messageCount, ${live} AS live
    FROM {tasks} AS t JOIN {conversations} AS c ON c.id = t.conversation
    WHERE t.key = :key`,
  addTask: `
    INSERT INTO {tasks}
      (key, conversation, scope, task_id, state, status_time_ms, replica, runner, fence, head, batch, log_bytes)
    VALUES
      (:key, :conversation, :scope, :taskId, :state, :statusTimeMs, :replica, :runner, :fence, :head, :batch,
        :logBytes)`,
  // The usual append changes no column that an index holds, so none is written.
  advanceTask: `
    UPDATE {tasks} SET head = :head, batch = :batch, log_bytes = log_bytes + :logBytes, fence = :fence
    WHERE id = :id AND head = :afterHead AND batch = :afterBatch AND fence = :afterFence`,
  changeTask: `
    UPDATE {tasks} SET head = :head, batch = :batch, log_bytes = log_bytes + :logBytes, fence = :fence,
      state = :state, status_time_ms = :statusTimeMs, replica = :replica, runner = :runner
    WHERE id = :id AND head = :afterHead AND batch = :afterBatch AND fence = :afterFence`,
  // Without a key nothing finds the row. It stays until the sweep has removed the rows that refer to it.
  hideTask: `UPDATE {tasks} SET key = NULL, conversation = NULL, scope = NULL, state = 0, runner = NULL WHERE id = :id`,
  addSegment: `
    INSERT INTO {segments} (task, first, count, batch, bytes) VALUES (:task, :first, :count, :batch, :bytes)`,
  putSummary: `
    INSERT INTO {summaries} (task, bytes) VALUES (:task, :bytes)
    ON CONFLICT (task) DO UPDATE SET bytes = excluded.bytes`,

  getTask: `
    SELECT ${header}, t.snapshot, t.snapshot_sequence AS sequence
    FROM {tasks} AS t JOIN {conversations} AS c ON c.id = t.conversation JOIN {summaries} AS s ON s.task = t.id
    WHERE t.key = :key AND ${live}`,
  readSegments: `
    SELECT first, count, batch, bytes FROM {segments}
    WHERE task = :task AND first >= (SELECT max(first) FROM {segments} WHERE task = :task AND first <= :from)
    ORDER BY first`,
  findSegment: `
    SELECT first, count, batch, bytes FROM {segments}
    WHERE task = :task AND first <= :sequence ORDER BY first DESC LIMIT 1`,

  // A page of tasks, by what there is to filter; the place before the first is above all.
  pageByScope: page("{tasks}_by_scope", "t.scope = :scope"),
  pageByState: page("{tasks}_by_state", "t.scope = :scope AND t.state = :state"),
  pageByConversation: page(
    "{tasks}_by_conversation",
    "t.conversation = :conversation AND (:state IS NULL OR t.state = :state)",
  ),
  // Counting all and taking away what is past its time reads indexes alone, but for the conversations past their time,
  // which are few.
  countByScope: `
    SELECT count(*) AS count FROM {tasks} AS t
    WHERE t.scope = :scope AND t.status_time_ms >= :statusTimeMsMin`,
  countByState: `
    SELECT count(*) AS count FROM {tasks} AS t
    WHERE t.scope = :scope AND t.state = :state AND t.status_time_ms >= :statusTimeMsMin`,
  countByConversation: `
    SELECT count(*) AS count FROM {tasks} AS t
    WHERE t.conversation = :conversation AND t.status_time_ms >= :statusTimeMsMin
      AND (:state IS NULL OR t.state = :state)`,
  countPast: `
    SELECT count(*) AS count FROM {conversations} AS c CROSS JOIN {tasks} AS t ON t.conversation = c.id
    WHERE c.key IS NOT NULL AND c.scope = :scope AND c.last_access_ms < :liveSince AND NOT ${held}
      AND t.status_time_ms >= :statusTimeMsMin AND (:state IS NULL OR t.state = :state)`,
  countRemoved: `
    SELECT count(*) AS count FROM {conversations} AS c CROSS JOIN {tasks} AS t ON t.conversation = c.id
    WHERE c.key IS NULL AND c.scope = :scope
      AND t.status_time_ms >= :statusTimeMsMin AND (:state IS NULL OR t.state = :state)`,

  addSnapshotPiece: `INSERT INTO {snapshots} (task, snapshot, piece, bytes) VALUES (:task, :snapshot, :piece, :bytes)`,
  nameSnapshot: `
    UPDATE {tasks} SET snapshot = :snapshot, snapshot_sequence = :sequence
    WHERE id = :id AND snapshot_sequence < :sequence AND head >= :sequence`,
  removeOtherSnapshots: `DELETE FROM {snapshots} WHERE task = :task AND snapshot IS NOT :snapshot`,
  countSnapshotPieces: `SELECT count(*) AS count FROM {snapshots} WHERE task = :task AND snapshot = :snapshot`,
  snapshotPieces: `SELECT bytes FROM {snapshots} WHERE task = :task AND snapshot = :snapshot ORDER BY piece`,

  addCommand: `
    INSERT INTO {requests} (task, request_id, bytes) VALUES (:task, :commandId, :bytes) ON CONFLICT DO NOTHING`,
  removeCommand: `DELETE FROM {requests} WHERE task = :task AND request_id = :commandId`,
  listCommands: `SELECT request_id AS id, bytes FROM {requests} WHERE task = :task ORDER BY {requests}.id`,

  putConfig: `
    INSERT INTO {push_notifications} (task, config_id, bytes) VALUES (:task, :configId, :bytes)
    ON CONFLICT (task, config_id) DO UPDATE SET bytes = excluded.bytes`,
  getConfig: `SELECT bytes FROM {push_notifications} WHERE task = :task AND config_id = :configId`,
  listConfigs: `SELECT bytes FROM {push_notifications} WHERE task = :task ORDER BY config_id`,
  removeConfig: `DELETE FROM {push_notifications} WHERE task = :task AND config_id = :configId`,

  addReplica: `
    INSERT INTO {replicas} (replica, counter, beat_ms) VALUES (:replica, 1, :nowMs) ON CONFLICT (replica) DO NOTHING`,
  heartbeat: `UPDATE {replicas} SET counter = counter + 1, beat_ms = :nowMs WHERE replica = :replica`,
  removeReplica: `DELETE FROM {replicas} WHERE replica = :replica AND (:counter IS NULL OR counter = :counter)`,
  listReplicas: `SELECT replica, counter FROM {replicas} ORDER BY replica`,
  forgetReplicas: `
    DELETE FROM {replicas} WHERE beat_ms < :before
      AND NOT EXISTS (SELECT 1 FROM {tasks} AS t WHERE t.runner = {replicas}.replica)`,
  nextRunner: `SELECT runner FROM {tasks} WHERE runner > :after ORDER BY runner LIMIT 1`,
  lastRunningTask: `SELECT max(id) AS id FROM {tasks} WHERE runner = :replica`,
  runningTasks: `
    SELECT c.tenant, c.owner, t.task_id AS taskId
    FROM {tasks} AS t CROSS JOIN {conversations} AS c ON c.id = t.conversation
    WHERE t.runner = :replica AND t.id >= :from AND t.id < :to AND c.key IS NOT NULL
    ORDER BY t.id LIMIT :limit`,
} as const;

/** The index is named, since for a state SQLite would rather walk all tasks of the scope. */
function page(index: string, filter: string): string {
  return `
    SELECT ${header}
    FROM {tasks} AS t INDEXED BY ${index}
      CROSS JOIN {conversations} AS c ON c.id = t.conversation CROSS JOIN {summaries} AS s ON s.task = t.id
    WHERE ${filter} AND (t.status_time_ms, t.task_id) < (:afterTimeMs, :afterTaskId)
      AND t.status_time_ms >= :statusTimeMsMin AND ${live}
    ORDER BY t.status_time_ms DESC, t.task_id DESC LIMIT :limit`;
}
