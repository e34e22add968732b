import type { DatabaseSync } from "node:sqlite";
import { WallClock } from "../../../runtime/wall-clock.ts";
import { prepareStatements, type Statements } from "../rows/statements.ts";
import { createTables, type SqliteTables } from "../rows/tables.ts";

/** What a thread works with. */
export interface SqliteContext {
  readonly db: DatabaseSync;
  readonly sql: Statements;
  readonly tables: SqliteTables;
  readonly clock: WallClock;
  /** Buffers of the next answers that change threads without a copy. */
  readonly handedOver: Set<ArrayBuffer>;
}

export function createContext(
  db: DatabaseSync,
  { prefix, maxHistoryLength }: { readonly prefix: string; readonly maxHistoryLength: number },
): SqliteContext {
  const sql = prepareStatements(db, prefix);
  return { db, sql, tables: createTables(sql, maxHistoryLength), clock: new WallClock(), handedOver: new Set() };
}
