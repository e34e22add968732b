import { type CommandStartedEvent, MongoClient } from "mongodb";
import type { MongoStorageOptions } from "../../src/storage/mongodb/mongodb-storage.ts";
import { createMongoStorage } from "../../src/storage/mongodb/mongodb-storage.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { mongodbUri, newDatabase } from "./mongodb-fixtures.ts";

/** What is sent to look after connections, and to tail the inbox. */
const background: ReadonlySet<string> = new Set(["hello", "ismaster", "endSessions", "getMore", "killCursors", "buildInfo", "ping"]);

/** A storage whose commands can be looked at. */
export interface ObservedStorage extends AsyncDisposable {
  readonly storage: Storage;
  readonly client: MongoClient;
  readonly database: string;
  /** The commands sent since the last time, oldest first. */
  take(): readonly CommandStartedEvent[];
  /** How many times a command was sent while no other was under way since the last `take`: the waits that follow each other. */
  waits(): number;
}

export async function openObserved(options: MongoStorageOptions = {}): Promise<ObservedStorage> {
  const client = new MongoClient(mongodbUri, { monitorCommands: true });
  const database = options.database ?? newDatabase();
  const storage = await createMongoStorage(client, { ...options, database });
  const commands: CommandStartedEvent[] = [];
  const open = new Set<number>();
  let waits = 0;
  client.on("commandStarted", (event) => {
    if (background.has(event.commandName)) return;
    commands.push(event);
    if (open.size === 0) waits += 1;
    open.add(event.requestId);
  });
  client.on("commandSucceeded", ({ requestId }) => open.delete(requestId));
  client.on("commandFailed", ({ requestId }) => open.delete(requestId));
  return {
    storage,
    client,
    database,
    take: () => {
      waits = 0;
      return commands.splice(0);
    },
    waits: () => waits,
    async [Symbol.asyncDispose]() {
      await storage[Symbol.asyncDispose]();
      await client.close();
    },
  };
}
