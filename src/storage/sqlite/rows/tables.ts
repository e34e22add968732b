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
}

export function createTables(sql: Statements, maxHistoryLength: number): SqliteTables {
  return {
    maxHistoryLength,
    retention: keepForever,
    ...conversationTables(sql),
    ...taskTables(sql),
    removed: removedRows(sql),
  };
}
