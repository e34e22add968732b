import { statSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import {
  abandonedPiecesMax,
  busyTimeoutMs,
  cacheBytes,
  commitsPerWalCheck,
  walBytesKept,
  walPagesMax,
} from "../limits.ts";
import { migrate } from "../rows/schema.ts";
import { withPrefix } from "../rows/statements.ts";

/** The one connection that writes. Makes the file and brings its schema up to date. */
export function openWriter(file: string, prefix: string): DatabaseSync {
  return open(file, (db) => {
    enableIncrementalVacuum(db);
    const mode = db.prepare("PRAGMA journal_mode = WAL").get()?.journal_mode;
    if (mode !== "wal") {
      throw new Error(`The file system of "${file}" doesn't allow a write-ahead log`);
    }
    db.exec(`
      -- Each commit is on the disk before it is answered.
      PRAGMA synchronous = FULL;
      PRAGMA wal_autocheckpoint = ${walPagesMax};
      PRAGMA journal_size_limit = ${walBytesKept};
      -- What a savepoint needs to be undone; the default writes it to a file when it grows.
      PRAGMA temp_store = MEMORY;
    `);
    migrate(db, prefix);
    removeAbandonedPieces(db, prefix);
  });
}

/**
 * Makes the database one that can give the space of removed rows back to the file system. The setting is part of a new
 * file. A database that was made without it is rewritten once, which needs as much space again; if that fails, as on a
 * full disk, the database works as before, and the next start tries again.
 */
function enableIncrementalVacuum(db: DatabaseSync): void {
  if (db.prepare("PRAGMA auto_vacuum").get()?.auto_vacuum === incremental) {
    return;
  }
  db.exec("PRAGMA auto_vacuum = INCREMENTAL");
  if (db.prepare("PRAGMA page_count").get()?.page_count === 0) {
    return;
  }
  try {
    db.exec("VACUUM");
  } catch {
    // Space is then used again for new rows, but not given back.
  }
}

/** The value of `PRAGMA auto_vacuum` (https://www.sqlite.org/pragma.html#pragma_auto_vacuum). */
const incremental = 2;

/**
 * Removes the pieces of snapshots that a crash kept from being completed. None is under way: the lock is held, and this
 * process has begun none yet.
 */
function removeAbandonedPieces(db: DatabaseSync, prefix: string): void {
  const remove = db.prepare(
    withPrefix(
      prefix,
      `DELETE FROM {snapshots} WHERE id IN (
        SELECT s.id FROM {snapshots} AS s JOIN {tasks} AS t ON t.id = s.task WHERE s.snapshot IS NOT t.snapshot
        LIMIT ${abandonedPiecesMax}
      )`,
    ),
  );
  while (Number(remove.run().changes) > 0);
}

/** A connection that can't write, for a file that a writer has opened. */
export function openReader(file: string): DatabaseSync {
  return open(file, (db) => db.exec("PRAGMA query_only = ON"));
}

/**
 * The result is called before each group. SQLite's own checkpoints never wait, so the write-ahead log grows as long as
 * some reader is always busy. When it is long, this checkpoint waits until no reader needs it.
 */
export function createWalLimiter(db: DatabaseSync, file: string): () => void {
  let commits = 0;
  return () => {
    commits += 1;
    if (
      commits % commitsPerWalCheck === 0 &&
      (statSync(`${file}-wal`, { throwIfNoEntry: false })?.size ?? 0) > walBytesKept
    ) {
      try {
        db.exec("PRAGMA wal_checkpoint(RESTART)");
      } catch {
        // Nothing is lost. A disk that fails here fails the next commit as well, whose callers get the error.
      }
    }
  };
}

/** Cuts pages that were given back off the file. What a reader still needs is left to the next checkpoint. */
export function cutFile(db: DatabaseSync): void {
  try {
    db.exec("PRAGMA wal_checkpoint(PASSIVE)");
  } catch {
    // Nothing is lost, as above.
  }
}

function open(file: string, setUp: (db: DatabaseSync) => void): DatabaseSync {
  const db = new DatabaseSync(file, { timeout: busyTimeoutMs });
  try {
    // The unit is KiB when negative.
    db.exec(`PRAGMA cache_size = -${cacheBytes / 1024}`);
    setUp(db);
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}
