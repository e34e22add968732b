import { StorageError } from "../../storage-error.ts";
import { momentOf } from "../../tables/moment.ts";
import { runAtOnce } from "../../tables/steps.ts";
import { storageErrorOf, toWire } from "../errors.ts";
import { readGroupBytesMax } from "../limits.ts";
import type { SqliteContext } from "./context.ts";
import type { Operations } from "./operations.ts";
import type { Call, Reply } from "./protocol.ts";
import { findTransferable } from "./transfer.ts";

/**
 * Carries out calls in one transaction, each under a savepoint of its own. A call that fails leaves nothing behind and
 * harms no other. The replies exist only after COMMIT returned. If COMMIT fails, the outcome of every call is unknown.
 */
export function runWrites(context: SqliteContext, operations: Operations, calls: readonly Call[]): readonly Reply[] {
  const { db } = context;
  let replies: readonly Reply[];
  try {
    db.exec("BEGIN IMMEDIATE");
    replies = calls.map((call) => runUnderSavepoint(context, operations, call));
    if (!db.isTransaction) {
      // SQLite itself rolls back everything on some errors, such as a full disk: also what had been done before.
      throw new StorageError("unavailable", "The SQLite database undid the transaction");
    }
  } catch (error) {
    rollBack(context);
    return failAll(calls, storageErrorOf(error));
  }
  try {
    db.exec("COMMIT");
  } catch (error) {
    rollBack(context);
    // SQLite's error texts on COMMIT quote no data, and an operator must see that a disk is full.
    const why = error instanceof Error ? `: ${error.message}` : "";
    return failAll(
      calls,
      new StorageError("unavailable", `The SQLite database failed to commit${why}`, {
        outcome: "unknown",
        cause: error,
      }),
    );
  }
  return replies;
}

/**
 * Carries out calls on one snapshot of the database. It is taken after the last call arrived, so it holds all that was
 * answered. Stops when the answers are large, so that the first answers don't wait for the last; the other calls are
 * left to the next group.
 */
export function runReads(context: SqliteContext, operations: Operations, calls: readonly Call[]): readonly Reply[] {
  const { db } = context;
  try {
    db.exec("BEGIN");
    const replies: Reply[] = [];
    for (const call of calls) {
      replies.push(run(context, operations, call));
      if (sizeOf(context.handedOver) > readGroupBytesMax) {
        break;
      }
    }
    return replies;
  } catch (error) {
    return failAll(calls, storageErrorOf(error));
  } finally {
    rollBack(context);
  }
}

function runUnderSavepoint(context: SqliteContext, operations: Operations, call: Call): Reply {
  const { sql, db } = context;
  if (!db.isTransaction) {
    return { id: call.id, error: toWire(new StorageError("unavailable", "The SQLite database undid the transaction")) };
  }
  sql.savepoint.run();
  const reply = run(context, operations, call);
  if ("error" in reply && db.isTransaction) {
    sql.rollbackToSavepoint.run();
  }
  if (db.isTransaction) {
    sql.releaseSavepoint.run();
  }
  return reply;
}

function run(context: SqliteContext, operations: Operations, { id, name, args }: Call): Reply {
  try {
    const operation = operations[name];
    if (operation === undefined) {
      throw new Error(`There is no operation "${name}"`);
    }
    const { tables, clock } = context;
    const at = momentOf(clock.read(), tables.retention, clock.earliest);
    const value = runAtOnce(operation(tables, args as never, at));
    findTransferable(value, context.handedOver);
    return { id, value };
  } catch (error) {
    return { id, error: toWire(storageErrorOf(error)) };
  }
}

function sizeOf(buffers: ReadonlySet<ArrayBuffer>): number {
  let size = 0;
  for (const { byteLength } of buffers) {
    size += byteLength;
  }
  return size;
}

/** The same failure for all calls. */
export function failAll(calls: readonly Call[], error: unknown): readonly Reply[] {
  const wire = toWire(error);
  return calls.map(({ id }) => ({ id, error: wire }));
}

function rollBack({ db }: SqliteContext): void {
  if (db.isTransaction) {
    db.exec("ROLLBACK");
  }
}
