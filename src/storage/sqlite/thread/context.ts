import type { DatabaseSync, SQLOutputValue } from "node:sqlite";
import type { Retention } from "../../storage.ts";
import { transferBytesMin } from "../limits.ts";
import { prepareStatements, type Statements } from "../rows/statements.ts";

/** What an operation works with, inside a worker. */
export interface SqliteContext {
  readonly db: DatabaseSync;
  readonly sql: Statements;
  readonly maxHistoryLength: number;
  retention: Retention;
  /** Buffers of the answers at hand that change threads without a copy. */
  readonly handedOver: ArrayBuffer[];
}

export type Row = Record<string, SQLOutputValue>;

export function createContext(
  db: DatabaseSync,
  options: { readonly prefix: string; readonly maxHistoryLength: number },
): SqliteContext {
  return {
    db,
    sql: prepareStatements(db, options.prefix),
    maxHistoryLength: options.maxHistoryLength,
    retention: { conversationTtlMs: Number.POSITIVE_INFINITY, interruptedTtlMs: Number.POSITIVE_INFINITY },
    handedOver: [],
  };
}

/** The moments that decide what can be found, as the conditions in `sqlite-conditions.ts` want them. */
export interface LifeTimes {
  /** A conversation accessed before it is past its time, unless it is held. */
  readonly liveSince: number;
  /** An interrupted task holds its conversation if its status is younger than this. */
  readonly heldSince: number;
}

export function lifeTimes({ retention }: SqliteContext, nowMs: number): LifeTimes {
  return {
    liveSince: before(nowMs, retention.conversationTtlMs),
    heldSince: before(nowMs, retention.interruptedTtlMs),
  };
}

/** So many milliseconds ago, as a whole number that SQLite can compare: any moment is after "Infinity ago". */
export function before(nowMs: number, ageMs: number): number {
  return Math.max(Math.ceil(nowMs - ageMs), Number.MIN_SAFE_INTEGER);
}

/**
 * Marks the bytes of an answer, when they are many, as the receiver's. They must be a whole buffer and not be used here
 * afterwards.
 */
export function handOver(context: SqliteContext, bytes: Uint8Array): Uint8Array {
  if (
    bytes.byteLength >= transferBytesMin &&
    bytes.buffer instanceof ArrayBuffer &&
    bytes.byteLength === bytes.buffer.byteLength
  ) {
    context.handedOver.push(bytes.buffer);
  }
  return bytes;
}
