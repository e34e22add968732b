import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { runMain, type ServeProcess, startServer } from "./serve-process.ts";

/** The command as users run it. */

const running: ServeProcess[] = [];
const folders: string[] = [];

afterEach(async () => {
  await Promise.all(running.splice(0).map((server) => server.end("SIGKILL")));
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

async function start(...args: readonly string[]): Promise<ServeProcess> {
  const server = await startServer(["--storage", "memory:", ...args]);
  running.push(server);
  return server;
}

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "a2a-main-"));
  folders.push(folder);
  return folder;
}

interface Sent {
  readonly task?: {
    readonly id: string;
    readonly status: { readonly state: string; readonly message?: { readonly parts: readonly { readonly text: string }[] } };
  };
  readonly message?: { readonly parts: readonly { readonly text: string }[] };
}

async function call(server: ServeProcess, path: string, body: object): Promise<Response> {
  return fetch(new URL(path, server.url), { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
}

async function send(server: ServeProcess, text: string, configuration: object = {}): Promise<Sent> {
  const message = { messageId: crypto.randomUUID(), role: "ROLE_USER", parts: [{ text }] };
  const response = await call(server, "/lf.a2a.v1.A2AService/SendMessage", { message, configuration });
  return (await response.json()) as Sent;
}

const hasCurl = spawnSync("curl", ["--version"]).status === 0;

/** The printed call where there is no curl. */
async function fetchInstead(curl: string): Promise<string> {
  const [, url = "", body = ""] = / (http\S+) .* -d '(.*)'$/.exec(curl) ?? [];
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: body.replace(/'\$\(.*?\)'/, crypto.randomUUID()),
  });
  return response.text();
}

describe("what it prints", () => {
  it.each([
    "http+json,grpc",
    "json-rpc",
    "connect",
  ])("is the address, the storage, the TTL, and a call that works as it stands, every time, over %s", async (bindings) => {
    const server = await start("--conversation-ttl", "90s", "--bindings", bindings);
    expect(server.stdout()).toMatch(/address +http:\/\/127\.0\.0\.1:\d+ /);
    expect(server.stdout()).toMatch(/storage +memory:/);
    expect(server.stdout()).toMatch(/TTL +90s /);
    const curl =
      server
        .stdout()
        .split("\n")
        .find((line) => line.trimStart().startsWith("curl ")) ?? "";
    const ids = new Set<string>();
    for (let run = 0; run < 2; run++) {
      const answer = JSON.parse(hasCurl ? spawnSync("sh", ["-c", curl], { encoding: "utf8" }).stdout : await fetchInstead(curl));
      const { task } = (answer.result ?? answer) as Sent;
      expect(task?.status.state).toBe("TASK_STATE_COMPLETED");
      ids.add(task?.id ?? "");
    }
    expect(ids.size).toBe(2);
    expect(await server.end("SIGTERM")).toBe(0);
  });

  it("never holds what was said, in the log neither", async () => {
    const server = await start("--log-level", "trace");
    await send(server, "echo open-sesame");
    await send(server, "fail open-sesame");
    await send(server, "reply open-sesame");
    await call(server, "/lf.a2a.v1.A2AService/SendMessage", { message: { messageId: "", role: "ROLE_USER", parts: [{ text: "open-sesame" }] } });
    expect(await server.end("SIGTERM")).toBe(0);
    expect(server.stdout() + server.stderr()).not.toContain("open-sesame");
    for (const line of server.stderr().trim().split("\n")) expect(JSON.parse(line)).toHaveProperty("level");
  });
});

describe("what isn't a call", () => {
  it("is told so", async () => {
    const server = await start();
    const root = await fetch(server.url);
    expect(root.status).toBe(200);
    expect(await root.text()).toContain("A2A Task Manager");
    const other = await fetch(new URL("/nothing", server.url), { method: "POST", body: "x".repeat(100_000) });
    expect(other.status).toBe(404);
    expect(await other.json()).toMatchObject({ error: { code: 404, status: "NOT_FOUND" } });
  });
});

