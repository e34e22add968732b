import { spawnSync } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { banner } from "../../../src/cli/banner.ts";
import { readConfig } from "../../../src/cli/read-config.ts";
import { startStandalone } from "../../mongod/mongod.ts";
import { runMain, type ServeProcess, startServer } from "../serve-process.ts";

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
    readonly status: {
      readonly state: string;
      readonly message?: { readonly parts: readonly { readonly text: string }[] };
    };
  };
  readonly message?: { readonly parts: readonly { readonly text: string }[] };
}

async function call(server: ServeProcess, path: string, body: object): Promise<Response> {
  return fetch(new URL(path, server.url), {
    method: "POST",
    headers: { "content-type": "application/json", "A2A-Version": "1.0" },
    body: JSON.stringify(body),
  });
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
    headers: { "content-type": "application/json", "A2A-Version": "1.0" },
    body: body.replace(/'\$\(.*?\)'/, crypto.randomUUID()),
  });
  return response.text();
}

function bannerOf(args: readonly string[], url: URL, storageUrl: string): string {
  const invocation = readConfig(args, {}, "1.2.3");
  if (invocation.kind !== "serve") throw new Error(JSON.stringify(invocation));
  return banner(invocation.config, url, storageUrl, "1.2.3");
}

describe("what it prints", () => {
  it.each([
    { args: [], storage: "sqlite:./x.db", ttl: /1h after .*; then its data is removed \(--conversation-ttl never/ },
    { args: [], storage: "memory:", ttl: /1h after the last access to a conversation\n/ },
    { args: ["--no-cleanup"], storage: "sqlite:./x.db", ttl: /not deleted but invisible/ },
    { args: ["--conversation-ttl", "never"], storage: "sqlite:./x.db", ttl: /TTL +never\n/ },
  ])("the banner says of $storage with $args what becomes of its data", ({ args, storage, ttl }) => {
    expect(bannerOf(args, new URL("http://127.0.0.1:1"), storage)).toMatch(ttl);
  });

  it("a process without a terminal prints log lines alone, with its address", async () => {
    const server = await start();
    expect(server.stdout()).toBe("");
    expect(
      server
        .stderr()
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line)),
    ).toEqual([expect.objectContaining({ level: 30, msg: "The server is ready", address: server.url.origin })]);
  });

  it.each([
    "http+json,grpc",
    "json-rpc",
    "connect",
  ])("the banner has the address, the storage, the TTL and a call that works as printed, over %s", async (bindings) => {
    const args = ["--conversation-ttl", "90s", "--bindings", bindings];
    const server = await start(...args);
    const printed = bannerOf(args, server.url, "memory:");
    expect(printed).toMatch(/address +http:\/\/127\.0\.0\.1:\d+ /);
    expect(printed).toMatch(/storage +memory:/);
    expect(printed).toMatch(/TTL +90s /);
    const curl = printed.split("\n").find((line) => line.trimStart().startsWith("curl ")) ?? "";
    const ids = new Set<string>();
    for (let run = 0; run < 2; run++) {
      const answer = JSON.parse(
        hasCurl ? spawnSync("sh", ["-c", curl], { encoding: "utf8" }).stdout : await fetchInstead(curl),
      );
      const { task } = (answer.result ?? answer) as Sent;
      expect(task?.status.state).toBe("TASK_STATE_COMPLETED");
      ids.add(task?.id ?? "");
    }
    expect(ids.size).toBe(2);
    expect(await server.end("SIGTERM")).toBe(0);
  });

  it("neither the output nor the log holds the texts of messages", async () => {
    const server = await start("--log-level", "trace");
    await send(server, "echo open-sesame");
    await send(server, "fail open-sesame");
    await send(server, "reply open-sesame");
    await call(server, "/lf.a2a.v1.A2AService/SendMessage", {
      message: { messageId: "", role: "ROLE_USER", parts: [{ text: "open-sesame" }] },
    });
    expect(await server.end("SIGTERM")).toBe(0);
    expect(server.stdout() + server.stderr()).not.toContain("open-sesame");
    for (const line of server.stderr().trim().split("\n")) expect(JSON.parse(line)).toHaveProperty("level");
  });
});

