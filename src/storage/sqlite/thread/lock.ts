import { hostname } from "node:os";
import { pid } from "node:process";
import { DatabaseSync } from "node:sqlite";
import { pathToFileURL } from "node:url";
import { StorageError } from "../../storage-error.ts";

/**
 * The lock that keeps a database to one server. It is a second SQLite file, which the holder keeps in exclusive mode
 * from before it opens the database until after it closed it (docs/adr/0014-sqlite-files.md). The system releases it
 * with the process, however that ends. A lock on the database itself would shut out the reader of the same server.
 */
export interface DatabaseLock {
  readonly path: string;
  release(): void;
}

/** The lock's file, one for each prefix: storages with different prefixes share a database. */
export function lockPathOf(file: string, prefix: string): string {
  return `${file}-${prefix}lock`;
}

/** Takes the lock, or throws "unavailable" with the process that holds it. Waits for nobody. */
export function lockDatabase(file: string, prefix: string): DatabaseLock {
  const path = lockPathOf(file, prefix);
  const db = new DatabaseSync(path, { timeout: 0 });
  try {
    // Exclusive mode keeps the lock after COMMIT, so there is no moment at which the holder's row is there and the lock
    // is not.
    db.exec("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE");
    db.exec(`CREATE TABLE IF NOT EXISTS holder (
      id INTEGER PRIMARY KEY CHECK (id = 1), pid INTEGER NOT NULL, host TEXT NOT NULL, since TEXT NOT NULL
    ) STRICT`);
    db.prepare("INSERT OR REPLACE INTO holder (id, pid, host, since) VALUES (1, ?, ?, ?)").run(
      pid,
      hostname(),
      new Date().toISOString(),
    );
    db.exec("COMMIT");
  } catch (error) {
    db.close();
    throw isBusy(error)
      ? new StorageError(
          "unavailable",
          `The SQLite database "${file}" is in use by ${holderOf(path)}; ` +
            "stop that server first, or use another database",
        )
      : error;
  }
  return { path, release: () => db.close() };
}

/** The holder as its row says. "Immutable" reads without a lock: the holder has written its row and writes no more. */
function holderOf(path: string): string {
  const url = pathToFileURL(path);
  url.search = "?mode=ro&immutable=1";
  try {
    using db = new DatabaseSync(url);
    const { pid: holder, host, since } = db.prepare("SELECT pid, host, since FROM holder").get() ?? {};
    return `process ${holder} on host "${host}" since ${since}`;
  } catch {
    // The holder is just writing it.
    return "another process";
  }
}

function isBusy(error: unknown): boolean {
  const { errcode } = error as { readonly errcode?: unknown };
  return errcode === busyCode;
}

/** SQLITE_BUSY (https://www.sqlite.org/rescode.html#busy). */
const busyCode = 5;
