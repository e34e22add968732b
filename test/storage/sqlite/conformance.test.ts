import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { createSqliteStorage } from "../../../src/storage/sqlite/storage.ts";
import type { Storage, StorageOptions } from "../../../src/storage/storage.ts";
import { registerStorageConformance } from "../../conformance/register.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { openSqliteUnderFault } from "./under-fault.ts";

const files = new WeakMap<Storage, string>();

registerStorageConformance({
  name: "sqlite:",
  engine: async () => {
    const db = new DatabaseSync(":memory:");
    const row = db.prepare("SELECT sqlite_version() AS version").get();
    db.close();
    return `SQLite ${row?.version}`;
  },
  open: (options) => open(join(temporaryFolder(), "tasks.db"), options),
  async reopen(storage) {
    const file = files.get(storage);
    if (file === undefined) {
      throw new Error("This storage was not opened here");
    }
    await storage[Symbol.asyncDispose]();
    return open(file);
  },
  faults: openSqliteUnderFault,
});

async function open(file: string, options?: StorageOptions): Promise<Storage> {
  const storage = await createSqliteStorage(file, options);
  files.set(storage, file);
  return storage;
}
