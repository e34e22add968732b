import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MongoClient } from "mongodb";
import { describe, expect, inject, it } from "vitest";
import { runMain, type ServeProcess, startServer } from "./serve-process.ts";

/** One server per database, as processes see it. */

/** Undoes what a test has made, the last thing first; tests run side by side. */
type Ends = (end: () => Promise<void> | undefined) => void;

const engines = [
  {
    name: "SQLite",
    url(ends: Ends) {
      const folder = mkdtempSync(join(tmpdir(), "a2a-one-"));
      ends(async () => rmSync(folder, { recursive: true, force: true }));
      return `sqlite:${join(folder, "tasks.db")}`;
    },
  },
  {
    name: "MongoDB",
    url(ends: Ends) {
      const database = `one_${crypto.randomUUID().replaceAll("-", "")}`;
      const url = new URL(inject("mongodbUri").replace(/^mongodb:\/\/[^/]*\/?$/, "$&/"));
      url.pathname = `/${database}`;
      ends(async () => {
        await using client = new MongoClient(inject("mongodbUri"));
        await client.db(database).dropDatabase();
      });
      return url.href;
    },
  },
] as const;

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

describe.concurrent.each(engines)("$name", ({ url }) => {
  it("a server that was paused and replaced exits when it resumes, and says why", {
    timeout: 60_000,
  }, async ({ onTestFinished }) => {
    const storage = url(onTestFinished);
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
