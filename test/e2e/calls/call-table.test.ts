import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MongoClient } from "mongodb";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { demoProcessor } from "../../../src/agent/demo-processor.ts";
import { createServer, type Server } from "../../../src/server/server.ts";
import { createMemoryStorage } from "../../../src/storage/memory/storage.ts";
import { createMongoStorage } from "../../../src/storage/mongodb/storage.ts";
import { createSqliteStorage } from "../../../src/storage/sqlite/storage.ts";
import type { Storage } from "../../../src/storage/storage.ts";
import { bindings, toldError } from "../bindings.ts";
import type { Call } from "./call-fixtures.ts";
import { badCalls, goodCalls } from "./call-table.ts";

/** What a call comes to, in a form that is equal if and only if the call is answered equally. */
type Outcome = { readonly ok: unknown } | { readonly error: ReturnType<typeof toldError> };

const folder = mkdtempSync(join(tmpdir(), "a2a-calls-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const database = `calls_${crypto.randomUUID().replaceAll("-", "")}`;
afterAll(async () => {
  await using client = new MongoClient(inject("mongodbUri"));
  await client.db(database).dropDatabase();
});

const engines: readonly { readonly name: string; open(): Promise<Storage> }[] = [
  { name: "memory:", open: async () => createMemoryStorage() },
  { name: "mongodb:", open: () => createMongoStorage(inject("mongodbUri"), { database }) },
  { name: "sqlite:", open: () => createSqliteStorage(join(folder, "tasks.db")) },
];

describe.each(engines)("every call over every binding, on $name", ({ open }) => {
  let storage: Storage;
  let server: Server;

  beforeAll(async () => {
    storage = await open();
    server = await createServer({ processor: demoProcessor, storage, listener: { port: 0 } });
    await server.listen();
  });

  afterAll(async () => {
    await server[Symbol.asyncDispose]();
    await storage[Symbol.asyncDispose]();
  });

  async function outcomes({ call }: Call): Promise<readonly Outcome[]> {
    return Promise.all(
      bindings.map(async (binding): Promise<Outcome> => {
        try {
          return { ok: await call(binding.connect(server.url.origin), crypto.randomUUID()) };
        } catch (error) {
          const { message, ...told } = toldError(error);
          return {
            error: { ...told, message: message.replaceAll(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, "ID") },
          };
        }
      }),
    );
  }

  test.each(goodCalls)("$name", async (call) => {
    const [first, ...others] = await outcomes(call);
    expect(first).toMatchObject(call.expected);
    for (const other of others) expect(other).toEqual(first);
  });

  test.each(badCalls)("refused: $name", async (call) => {
    const before = await storage.getConversationStats();
    const tasksBefore = (await storage.listTasks({ scope: { tenant: "", owner: "" }, limit: 1 })).total;
    const [first, ...others] = await outcomes(call);
    const { code, reason, fields } = { fields: [], ...call.expected } as Record<string, unknown>;
    expect(first).toMatchObject({ error: { code, reason, fields } });
    for (const other of others) expect(other).toEqual(first);
    // What a call made by itself, to have something to be refused on, is all there is: one conversation and one task
    // for each binding at most.
    const made = (await storage.listTasks({ scope: { tenant: "", owner: "" }, limit: 1 })).total - tasksBefore;
    expect(made % bindings.length).toBe(0);
    expect(made).toBe((call.makes ?? 0) * bindings.length);
    expect((await storage.getConversationStats()).totalConversations - before.totalConversations).toBeLessThanOrEqual(
      made,
    );
  });
});
