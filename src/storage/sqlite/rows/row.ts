import type { SQLInputValue, SQLOutputValue, StatementSync } from "node:sqlite";
import type { Scope, TaskKey } from "../../../domain/scope.ts";
import { hashKey } from "../../key.ts";

/** A row as SQLite gives it. */
export type Row = Record<string, SQLOutputValue>;

/** What a statement's columns and the schema make of a row, which the compiler can't know. */
export function as<T>(row: unknown): T {
  return row as T;
}

/** Runs a statement whose result doesn't matter. */
export function run(statement: StatementSync, parameters: Record<string, SQLInputValue>): void {
  statement.run(parameters);
}

export function idOf(row: Row): number {
  return row.id as number;
}

export function scopeKey({ tenant, owner }: Scope): Uint8Array {
  return hashKey(tenant, owner);
}

/** The key of something that has a name of its own within a scope: a conversation or a message. */
export function nameKey({ tenant, owner }: Scope, name: string): Uint8Array {
  return hashKey(tenant, owner, name);
}

export function taskKey({ tenant, owner, taskId }: TaskKey): Uint8Array {
  return hashKey(tenant, owner, taskId);
}
