import type { Retention } from "../../storage.ts";
import type { Moment } from "../../tables/moment.ts";
import { readOperations, writeOperations } from "../../tables/operations/operations.ts";
import type { Steps } from "../../tables/steps.ts";
import type { SqliteTables } from "../rows/tables.ts";

/** What a thread can be asked to do: the operations on tables, and to keep the retention. */
export type Operations = Readonly<Record<string, (tables: SqliteTables, args: never, at: Moment) => Steps<unknown>>>;

export type WriterOperations = typeof writerOperations;
export type ReaderOperations = typeof readerOperations;

// biome-ignore lint/correctness/useYield: It waits for nothing.
function* setRetention(tables: SqliteTables, { retention }: { readonly retention: Retention }): Steps<void> {
  tables.retention = retention;
}

export const writerOperations = { ...writeOperations, setRetention } satisfies Operations;
export const readerOperations = { ...readOperations, setRetention } satisfies Operations;
