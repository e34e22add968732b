import type { Storage, StorageOptions } from "../../../src/storage/storage.ts";
import { registerStorageConformance } from "../../conformance/register.ts";
import { newDatabase, openMongo, testClient } from "./fixtures.ts";
import { openMongoUnderFault } from "./under-fault.ts";

const databases = new WeakMap<Storage, string>();

registerStorageConformance({
  name: "mongodb:",
  engine: async () => `MongoDB ${(await testClient().db("admin").command({ buildInfo: 1 })).version}`,
  open: (options) => open(newDatabase(), options),
  differences: {
    "faults: a creation that was refused leaves no conversation, whatever command of the refusal fails":
      "Claim and conversation are taken at once, before the task that needs them. What a crash leaves is an empty conversation, which expires",
    "faults: messages stored at once with the claim that they settle are there whole or not at all":
      "The claim decides, and the messages follow. What a crash leaves after it is completed when the message is repeated; what it leaves before it is an empty conversation, which expires",
  },
  async reopen(storage) {
    const database = databases.get(storage);
    if (database === undefined) {
      throw new Error("This storage was not opened here");
    }
    await storage[Symbol.asyncDispose]();
    return open(database);
  },
  faults: openMongoUnderFault,
});

async function open(database: string, options?: StorageOptions): Promise<Storage> {
  const storage = await openMongo({ ...options, database });
  databases.set(storage, database);
  return storage;
}
