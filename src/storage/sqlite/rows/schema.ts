import type { DatabaseSync } from "node:sqlite";
import { StorageError } from "../../storage-error.ts";
import { withPrefix } from "./statements.ts";

/** One step of the schema. Never changed once released: a change is a new one. */
export interface Migration {
  readonly version: number;
  /** The oldest version whose code can still work on the result. */
  readonly readableBy: number;
  readonly sql: string;
}

/**
 * Version 1. Keys of what clients name are SHA-256 (`hashKey`), ids inside are row numbers.
 *
 * - `conversations.id` is the incarnation: everything that belongs to a conversation refers to it, never to the context
 *   id. A conversation or task without a `key` was removed: nothing finds it, and the sweep takes its rows away.
 * - `tasks.runner` is the replica that has something to do on the task, if any has.
 * - The row of a task holds only what an append changes, so that changing it costs the same however large the task's
 *   texts are; the summary is therefore beside it.
 * - An index ends with the row number by itself, which is what several queries order by.
 * - Segments have row numbers although (task, first) would do as their key. Measured with 640 tasks in turns: with 1
 *   KiB a row the table takes 93,000 inserts/s in 44 MB; keyed by (task, first) it takes 23,000 in 150 MB, because rows
 *   of many tasks then land on as many pages and an index page keeps large rows elsewhere.
 */
const version1 = `
CREATE TABLE {conversations} (
  id INTEGER PRIMARY KEY,
  key BLOB UNIQUE,
  scope BLOB NOT NULL,
  tenant TEXT NOT NULL,
  owner TEXT NOT NULL,
  context_id TEXT NOT NULL,
  last_access_ms INTEGER NOT NULL,
  message_count INTEGER NOT NULL
) STRICT;
CREATE INDEX {conversations}_by_access ON {conversations} (last_access_ms) WHERE key IS NOT NULL;
CREATE INDEX {conversations}_by_scope ON {conversations} (scope, last_access_ms DESC, context_id) WHERE key IS NOT NULL;

CREATE TABLE {tasks} (
  id INTEGER PRIMARY KEY,
  key BLOB UNIQUE,
  conversation INTEGER REFERENCES {conversations} (id),
  scope BLOB,
  task_id TEXT NOT NULL,
  state INTEGER NOT NULL,
  status_time_ms INTEGER NOT NULL,
  replica TEXT NOT NULL,
  runner TEXT,
  fence INTEGER NOT NULL,
  head INTEGER NOT NULL,
  batch TEXT NOT NULL,
  log_bytes INTEGER NOT NULL,
  snapshot INTEGER,
  snapshot_sequence INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX {tasks}_by_scope ON {tasks} (scope, status_time_ms, task_id) WHERE scope IS NOT NULL;
CREATE INDEX {tasks}_by_state ON {tasks} (scope, state, status_time_ms, task_id) WHERE scope IS NOT NULL;
CREATE INDEX {tasks}_by_conversation ON {tasks} (conversation, status_time_ms, task_id);
CREATE INDEX {tasks}_holding ON {tasks} (conversation, state, status_time_ms) WHERE state IN (1, 2, 6, 8);
CREATE INDEX {tasks}_running ON {tasks} (runner) WHERE runner IS NOT NULL;

CREATE TABLE {summaries} (
  task INTEGER PRIMARY KEY REFERENCES {tasks} (id),
  bytes BLOB NOT NULL
) STRICT;

CREATE TABLE {segments} (
  id INTEGER PRIMARY KEY,
  task INTEGER NOT NULL REFERENCES {tasks} (id),
  first INTEGER NOT NULL,
  count INTEGER NOT NULL,
  batch TEXT NOT NULL,
  bytes BLOB NOT NULL,
  UNIQUE (task, first)
) STRICT;

CREATE TABLE {snapshots} (
  id INTEGER PRIMARY KEY,
  task INTEGER NOT NULL REFERENCES {tasks} (id),
  snapshot INTEGER NOT NULL,
  piece INTEGER NOT NULL,
  bytes BLOB NOT NULL,
  UNIQUE (task, snapshot, piece)
) STRICT;

CREATE TABLE {requests} (
  id INTEGER PRIMARY KEY,
  task INTEGER NOT NULL REFERENCES {tasks} (id),
  request_id TEXT NOT NULL,
  bytes BLOB NOT NULL,
  UNIQUE (task, request_id)
) STRICT;
CREATE INDEX {requests}_by_age ON {requests} (task);

CREATE TABLE {push_notifications} (
  task INTEGER NOT NULL REFERENCES {tasks} (id),
  config_id TEXT NOT NULL,
  bytes BLOB NOT NULL,
  PRIMARY KEY (task, config_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE {messages} (
  id INTEGER PRIMARY KEY,
  key BLOB NOT NULL,
  conversation INTEGER NOT NULL REFERENCES {conversations} (id),
  time_ms INTEGER NOT NULL,
  task_id TEXT NOT NULL,
  sequence INTEGER NOT NULL,
  message_id TEXT NOT NULL,
  task INTEGER REFERENCES {tasks} (id),
  bytes BLOB,
  CHECK ((task IS NULL) = (bytes IS NOT NULL)),
  UNIQUE (conversation, time_ms, task_id, sequence)
) STRICT;
CREATE INDEX {messages}_by_key ON {messages} (key);
CREATE INDEX {messages}_by_task ON {messages} (task);

CREATE TABLE {claims} (
  id INTEGER PRIMARY KEY,
  message_key BLOB NOT NULL,
  content_hash TEXT NOT NULL,
  task_id TEXT NOT NULL,
  ends_ms INTEGER NOT NULL,
  conversation INTEGER REFERENCES {conversations} (id),
  answer BLOB,
  UNIQUE (message_key, content_hash)
) STRICT;
CREATE INDEX {claims}_by_end ON {claims} (ends_ms);
CREATE INDEX {claims}_by_conversation ON {claims} (conversation);

CREATE TABLE {replicas} (
  replica TEXT PRIMARY KEY,
  counter INTEGER NOT NULL,
  beat_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
`;

