import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { MongoClient } from "mongodb";
import { Role, SendMessageRequestSchema } from "../gen/lf/a2a/v1/a2a_pb.ts";
import { createTaskManager } from "../src/manager/task-manager.ts";
import { createMongoStorage } from "../src/storage/mongodb/storage.ts";
import { createSqliteStorage } from "../src/storage/sqlite/storage.ts";
import type { Storage } from "../src/storage/storage.ts";
import { observeCommands } from "../test/mongod/observe-commands.ts";
import { readWal } from "../test/storage/sqlite/fixtures.ts";
import { agent } from "./agent.ts";
import { openMongod } from "./bench-mongod.ts";
import type { Benchmark, Row } from "./benchmark.ts";
import { median, type Sample } from "./measure.ts";

/** What a message asks of the database, counted rather than timed: what others do on the machine doesn't touch it. */
export const databaseWork: Benchmark = {
  name: "database-work",
  about:
    "one blocking SendMessage of a new task whose agent answers at once; counted up to its answer, median of 20 sends",

  async run() {
    const mongodb = await onMongodb();
    const sqlite = await onSqlite();
    return [
      row("mongodb", mongodb, "waits", { atMost: 3 }),
      row("mongodb", mongodb, "commands", { atMost: 6 }),
      row("sqlite", sqlite, "commits", { atMost: 2 }),
    ];
  },
};

function row(engine: string, samples: readonly Sample[], unit: string, { atMost }: { readonly atMost: number }): Row {
  const value = median(samples.map((sample) => sample[unit] ?? Number.NaN));
  return {
    case: `${engine}, ${unit}${unit === "waits" ? " that follow each other" : ""}`,
    figure: `${value}`,
    target: { atMost, value, unit },
  };
}

async function onMongodb(): Promise<readonly Sample[]> {
  await using mongod = await openMongod();
  const client = new MongoClient(mongod.uri, { monitorCommands: true });
  const database = `bench_${crypto.randomUUID().replaceAll("-", "")}`;
  try {
    const observed = observeCommands(client);
    return await countSends(
      await createMongoStorage(client, { database }),
      () => observed.take(),
      () => {
        const waits = observed.waits();
        return { waits, commands: observed.take().length };
      },
    );
  } finally {
    await client.db(database).dropDatabase();
    await client.close();
  }
}

async function onSqlite(): Promise<readonly Sample[]> {
  const folder = mkdtempSync(join(tmpdir(), "a2a-bench-"));
  const file = join(folder, "tasks.db");
  try {
    let before = 0;
    return await countSends(
      await createSqliteStorage(file),
      () => {
        before = readWal(file).commits;
      },
      () => ({ commits: readWal(file).commits - before }),
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function countSends(opened: Storage, begin: () => unknown, end: () => Sample): Promise<readonly Sample[]> {
  await using storage = opened;
  await using manager = await createTaskManager(agent, storage);
  const samples: Sample[] = [];
  for (let send = -warmUps; send < sends; send++) {
    const parts = [{ content: { case: "text" as const, value: "done" } }];
    const request = create(SendMessageRequestSchema, {
      message: { messageId: crypto.randomUUID(), role: Role.USER, parts },
    });
    begin();
    await manager.sendMessage(request);
    const sample = end();
    if (send >= 0) samples.push(sample);
  }
  return samples;
}

const warmUps = 5;
const sends = 20;
