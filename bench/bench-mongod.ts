import { type MongodSet, startMongodSet } from "../test/mongod/mongod.ts";

/** The MongoDB that `MONGODB_URI` names, or one of the benchmark's own, as for the tests. */
export async function openMongod(): Promise<Pick<MongodSet, "uri"> & AsyncDisposable> {
  const { MONGODB_URI: uri } = process.env;
  return uri ? { uri, async [Symbol.asyncDispose]() {} } : startMongodSet(1);
}
