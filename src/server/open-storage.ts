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

/**
 * Hosts with their ports and a database, as in `//a:1,[::1]:2/tasks`. Nothing else fits: text that is not a host, such
 * as half of a password, must neither be shown nor reach the driver, which repeats host names in its errors.
 */
const hostsAndDatabase =
  /^(?:[\w.%-]+|\[[\da-fA-F:.]+\])(?::\d+)?(?:,(?:[\w.%-]+|\[[\da-fA-F:.]+\])(?::\d+)?)*(?:\/[\w.%~-]*)?$/;

function mongo(form: string): Engine {
  const scheme = form.slice(0, form.indexOf("//"));
  return {
    form,
    fault(rest) {
      if (!/^\/\/[^/]/.test(rest)) return `${scheme}//, hosts and the name of a database`;
      const [, shown] = /^\/\/(?:[^@/?#]*@)?([^@?]*)(?:\?[^@]*)?$/.exec(rest) ?? [];
      return shown !== undefined && hostsAndDatabase.test(shown)
        ? undefined
        : `${scheme}//USER:PASSWORD@, hosts with their ports, / and the name of a database. ` +
            "In users, passwords and options the characters @ / ? # are written %40 %2F %3F %23";
    },
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

/**
 * A storage URL that is safe to print: its scheme, hosts and database. Nothing behind the first `?` or before the last
 * `@` is shown, and nothing at all of a URL with an unknown scheme.
 */
export function shownStorageUrl(url: string): string {
  const { engine, rest } = parse(url);
  if (engine === undefined) return "of an unknown scheme";
  const scheme = url.slice(0, url.length - rest.length);
  const from = rest.lastIndexOf("@") + 1;
  const mark = rest.indexOf("?");
  const place = mark < 0 ? rest.slice(from) : rest.slice(from, Math.max(from, mark));
  if (!scheme.startsWith("mongodb")) return `${scheme}${from > 0 ? "***@" : ""}${place}`;
  const hosts = from > 0 ? place : place.slice(2);
  return `${scheme}//${from > 0 ? "***@" : ""}${hostsAndDatabase.test(hosts) ? hosts : "***"}`;
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
  if (engine === undefined || fault !== undefined) throw new Error(`The storage URL must be ${fault}`);
  return engine.open(url, rest, options);
}

function parse(url: string): { readonly engine: Engine | undefined; readonly rest: string } {
  const colon = url.indexOf(":");
  const scheme = url.slice(0, Math.max(0, colon));
  return { engine: Object.hasOwn(engines, scheme) ? engines[scheme] : undefined, rest: url.slice(colon + 1) };
}
