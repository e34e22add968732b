import { randomUUID } from "node:crypto";
import { MongoClient } from "mongodb";
import { afterAll, inject, onTestFinished } from "vitest";
import { createMongoStorage, type MongoStorageOptions } from "../../../src/storage/mongodb/storage.ts";
import type { Storage } from "../../../src/storage/storage.ts";

/** The test run's MongoDB; see test/mongod/global-setup.ts. */
export const mongodbUri = inject("mongodbUri");

const client = new MongoClient(mongodbUri, { appName: "test" });
const databases = new Set<string>();
const emptied: string[] = [];

afterAll(async () => {
  await Promise.all([...databases].map((name) => client.db(name).dropDatabase()));
  await client.close();
});

/**
 * A database of the running test's own. Making one takes MongoDB half a second, so those of tests that passed are
 * emptied for the next one; that of one that failed is kept until the end of the file.
 */
export function newDatabase(): string {
  const name = emptied.pop() ?? `test_${randomUUID().replaceAll("-", "")}`;
  databases.add(name);
  onTestFinished(async ({ task }) => {
    if (task.result?.state === "pass") {
      await empty(name);
      emptied.push(name);
    }
  });
  return name;
}

/**
 * Removes all that a database holds. Leaves the collections with their indexes. The inbox of wake-ups must never be
 * empty, and what is in it is older than the next watch.
 */
export async function empty(database: string): Promise<void> {
  const db = client.db(database);
  const collections = await db.listCollections({}, { nameOnly: true }).toArray();
  await Promise.all(
    collections.filter(({ name }) => !name.endsWith("wakeups")).map(({ name }) => db.collection(name).deleteMany({})),
  );
}

/** A client of the tests' own, to look behind the storage. */
export function testClient(): MongoClient {
  return client;
}

/** A storage with connections of its own, in a database of its own unless one is named. */
export async function openMongo(options: MongoStorageOptions = {}): Promise<Storage> {
  return createMongoStorage(mongodbUri, { database: newDatabase(), ...options });
}