describe("the URL of the storage", () => {
  it("comes from a file, and is in no list of processes and in no output", async () => {
    await using standalone = await startStandalone();
    const hidden = `hidden-${crypto.randomUUID()}`;
    const url = `${standalone.uri}tasks-db?appName=${hidden}`;
    const file = join(newFolder(), "url");
    writeFileSync(file, `${url}\n`);
    for (const server of [
      await startServer(["--storage-file", file, "--log-level", "trace", "--table-prefix", "one_"]),
      await startServer([], { A2A_TM_STORAGE_FILE: file, A2A_TM_TABLE_PREFIX: "two_" }),
      await startServer(["--storage", url, "--table-prefix", "three_"]),
    ]) {
      running.push(server);
      const processes = spawnSync("ps", ["-A", "-o", "args"], { encoding: "utf8" }).stdout;
      expect(processes).toContain("a2a-task-manager");
      expect(processes + server.stdout() + server.stderr()).not.toContain(hidden);
    }
  });
});

describe("what isn't a call", () => {
  it("a path that is no call is answered with an error that says so", async () => {
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
  it("an agent is loaded from a TypeScript file", async () => {
    const file = join(newFolder(), "agent.ts");
    writeFileSync(
      file,
      `type Event = object;
       export default {
         async *processMessage(): AsyncIterable<Event> {
           const parts = [{ content: { case: "text", value: "from a file" } }];
           yield { statusUpdate: { state: 3, message: { parts } } };
         },
       };\n`,
    );
    const server = await start("--processor", file);
    const { task } = await send(server, "hello");
    expect(task?.status).toMatchObject({
      state: "TASK_STATE_COMPLETED",
      message: { parts: [{ text: "from a file" }] },
    });
  });
});

describe("the agent card", () => {
  it("the agent card is read from a file and names the address of the server", async () => {
    const file = join(newFolder(), "card.json");
    writeFileSync(
      file,
      JSON.stringify({
        name: "From a file",
        description: "A card",
        provider: { url: "https://example.org", organization: "Example" },
      }),
    );
    const server = await start("--card", file, "--public-url", "https://agents.example.org");
    const card = await (await fetch(new URL("/.well-known/agent-card.json", server.url))).json();
    expect(card).toMatchObject({ name: "From a file", provider: { organization: "Example" } });
    expect(card).toHaveProperty("supportedInterfaces[0].url", "agents.example.org:443");
  });

  it("a faulty agent card prevents the start, and every fault is named", async () => {
    const file = join(newFolder(), "card.json");
    writeFileSync(file, '{"name":5,"skills":[{"tgs":[]}]}');
    const { exited, text } = runMain(["--storage", "memory:", "--port", "0", "--card", file]);
    expect(await exited).toBe(2);
    expect(text.stderr).toContain(`--card "${file}": name: expected string`);
    expect(text.stderr).toContain("skills[0].tgs: AgentSkill has no such field");
    writeFileSync(file, '{"name":"N"}');
    const second = runMain(["--storage", "memory:", "--port", "0", "--card", file]);
    expect(await second.exited).toBe(1);
    expect(second.text.stderr).toMatch(/card\.agent\.description: is missing/);
  });

  it("the agent card is signed with keys from files, which are never printed", async () => {
    const folder = newFolder();
    const { privateKey } = generateKeyPairSync("ec", {
      namedCurve: "P-256",
      privateKeyEncoding: { type: "pkcs8", format: "pem" },
      publicKeyEncoding: { type: "spki", format: "pem" },
    });
    writeFileSync(join(folder, "a.pem"), privateKey, { mode: 0o600 });
    writeFileSync(
      join(folder, "b.json"),
      JSON.stringify({ ...generateKeyPairSync("ed25519").privateKey.export({ format: "jwk" }), kid: "b" }),
      { mode: 0o600 },
    );
    const server = await start(
      "--log-level",
      "trace",
      "--card-key",
      `${join(folder, "a.pem")}:first,${join(folder, "b.json")}`,
      "--card-keys-url",
      "https://example.org/keys",
    );
    const card = await fetch(new URL("/.well-known/agent-card.json", server.url), {
      headers: { "A2A-Version": "1.0" },
    });
    const { signatures } = (await card.json()) as {
      readonly signatures: readonly { readonly protected: string }[];
    };
    expect(signatures.map(({ protected: header }) => JSON.parse(Buffer.from(header, "base64url").toString()))).toEqual([
      { alg: "ES256", kid: "first", typ: "JOSE", jku: "https://example.org/keys" },
      { alg: "EdDSA", kid: "b", typ: "JOSE", jku: "https://example.org/keys" },
    ]);
    expect(await server.end("SIGTERM")).toBe(0);
    const secret = privateKey.split("\n")[1] ?? "no key";
    expect(server.stdout() + server.stderr()).not.toContain(secret);
    writeFileSync(join(folder, "broken.pem"), privateKey.slice(0, 100), { mode: 0o600 });
    const broken = runMain(["--storage", "memory:", "--port", "0", "--card-key", join(folder, "broken.pem")]);
    expect(await broken.exited).toBe(1);
    expect(broken.text.stderr).toContain("card.keys[0]: must be a private key without a passphrase");
    expect(broken.text.stderr).not.toContain(secret.slice(0, 20));
    const absent = runMain(["--storage", "memory:", "--port", "0", "--card-key", join(folder, "none.pem")]);
    expect(await absent.exited).toBe(2);
    expect(absent.text.stderr).toMatch(/^--card-key: .*none\.pem/);
  });

  it("an extended agent card needs --allow-anonymous", async () => {
    const file = join(newFolder(), "card.json");
    writeFileSync(file, JSON.stringify({ name: "For some", description: "A card" }));
    const { exited, text } = runMain(["--storage", "memory:", "--port", "0", "--extended-card", file]);
    expect(await exited).toBe(2);
    expect(text.stderr).toMatch(/^--extended-card .*must be given together with --allow-anonymous/);
    const server = await start("--extended-card", file, "--allow-anonymous");
    expect(await (await call(server, "/lf.a2a.v1.A2AService/GetExtendedAgentCard", {})).json()).toMatchObject({
      name: "For some",
    });
  });

  it("the agent card names localhost, with a warning, where the server listens on all addresses", async () => {
    const server = await start("--host", "0.0.0.0", "--allow-anonymous");
    const card = await (
      await fetch(new URL("/.well-known/agent-card.json", `http://127.0.0.1:${server.url.port}`))
    ).json();
    expect(card).toHaveProperty("supportedInterfaces[0].url", `localhost:${server.url.port}`);
    expect(server.stderr()).toContain("--public-url");
  });
});

describe("its end", () => {
  it.each([
    "SIGTERM",
    "SIGINT",
  ] as const)("%s ends the server at once when nothing runs, idle connections or not", async (signal) => {
    // Longer than a test may take: nothing waits for the end of it.
    const server = await start("--drain-timeout", "10m");
    await send(server, "hello");
    const silent = connect({ host: server.url.hostname, port: Number(server.url.port) });
    await once(silent, "connect");
    expect(await server.end(signal)).toBe(0);
    silent.destroy();
  });

  it("SIGTERM ends the server within the drain time while the stream of a waiting task is open", async () => {
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

  it("SIGTERM signals running turns when they get no time, and the server ends when they have ended", async () => {
    // Longer than a test may take: a turn that isn't told would be waited for until the test fails.
    const server = await start("--drain-turns", "0s", "--drain-timeout", "10m", "--cancel-grace", "10m");
    const { task } = await send(server, "count 1000 60000", { returnImmediately: true });
    expect(task?.id).toBeTruthy();
    expect(await server.end("SIGTERM")).toBe(0);
  });

  it("a second signal ends the server at once", async () => {
    const file = join(newFolder(), "deaf.ts");
    writeFileSync(
      file,
      "export default { async *processMessage() { await new Promise((r) => setTimeout(r, 60_000)); } };\n",
    );
    const server = await start("--processor", file, "--drain-turns", "1m");
    void send(server, "hello").catch(() => undefined);
    await send(server, "hello", { returnImmediately: true });
    void server.end("SIGTERM");
    await expect.poll(() => server.stderr(), { timeout: 30_000 }).toContain("drains");
    expect(await server.end("SIGTERM")).not.toBe(0);
  });

  it("tasks are still there after a restart", async () => {
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

describe("the log", () => {
  const linesOf = (server: ServeProcess, text: string) =>
    server
      .stderr()
      .split("\n")
      .filter((line) => line.includes(text))
      .map((line) => JSON.parse(line));

  it("has one line for each call and each turn, with their ids and sizes", async () => {
    const server = await start();
    const { task } = await send(server, "hello");
    await call(server, `/tasks/${task?.id}:cancel`, {});
    expect(await server.end("SIGTERM")).toBe(0);
    const rpc = "lf.a2a.v1.A2AService";
    const sizes = {
      durationMs: expect.any(Number),
      "http.request.body.size": expect.any(Number),
      "http.response.body.size": expect.any(Number),
    };
    expect(linesOf(server, "A call ended")).toEqual([
      expect.objectContaining({
        "rpc.method": `${rpc}/SendMessage`,
        "rpc.response.status_code": "OK",
        messageId: expect.any(String),
        ...sizes,
      }),
      expect.objectContaining({
        "rpc.method": `${rpc}/CancelTask`,
        "rpc.response.status_code": "FAILED_PRECONDITION",
        taskId: task?.id,
        ...sizes,
      }),
    ]);
    expect(linesOf(server, "A turn ended")).toEqual([
      expect.objectContaining({
        taskId: task?.id,
        attempt: 1,
        end: "returned",
        state: "TASK_STATE_COMPLETED",
        bytes: expect.any(Number),
      }),
    ]);
  });

  it("has the text and the stack of the agent's own error on a loopback address", async () => {
    const file = join(newFolder(), "agent.ts");
    writeFileSync(file, 'export default { async *processMessage() { throw new Error("my own fault"); } };\n');
    const server = await start("--processor", file);
    const { task } = await send(server, "hello");
    expect(JSON.stringify(task)).not.toContain("my own fault");
    expect(linesOf(server, "A turn failed")).toEqual([
      expect.objectContaining({
        err: expect.objectContaining({ message: "my own fault", stack: expect.stringContaining("agent.ts:1") }),
      }),
    ]);
  });

  it("warnings of the MongoDB storage are lines of JSON in the log", async () => {
    await using standalone = await startStandalone();
    const server = await start("--storage", `${standalone.uri}x`);
    const lines = server.stderr().trim().split("\n");
    expect(lines.map((line) => JSON.parse(line))).toEqual([
      expect.objectContaining({ level: 40, msg: expect.stringContaining("no replica set") }),
      expect.objectContaining({ level: 30, msg: "The server is ready" }),
    ]);
    expect(await server.end("SIGTERM")).toBe(0);
  });
});

describe("a port that is in use", () => {
  it("a port that is in use is reported, with exit code 1", async () => {
    const server = await start();
    const second = runMain(["--storage", "memory:", "--port", server.url.port]);
    expect(await second.exited).toBe(1);
    expect(second.text.stderr).toBe(`127.0.0.1:${server.url.port}: the port is in use; choose another with --port\n`);
    expect((await send(server, "still there?")).task?.status.state).toBe("TASK_STATE_COMPLETED");
  });
});
