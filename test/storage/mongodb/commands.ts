import { MongoClient } from "mongodb";
import type { MongoStorageOptions } from "../../../src/storage/mongodb/storage.ts";
import { createMongoStorage } from "../../../src/storage/mongodb/storage.ts";
import type { Storage } from "../../../src/storage/storage.ts";
import { type ObservedCommands, observeCommands } from "../../mongod/observe-commands.ts";
import { mongodbUri, newDatabase } from "./fixtures.ts";

/** A storage whose commands can be looked at. */
export interface ObservedStorage extends ObservedCommands, AsyncDisposable {
  readonly storage: Storage;
  readonly client: MongoClient;
  readonly database: string;
}

export async function openObserved(options: MongoStorageOptions = {}): Promise<ObservedStorage> {
  const client = new MongoClient(mongodbUri, { monitorCommands: true });
  const database = options.database ?? newDatabase();
  const storage = await createMongoStorage(client, { ...options, database });
  return {
    storage,
    client,
    database,
    ...observeCommands(client),
    async [Symbol.asyncDispose]() {
      await storage[Symbol.asyncDispose]();
      await client.close();
    },
  };
}
