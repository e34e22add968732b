import type { Logger } from "../runtime/logger.ts";
import { createMemoryStorage } from "../storage/memory/storage.ts";
import { createSqliteStorage } from "../storage/sqlite/storage.ts";
import type { Storage, StorageOptions } from "../storage/storage.ts";

export interface OpenStorageOptions extends StorageOptions {
  /** Hears what an operator should know of the database. */
  readonly logger?: Logger;
}

interface Engine {
  /** How its URLs look, for people. */
  readonly form: string;
  /** What the URL must be instead, if what follows the scheme can't be used; undefined if it can. */
  fault(rest: string): string | undefined;
  open(url: string, rest: string, options: OpenStorageOptions): Promise<Storage>;
}

const engines: Readonly<Record<string, Engine>> = {
  memory: {
    form: "memory:",
    fault: (rest) => (rest === "" ? undefined : "memory: with nothing behind it"),
    open: async (_url, _rest, options) => createMemoryStorage(options),
  },
  sqlite: {
    form: "sqlite:PATH",
    // Two slashes would make a folder below the root of what looks like a relative path; `:memory:` is SQLite's name
    // for what `memory:` is here.
    fault: (rest) =>
      rest === "" || rest === ":memory:" || /^\/\/(?!\/)/.test(rest)
        ? "sqlite: and the path of a file, such as sqlite:./data/tasks.db"
        : undefined,
    open: (_url, rest, options) => createSqliteStorage(rest, options),
  },
  mongodb: mongo("mongodb://HOST/DATABASE"),
  "mongodb+srv": mongo("mongodb+srv://HOST/DATABASE"),
};

function mongo(form: string): Engine {
  return {
    form,
    fault: (rest) =>
      /^\/\/[^/]/.test(rest) ? undefined : `${form.slice(0, form.indexOf("//"))}//, hosts and the name of a database`,
    // Its driver is large: loaded only by those who use it.
    open: async (url, _rest, options) =>
      (await import("../storage/mongodb/storage.ts")).createMongoStorage(url, options),
  };
}

/** A storage URL as it may be shown: without the password in it. */
export function shownStorageUrl(url: string): string {
  return url.replace(/(\/\/[^:@/]*):[^@/]*@/, "$1:***@");
}

/** What a storage URL must be instead; undefined if it can be used. */
export function storageUrlFault(url: string): string | undefined {
  const { engine, rest } = parse(url);
  return engine === undefined
    ? `one of ${Object.values(engines)
        .map(({ form }) => form)
        .join(", ")}`
    : engine.fault(rest);
}

/**
 * Opens the storage that a URL names. Throws StorageError, and an Error for a URL that `storageUrlFault` finds a fault
 * in.
 */
export async function openStorage(url: string, options: OpenStorageOptions = {}): Promise<Storage> {
  const fault = storageUrlFault(url);
  const { engine, rest } = parse(url);
  if (engine === undefined || fault !== undefined)
    throw new Error(`Storage "${shownStorageUrl(url)}": must be ${fault}`);
  return engine.open(url, rest, options);
}

function parse(url: string): { readonly engine: Engine | undefined; readonly rest: string } {
  const colon = url.indexOf(":");
  const scheme = url.slice(0, Math.max(0, colon));
  return { engine: Object.hasOwn(engines, scheme) ? engines[scheme] : undefined, rest: url.slice(colon + 1) };
}
