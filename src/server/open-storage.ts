import type { Logger } from "../runtime/logger.ts";
import type { Storage, StorageOptions } from "../storage/storage.ts";

export interface OpenStorageOptions extends StorageOptions {
  /** Receives what an operator should know about the database. */
  readonly logger?: Logger;
}

/** The database driver of a storage is not installed. Drivers are optional peer dependencies of the package. */
export class MissingDriverError extends Error {}

interface Engine {
  /** The form of its URLs, for messages. */
  readonly form: string;
  /** What the URL must be if the part after the scheme is wrong; undefined if it is right. */
  fault(rest: string): string | undefined;
  /** Loads the engine and its driver only now, so that the other engines need neither memory nor installation. */
  open(url: string, rest: string, options: OpenStorageOptions): Promise<Storage>;
}

const engines: Readonly<Record<string, Engine>> = {
  memory: {
    form: "memory:",
    fault: (rest) => (rest === "" ? undefined : "memory: with nothing behind it"),
    open: async (_url, _rest, options) => (await import("../storage/memory/storage.ts")).createMemoryStorage(options),
  },
  sqlite: {
    form: "sqlite:PATH",
    // Two slashes look like the start of a relative path but would be read as a folder below the root. `:memory:` is
    // SQLite's own name for a database in memory; here that is `memory:`.
    fault: (rest) =>
      rest === "" || rest === ":memory:" || /^\/\/(?!\/)/.test(rest)
        ? "sqlite: and the path of a file, such as sqlite:./data/tasks.db"
        : undefined,
    open: async (_url, rest, options) =>
      (await import("../storage/sqlite/storage.ts")).createSqliteStorage(rest, options),
  },
  mongodb: mongo("mongodb://HOST/DATABASE"),
  "mongodb+srv": mongo("mongodb+srv://HOST/DATABASE"),
};

function mongo(form: string): Engine {
  return {
    form,
    fault: (rest) =>
      /^\/\/[^/]/.test(rest) ? undefined : `${form.slice(0, form.indexOf("//"))}//, hosts and the name of a database`,
    open: async (url, _rest, options) => {
      const { createMongoStorage } = await import("../storage/mongodb/storage.ts").catch(driverMissing("mongodb", 7));
      return createMongoStorage(url, options);
    },
  };
}

/** Turns the failed import of a driver into an error with the command that installs it. */
function driverMissing(driver: string, version: number): (error: unknown) => never {
  return (error) => {
    const { code, message } = error as { readonly code?: unknown; readonly message?: unknown };
    if (code !== "ERR_MODULE_NOT_FOUND" || !String(message).includes(`'${driver}'`)) throw error;
    throw new MissingDriverError(`The driver "${driver}" is not installed; run npm install ${driver}@${version}`, {
      cause: error,
    });
  };
}

/** A storage URL that is safe to print: without the password in it. */
export function shownStorageUrl(url: string): string {
  return url.replace(/(\/\/[^:@/]*):[^@/]*@/, "$1:***@");
}

/** What a storage URL must be if it is wrong; undefined if it is right. */
export function storageUrlFault(url: string): string | undefined {
  const { engine, rest } = parse(url);
  return engine === undefined
    ? `one of ${Object.values(engines)
        .map(({ form }) => form)
        .join(", ")}`
    : engine.fault(rest);
}

/**
 * Opens the storage that a URL names. Throws StorageError; MissingDriverError if the driver of its database is not
 * installed; Error for a URL in which `storageUrlFault` finds a fault.
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