/** All of them, in order; a version is its place, from 1. */
export const migrations: readonly Migration[] = [{ version: 1, readableBy: 1, sql: version1 }];

/**
 * Brings a database to the newest schema, in one transaction. Throws "invalid" for one that a newer release has changed
 * so that this one can't work with it.
 */
export function migrate(db: DatabaseSync, prefix: string, steps: readonly Migration[] = migrations): void {
  // The version row is taken under the writer's lock, so two processes that open a new file at once don't both make the
  // tables.
  db.exec("BEGIN IMMEDIATE");
  try {
    db.exec(
      withPrefix(
        prefix,
        `CREATE TABLE IF NOT EXISTS {schema} (
          id INTEGER PRIMARY KEY CHECK (id = 1), version INTEGER NOT NULL, readable_by INTEGER NOT NULL
        ) STRICT`,
      ),
    );
    migrateFrom(db, prefix, steps);
    db.exec("COMMIT");
  } catch (error) {
    if (db.isTransaction) {
      db.exec("ROLLBACK");
    }
    throw error;
  }
}

function migrateFrom(db: DatabaseSync, prefix: string, steps: readonly Migration[]): void {
  const row = db.prepare(withPrefix(prefix, "SELECT version, readable_by FROM {schema} WHERE id = 1")).get();
  const version = Number(row?.version ?? 0);
  const readableBy = Number(row?.readable_by ?? 0);
  const newest = steps.length;
  if (readableBy > newest) {
    throw new StorageError(
      "invalid",
      `The database has schema version ${version}, which releases from schema version ${readableBy} on can read; ` +
        `this release has ${newest}`,
    );
  }
  const due = steps.slice(version);
  for (const step of due) {
    db.exec(withPrefix(prefix, step.sql));
  }
  const last = due.at(-1);
  if (last !== undefined) {
    db.prepare(
      withPrefix(
        prefix,
        `INSERT INTO {schema} (id, version, readable_by) VALUES (1, ?, ?)
         ON CONFLICT (id) DO UPDATE SET version = excluded.version, readable_by = excluded.readable_by`,
      ),
    ).run(last.version, last.readableBy);
  }
}
