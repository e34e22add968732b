import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MongoClient } from "mongodb";
import { describe, expect, inject, it } from "vitest";
import { fakeWallClock } from "../../faketime/faketime.ts";
import { eventually } from "../../runner/eventually.ts";
import { type ServeProcess, startServer } from "../serve-process.ts";

/** The wall clock of a running server is set forward and back; its monotonic clock and its database's clock are not. */

const hourMs = 3_600_000;
const jumps = [
  ["+2h", 2 * hourMs],
  ["+0", 0],
  ["-2h", -2 * hourMs],
  ["+1d", 24 * hourMs],
  ["-1d", -24 * hourMs],
  ["+25h", 25 * hourMs],
] as const;

interface Task {
  readonly id: string;
  readonly contextId: string;
  readonly status: { readonly state: string };
  readonly artifacts?: readonly { readonly parts: readonly unknown[] }[];
}

/** The calls of a client over HTTP+JSON. */
function clientOf({ url }: ServeProcess) {
  const call = async <T>(path: string, body?: unknown): Promise<T> => {
    const response = await fetch(new URL(path, url), {
      headers: { "A2A-Version": "1.0", ...(body !== undefined && { "content-type": "application/json" }) },
      ...(body !== undefined && { method: "POST", body: JSON.stringify(body) }),
    });
    const answer = await response.json();
    if (!response.ok) throw new Error(`${path}: ${response.status} ${JSON.stringify(answer)}`);
    return answer as T;
  };
  return {
    send: async (messageId: string, text: string, more: object = {}) => {
      const message = { messageId, role: "ROLE_USER", parts: [{ text }], ...more };
      const configuration = { returnImmediately: true };
      return (await call<{ readonly task: Task }>("/message:send", { message, configuration })).task;
    },
    task: (id: string) => call<Task>(`/tasks/${id}`),
    cancel: (id: string) => call<Task>(`/tasks/${id}:cancel`, {}),
    messageIds: async (contextId: string) => {
      const path = `/taskmanager/v1/conversations/${contextId}/messages`;
      const { messages } = await call<{ readonly messages: readonly { readonly messageId: string }[] }>(path);
      return messages.map(({ messageId }) => messageId);
    },
    ready: async () => (await fetch(new URL("/readyz", url))).status,
    /** The time that the server writes into its answers. */
    clockMs: async () => Date.parse((await fetch(new URL("/readyz", url))).headers.get("date") ?? ""),
  };
}

describe.concurrent.each(["SQLite", "MongoDB"] as const)("%s", (engine) => {
  it("a server whose clock jumps by hours and days loses nothing, expires nothing and stays ready", {
    timeout: 120_000,
  }, async ({ onTestFinished }) => {
    const folder = mkdtempSync(join(tmpdir(), "a2a-clock-"));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    const clock = await fakeWallClock(join(folder, "offset"));
    const storage = engine === "SQLite" ? `sqlite:${join(folder, "tasks.db")}` : mongodbUrl(onTestFinished);
    const server = await startServer(["--storage", storage, "--cleanup-interval", "50ms"], clock.env);
    onTestFinished(async () => void (await server.end("SIGKILL")));
    const client = clientOf(server);
    const [told, asked] = await Promise.all([client.send("told", "hello"), client.send("asked", "ask more")]);
    const running = await client.send("running", "count 10000 20");
    const chunks = async () => (await client.task(running.id)).artifacts?.[0]?.parts.length ?? 0;
    const sentIds = ["asked"];
    for (const [offset, offsetMs] of jumps) {
      await clock.set(offset);
      await eventually(`its clock shows ${offset}`, async () => {
        return Math.abs((await client.clockMs()) - Date.now() - offsetMs) < hourMs / 10;
      });
      // A message in the middle of its conversation, with the first call after the jump.
      const next = await client.send(`next ${offset}`, "ask again", { contextId: asked.contextId });
      sentIds.push(`next ${offset}`);
      expect((await client.send("told", "hello")).id, offset).toBe(told.id);
      // Some sweeps, and some rounds of the database that removes expired records.
      const before = await chunks();
      await eventually("the running task goes on", async () => (await chunks()) > before + 60, { timeoutMs: 30_000 });
      expect((await client.task(told.id)).status.state, offset).toBe("TASK_STATE_COMPLETED");
      expect((await client.task(asked.id)).status.state, offset).toBe("TASK_STATE_INPUT_REQUIRED");
      expect((await client.task(next.id)).status.state, offset).toBe("TASK_STATE_INPUT_REQUIRED");
      expect(await client.messageIds(told.contextId), offset).toEqual(["told"]);
      const ids = await client.messageIds(asked.contextId);
      expect(
        ids.filter((id) => sentIds.includes(id)),
        offset,
      ).toEqual(sentIds);
      expect(await client.ready(), offset).toBe(200);
    }
    expect((await client.cancel(running.id)).status.state).toBe("TASK_STATE_CANCELED");
    expect(await server.end("SIGTERM")).toBe(0);
    // MongoDB removes what is expired itself, by its own clock.
    expect(server.stderr().includes("no conversation is removed for one TTL")).toBe(engine === "SQLite");
  });
});

function mongodbUrl(onTestFinished: (end: () => Promise<void>) => void): string {
  const database = `clock_${randomUUID().replaceAll("-", "")}`;
  const url = new URL(inject("mongodbUri").replace(/^mongodb:\/\/[^/]*\/?$/, "$&/"));
  url.pathname = `/${database}`;
  onTestFinished(async () => {
    await using client = new MongoClient(inject("mongodbUri"));
    await client.db(database).dropDatabase();
  });
  return url.href;
}
