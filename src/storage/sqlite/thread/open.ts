import { statSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import type { StorageOptions } from "../../storage.ts";
import { StorageError } from "../../storage-error.ts";
import { openChannel, type SqliteChannel } from "./channel.ts";
import type { ReaderOperations, WriterOperations } from "./operations.ts";

/** The two threads of a storage. */
export interface SqliteChannels {
  readonly writer: SqliteChannel<WriterOperations>;
  readonly reader: SqliteChannel<ReaderOperations>;
}

/** Opens a file, made if there is none. Throws what `createSqliteStorage` does. */
export async function openChannels(
  file: string,
  options: Required<Omit<StorageOptions, "logger">>,
): Promise<SqliteChannels> {
  if (file === "" || file === ":memory:") {
    throw new StorageError(
      "invalid",
      `A SQLite storage needs a file, and "${file}" is none; use the memory storage for what need not last`,
    );
  }
  // As a path and nothing else: SQLite takes some names, such as "file:…?mode=memory", for something other than a file.
  const path = resolve(file);
  try {
    await mkdir(dirname(path), { recursive: true });
  } catch (error) {
    throw new StorageError("unavailable", `The folder of "${file}" can't be made`, { cause: error });
  }
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) {
    throw new StorageError("unavailable", `"${file}" is a folder, and a SQLite database is a file`);
  }
  const writer: SqliteChannels["writer"] = await openChannel({ role: "writer", file: path, ...options });
  try {
    // Only now: the reader finds the tables that the writer made.
    const reader: SqliteChannels["reader"] = await openChannel({ role: "reader", file: path, ...options });
    return { writer, reader };
  } catch (error) {
    await writer.close();
    throw error;
  }
}
