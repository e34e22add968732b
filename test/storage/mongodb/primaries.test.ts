import { MongoClient, ObjectId } from "mongodb";
import { expect, test } from "vitest";
import * as given from "../../../src/conformance/fixtures.ts";
import { createMongoStorage } from "../../../src/storage/mongodb/storage.ts";
import { observeCommands } from "../../mongod/observe-commands.ts";
import { FaultyClient } from "./faulty-client.ts";
import { mongodbUri, newDatabase } from "./fixtures.ts";

/** A storage whose driver can be told of an election, and the commands that it sends. */
async function opened(hello: object = {}) {
  const real = new MongoClient(mongodbUri, { monitorCommands: true });
  const faulty = new FaultyClient(real, hello);
  const storage = await createMongoStorage(faulty.client, { database: newDatabase() });
  const observed = observeCommands(real);
  // The jobs that an opening begins.
  await observed.quiet();
  observed.take();
  const elect = () => {
    const newDescription = { type: "RSPrimary", address: "next:1", electionId: new ObjectId() };
    real.emit("serverDescriptionChanged", { newDescription } as never);
  };
  /** The reads since the last time. */
  const sent = () =>
    observed
      .take()
      .filter(({ commandName }) => commandName === "find" || commandName === "aggregate")
      .map(({ commandName, command }) => `${commandName} ${command.readConcern?.level}`);
  return {
    real,
    faulty,
    storage,
    elect,
    sent,
    async [Symbol.asyncDispose]() {
      await storage[Symbol.asyncDispose]();
      await real.close();
    },
  };
}

const latest = "aggregate linearizable";

test("calls after an election wait for one read of the latest state, and those after them for none", async () => {
  await using all = await opened();
  const read = () => all.storage.getConversation(given.scope, "c");
  await read();
  expect(all.sent()).toEqual(["find majority"]);
  all.elect();
  await Promise.all([read(), read(), all.storage.register("r")]);
  await read();
  expect(all.sent()).toEqual([latest, "find majority", "find majority", "find majority"]);
});

test("a read that was under way at an election is made again, a write is not", async () => {
  await using all = await opened();
  const { faulty, storage } = all;
  faulty.meanwhile("findOne", "a2a_conversations", async () => all.elect());
  expect(await storage.getConversation(given.scope, "c")).toBeUndefined();
  expect(all.sent()).toEqual(["find majority", latest, "find majority"]);
  faulty.meanwhile("updateOne", "a2a_replicas", async () => all.elect());
  await storage.register("r");
  expect(await storage.listReplicas()).toEqual([{ replica: "r", counter: 1n }]);
});

test("unknown ids are read once, and write nothing to the oplog", async () => {
  await using all = await opened();
  for (let at = 0; at < 50; at++) {
    expect(await all.storage.getTask(given.taskKey(`unknown-${at}`))).toBeUndefined();
  }
  expect(await all.storage.taskExists(given.taskKey("unknown"))).toBe(false);
  expect(await all.storage.deleteTask(given.taskKey("unknown"))).toBe(false);
  expect(all.sent()).toEqual(Array.from({ length: 52 }, () => "aggregate majority"));
});

test("a write that misses its task while the primary changes looks for the latest state", async () => {
  await using all = await opened();
  all.faulty.meanwhile("aggregate", "a2a_tasks", async () => all.elect());
  expect(await all.storage.deleteTask(given.taskKey("unknown"))).toBe(false);
  expect(all.sent()).toEqual(["aggregate majority", latest]);
});

test("behind mongos, which reports no elections, what is missing is read once more each time", async () => {
  await using all = await opened({ msg: "isdbgrid" });
  expect(await all.storage.getTask(given.taskKey("unknown"))).toBeUndefined();
  expect(await all.storage.taskExists(given.taskKey("unknown"))).toBe(false);
  expect(all.sent()).toEqual(["aggregate majority", latest, "aggregate majority", latest]);
});

test("a storage that is closed listens to its client no more", async () => {
  const { real, storage } = await opened();
  const before = real.listenerCount("serverDescriptionChanged");
  await storage[Symbol.asyncDispose]();
  expect(real.listenerCount("serverDescriptionChanged")).toBe(before - 1);
  await real.close();
});
