import type { DatabaseSync, StatementSync } from "node:sqlite";
import { controlSql } from "./control-sql.ts";
import { conversationSql } from "./conversation-sql.ts";
import { sweepSql } from "./sweep-sql.ts";
import { taskSql } from "./task-sql.ts";

/** Every statement of the engine, by name. `{name}` in one stands for a table. */
export const allSql = { ...taskSql, ...conversationSql, ...sweepSql, ...controlSql };

export type Statements = { readonly [name in keyof typeof allSql]: StatementSync };

/** The statements of a connection, each prepared when it is first used and kept. */
export function prepareStatements(db: DatabaseSync, prefix: string): Statements {
  const statements = {};
  for (const [name, sql] of Object.entries(allSql)) {
    Object.defineProperty(statements, name, {
      configurable: true,
      get() {
        const statement = db.prepare(withPrefix(prefix, sql));
        Object.defineProperty(statements, name, { value: statement });
        return statement;
      },
    });
  }
  return statements as Statements;
}

/** Puts the prefix, which holds nothing that SQL gives a meaning to, before the names of tables and indexes. */
export function withPrefix(prefix: string, sql: string): string {
  return sql.replace(/\{(\w+)\}/g, `${prefix}$1`);
}
