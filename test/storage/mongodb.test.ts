import type { Storage, StorageOptions } from "../../src/storage/storage.ts";
import { newDatabase, openMongo } from "./mongodb-fixtures.ts";
import { registerStorageConformance } from "./register.ts";

const databases = new WeakMap<Storage, string>();

registerStorageConformance("mongodb:", (options) => open(newDatabase(), options), {
  async reopen(storage) {
    const database = databases.get(storage);
    if (database === undefined) {
      throw new Error("This storage was not opened here");
    }
    await storage[Symbol.asyncDispose]();
    return open(database);
  },
});

async function open(database: string, options?: StorageOptions): Promise<Storage> {
  const storage = await openMongo({ ...options, database });
  databases.set(storage, database);
  return storage;
}
