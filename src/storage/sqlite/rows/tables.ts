import type { Retention } from "../../storage.ts";
import { keepForever } from "../../tables/moment.ts";
import type { Tables } from "../../tables/tables.ts";
import { conversationTables } from "./conversation-tables.ts";
import { removedRows } from "./removed-rows.ts";
import type { Statements } from "./statements.ts";
import { taskTables } from "./task-tables.ts";

/** The tables of one connection. Its statements are prepared once. */
export interface SqliteTables extends Tables {
  retention: Retention;
  /** Whether pages were given back that are in the file until a checkpoint cuts it. */
  shrunk: boolean;
}

export function createTables(sql: Statements, maxHistoryLength: number): SqliteTables {
  const tables: SqliteTables = {
    maxHistoryLength,
    retention: keepForever,
    shrunk: false,
    ...conversationTables(sql),
    ...taskTables(sql),
    removed: removedRows(sql, () => {
      tables.shrunk = true;
    }),
  };
  return tables;
}
