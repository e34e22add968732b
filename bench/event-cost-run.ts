// The process of `event-cost`: tasks one after the other through the manager, each read to its end by one reader.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { MongoClient } from "mongodb";
import { Role, SendMessageRequestSchema } from "../gen/lf/a2a/v1/a2a_pb.ts";
import { createTaskManager, type TaskManager } from "../src/manager/task-manager.ts";
import { createMemoryStorage } from "../src/storage/memory/storage.ts";
import { createMongoStorage } from "../src/storage/mongodb/storage.ts";
import { createSqliteStorage } from "../src/storage/sqlite/storage.ts";
import type { Storage } from "../src/storage/storage.ts";
import { agent } from "./agent.ts";
import { carryOut, cpuUs, liveBytes } from "./child.ts";

interface Run {
  readonly engine: "memory" | "sqlite" | "mongodb";
  readonly command: string;
  readonly events: number;
  readonly tasks: number;
  readonly mongodbUri: string;
}

const commands = {
  /**
   * On a storage of its own, so that no cell pays for what another left behind. The heap is what it grew by with all
   * tasks kept.
   */
  async run({ engine, command, events, tasks, mongodbUri }: Run) {
    await using place = await openPlace(engine, mongodbUri);
    await using manager = await createTaskManager(agent, place.storage);
    await readTask(manager, command, 1);
    const bytesBefore = await liveBytes();
    const cpuBefore = cpuUs();
    const begin = performance.now();
    for (let task = 0; task < tasks; task++) await readTask(manager, command, events);
    const us = (performance.now() - begin) * 1000;
    const cpu = cpuUs() - cpuBefore;
    const bytes = (await liveBytes()) - bytesBefore;
    return {
      usPerEvent: us / (events * tasks),
      cpuUsPerEvent: cpu / (events * tasks),
      bytesPerEvent: bytes / (events * tasks),
    };
  },
};
export type EventCostCommands = typeof commands;
carryOut(commands);

/** A storage in a folder or database that is gone with it. */
async function openPlace(
  engine: Run["engine"],
  mongodbUri: string,
): Promise<{ readonly storage: Storage } & AsyncDisposable> {
  await using opened = new AsyncDisposableStack();
  let storage: Storage;
  switch (engine) {
    case "memory":
      storage = createMemoryStorage();
      break;
    case "sqlite": {
      const folder = mkdtempSync(join(tmpdir(), "a2a-bench-"));
      opened.defer(() => rmSync(folder, { recursive: true }));
      storage = await createSqliteStorage(join(folder, "tasks.db"));
      break;
    }
    case "mongodb": {
      const client = opened.adopt(new MongoClient(mongodbUri), (open) => open.close());
      const database = `bench_${crypto.randomUUID().replaceAll("-", "")}`;
      opened.defer(async () => {
        await client.db(database).dropDatabase();
      });
      storage = await createMongoStorage(mongodbUri, { database });
      break;
    }
  }
  opened.use(storage);
  const kept = opened.move();
  return { storage, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

async function readTask(manager: TaskManager, command: string, events: number): Promise<void> {
  const parts = [{ content: { case: "text" as const, value: `${command} ${events}` } }];
  const request = create(SendMessageRequestSchema, {
    message: { messageId: crypto.randomUUID(), role: Role.USER, parts },
  });
  let chunks = 0;
  for await (const { payload } of manager.sendStreamingMessage(request))
    if (payload.case === "artifactUpdate") chunks++;
  if (chunks !== events) throw new Error(`A stream of ${events} chunks had ${chunks}`);
}