describe("an agent of the user's own", () => {
  it("is loaded from TypeScript", async () => {
    const file = join(newFolder(), "agent.ts");
    writeFileSync(
      file,
      `type Event = object;
       export default {
         async *processMessage(): AsyncIterable<Event> {
           yield { statusUpdate: { state: 3, message: { parts: [{ content: { case: "text", value: "from a file" } }] } } };
         },
       };\n`,
    );
    const server = await start("--processor", file);
    const { task } = await send(server, "hello");
    expect(task?.status).toMatchObject({ state: "TASK_STATE_COMPLETED", message: { parts: [{ text: "from a file" }] } });
  });
});

describe("its end", () => {
  it.each(["SIGTERM", "SIGINT"] as const)("comes at once on %s when nothing runs, idle connections or not", async (signal) => {
    const server = await start();
    await send(server, "hello");
    const silent = connect({ host: server.url.hostname, port: Number(server.url.port) });
    await once(silent, "connect");
    const begun = performance.now();
    expect(await server.end(signal)).toBe(0);
    expect(performance.now() - begun).toBeLessThan(5_000);
    silent.destroy();
  });

  it("comes within the drain time while streams are open, also of a task that nobody works on", async () => {
    const server = await start("--drain-timeout", "1s");
    const { task } = await send(server, "ask why");
    expect(task?.status.state).toBe("TASK_STATE_INPUT_REQUIRED");
    const stream = new AbortController();
    const body = Buffer.from(JSON.stringify({ taskId: task?.id }));
    const head = Buffer.alloc(5);
    head.writeUInt32BE(body.length, 1);
    const watching = await fetch(new URL("/taskmanager.v1.TaskManagerService/WatchTask", server.url), {
      method: "POST",
      headers: { "content-type": "application/connect+json" },
      body: Buffer.concat([head, body]),
      signal: stream.signal,
    });
    expect(watching.status).toBe(200);
    const ended = watching.text().catch(() => "cut");
    const begun = performance.now();
    expect(await server.end("SIGTERM")).toBe(0);
    expect(performance.now() - begun).toBeLessThan(8_000);
    // Never an end like that of a task: the client must know to come again.
    expect(await ended).toMatch(/^cut$|unavailable/);
  });

  it("tells running turns, and comes when they have ended", async () => {
    const server = await start();
    const { task } = await send(server, "count 1000 60000", { returnImmediately: true });
    expect(task?.id).toBeTruthy();
    const begun = performance.now();
    expect(await server.end("SIGTERM")).toBe(0);
    expect(performance.now() - begun).toBeLessThan(8_000);
  });

  it("doesn't wait any more after a second signal", async () => {
    const file = join(newFolder(), "deaf.ts");
    writeFileSync(file, "export default { async *processMessage() { await new Promise((r) => setTimeout(r, 60_000)); } };\n");
    const server = await start("--processor", file, "--cancel-grace", "1m");
    void send(server, "hello").catch(() => undefined);
    await send(server, "hello", { returnImmediately: true });
    void server.end("SIGTERM");
    while (!server.stderr().includes("drains")) await new Promise((resolve) => setTimeout(resolve, 20));
    expect(await server.end("SIGTERM")).not.toBe(0);
  });

  it("keeps what was stored", async () => {
    const storage = ["--storage", `sqlite:${join(newFolder(), "data", "tasks.db")}`];
    const first = await start(...storage);
    const { task } = await send(first, "hello");
    expect(await first.end("SIGTERM")).toBe(0);
    const second = await start(...storage);
    const response = await call(second, "/lf.a2a.v1.A2AService/GetTask", { id: task?.id });
    expect(await response.json()).toMatchObject({ id: task?.id, status: { state: "TASK_STATE_COMPLETED" } });
    expect(await second.end("SIGTERM")).toBe(0);
  });
});

describe("a port that is in use", () => {
  it("is said, with exit code 1", async () => {
    const server = await start();
    const second = runMain(["--storage", "memory:", "--port", server.url.port]);
    expect(await second.exited).toBe(1);
    expect(second.text.stderr).toBe(`127.0.0.1:${server.url.port}: the port is in use; choose another with --port\n`);
    expect((await send(server, "still there?")).task?.status.state).toBe("TASK_STATE_COMPLETED");
  });
});
