import { MongoClient } from "mongodb";
import type { TestProject } from "vitest/node";
import { startMongodSet } from "./mongod.ts";

declare module "vitest" {
  interface ProvidedContext {
    /** A replica set that all tests of the run share. Each test has databases of its own in it. */
    mongodbUri: string;
  }
}

/**
 * Vitest's global setup: the server that `MONGODB_URI` names, or one of this run's own. Without one the run fails;
 * nothing is skipped.
 */
export async function setup({ provide }: TestProject): Promise<() => Promise<void>> {
  const given = process.env.MONGODB_URI;
  if (given !== undefined && given !== "") {
    process.stdout.write(`MongoDB: version ${await serverVersion(given)} from MONGODB_URI\n`);
    provide("mongodbUri", given);
    return async () => {};
  }
  const set = await startMongodSet(1);
  process.stdout.write(`MongoDB: ${set.version}, a replica set of one node for this run\n`);
  provide("mongodbUri", set.uri);
  return async () => {
    await set[Symbol.asyncDispose]();
  };
}

async function serverVersion(uri: string): Promise<string> {
  const client = new MongoClient(uri);
  try {
    return String((await client.db("admin").command({ buildInfo: 1 })).version);
  } finally {
    await client.close();
  }
}
