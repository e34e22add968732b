import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { MongoClient } from "mongodb";
import { describe, expect, inject, it } from "vitest";
import { TaskState } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { demoProcessor } from "../../../src/agent/demo-processor.ts";
import { createTaskManager } from "../../../src/manager/task-manager.ts";
import { silentLogger } from "../../../src/runtime/logger.ts";
import { openStorage } from "../../../src/server/open-storage.ts";
import { eventually } from "../../runner/eventually.ts";
import { ManualClock } from "../../runtime/manual-clock.ts";
import { FaultyStorage } from "../../storage/faulty-storage.ts";
import { runMain, type ServeProcess, startServer } from "../serve-process.ts";

/** One server per database, as processes see it. */

/** Undoes what a test has made, the last thing first; tests run side by side. */
type Ends = (end: () => Promise<void> | undefined) => void;

function sqliteUrl(ends: Ends): string {
  const folder = mkdtempSync(join(tmpdir(), "a2a-one-"));
  ends(async () => rmSync(folder, { recursive: true, force: true }));
  return `sqlite:${join(folder, "tasks.db")}`;
}

function mongodbUrl(ends: Ends): string {
  const database = `one_${crypto.randomUUID().replaceAll("-", "")}`;
  const url = new URL(inject("mongodbUri").replace(/^mongodb:\/\/[^/]*\/?$/, "$&/"));
  url.pathname = `/${database}`;
  ends(async () => {
    await using client = new MongoClient(inject("mongodbUri"));
    await client.db(database).dropDatabase();
  });
  return url.href;
}

async function start(storage: string, ends: Ends): Promise<ServeProcess> {
  const server = await startServer(["--storage", storage]);
  ends(async () => {
    await server.end("SIGKILL");
  });
  return server;
}

async function stateOf(server: ServeProcess): Promise<number> {
  return (await fetch(new URL("/readyz", server.url))).status;
}

describe.concurrent("MongoDB", () => {
  it("a server that was paused and replaced exits when it resumes, and says why", {
    timeout: 60_000,
  }, async ({ onTestFinished }) => {
    const storage = mongodbUrl(onTestFinished);
    const first = await start(storage, onTestFinished);
    void first.end("SIGSTOP");
    const second = await start(storage, onTestFinished);
    expect(await first.end("SIGCONT")).toBe(1);
    expect(first.stderr()).toContain("Another server has taken over this database");
    expect(await stateOf(second)).toBe(200);
    expect(await second.end("SIGTERM")).toBe(0);
    // The first has left nothing behind that the next one would have to watch.
    const third = await start(storage, onTestFinished);
    expect(third.stderr()).not.toContain("ended without deregistering");
  });
});

describe.concurrent("SQLite", () => {
  it("a second server is refused, and told who holds the database, even while that one is paused", {
    timeout: 60_000,
  }, async ({ onTestFinished }) => {
    const storage = sqliteUrl(onTestFinished);
    const first = await start(storage, onTestFinished);
    first.signal("SIGSTOP");
    const { exited, text } = runMain(["--port", "0", "--storage", storage]);
    expect(await exited).toBe(1);
    expect(text.stderr).toMatch(
      `is in use by process ${first.pid} on host "${hostname()}" since ${new Date().toISOString().slice(0, 8)}`,
    );
    expect(text.stderr.trimEnd().split("\n")).toHaveLength(1);
    first.signal("SIGCONT");
    expect(await stateOf(first)).toBe(200);
    expect(await first.end("SIGTERM")).toBe(0);
    await start(storage, onTestFinished);
  });

  it("what a server left that was killed is taken over at the next start, without a wait", {
    timeout: 60_000,
  }, async ({ onTestFinished }) => {
    const url = sqliteUrl(onTestFinished);
    const killed = await start(url, onTestFinished);
    const message = { messageId: "m", role: "ROLE_USER", parts: [{ text: "count 1000 1000" }] };
    const response = await fetch(new URL("/message:send", killed.url), {
      method: "POST",
      headers: { "content-type": "application/json", "A2A-Version": "1.0" },
      body: JSON.stringify({ message, configuration: { returnImmediately: true } }),
    });
    const { task } = (await response.json()) as { readonly task: { readonly id: string } };
    await eventually("its turn runs", async () => {
      const got = await fetch(new URL(`/tasks/${task.id}`, killed.url), { headers: { "A2A-Version": "1.0" } });
      const { status } = (await got.json()) as { readonly status: { readonly state: string } };
      return status.state === "TASK_STATE_WORKING";
    });
    await killed.end("SIGKILL");

    await using storage = await openStorage(url);
    const faulty = new FaultyStorage(storage);
    // A clock that stands still: whatever waits for time never comes.
    const clock = new ManualClock();
    const parts = { clock, logger: silentLogger };
    await using manager = await createTaskManager({ ...demoProcessor, onLost: "fail" }, faulty.storage, {}, parts);
    expect(manager.readiness.state).toBe("ready");
    // Once at the start, and once for tasks of the dead. A watch would look more often.
    expect(faulty.callsOf("listReplicas").length).toBeLessThanOrEqual(2);
    await eventually("the task was taken over", async () => {
      const { state } = (await manager.getTask(task.id)).task.status ?? {};
      return state === TaskState.FAILED;
    });
    await eventually("the record of the dead server is gone", async () => (await storage.listReplicas()).length === 1);
  });
});

it("a server that is told to end while it starts ends at once", async ({ onTestFinished }) => {
  const connections: Socket[] = [];
  // A database that accepts and never answers: the server waits for it.
  const silent = createServer((socket) => connections.push(socket)).listen(0, "127.0.0.1");
  onTestFinished(() => {
    for (const socket of connections) socket.destroy();
    silent.close();
  });
  await once(silent, "listening");
  const { port } = silent.address() as { port: number };
  const { child, text, exited } = runMain(["--port", "0", "--storage", `mongodb://127.0.0.1:${port}/x`]);
  await once(silent, "connection");
  child.kill("SIGTERM");
  expect([await exited, text]).toEqual([130, { stdout: "", stderr: "" }]);
});
