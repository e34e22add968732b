import { MongoClient } from "mongodb";
import { afterAll } from "vitest";
import type { OpenUnderFault } from "../../../src/conformance/index.ts";
import { silentLogger } from "../../../src/runtime/logger.ts";
import { createMongoStorage } from "../../../src/storage/mongodb/storage.ts";
import type { Storage } from "../../../src/storage/storage.ts";
import { FaultyClient } from "./faulty-client.ts";
import { empty, mongodbUri, newDatabase } from "./fixtures.ts";

const real = new MongoClient(mongodbUri);
/** Databases that are empty again: a run at every command needs one only as long as its storage is open. */
const emptied: string[] = [];

afterAll(() => real.close());

/** A MongoDB storage in a database of its own, with a fault at one of the operations that it sends. */
export const openMongoUnderFault: OpenUnderFault = async ({ step, effect, crash }, options) => {
  const database = emptied.pop() ?? newDatabase();
  const faulty = new FaultyClient(real);
  const storage = await createMongoStorage(faulty.client, { ...options, database, logger: silentLogger });
  const opened: Storage[] = [storage];
  return {
    storage,
    arm: () => faulty.arm({ step, answerLost: effect === "after", crash }),
    get struck() {
      return faulty.struck;
    },
    async reopen() {
      faulty.disarm();
      await storage[Symbol.asyncDispose]();
      const again = await createMongoStorage(real, { ...options, database });
      opened.push(again);
      return again;
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(opened.map((one) => one[Symbol.asyncDispose]()));
      await empty(database);
      emptied.push(database);
    },
  };
};
