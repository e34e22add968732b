import { copyFileSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Health } from "../../gen/health/v1/health_pb.ts";
import { A2AService, Role } from "../../gen/lf/a2a/v1/a2a_pb.ts";
import { createSqliteStorage } from "../../src/storage/sqlite/storage.ts";
import { type InstalledPackage, installPackage } from "../package/installed-package.ts";
import { startHost } from "./host-process.ts";

/** The examples of docs/embedding.md with the packed package, each started as its users start it. */

const root = join(import.meta.dirname, "../..");
const examples = join(root, "examples/hosts");
const bin = (name: string) => join(root, "node_modules/.bin", name);

let installed: InstalledPackage;
beforeAll(() => {
  installed = installPackage(["express", "fastify", "hono", "@hono/node-server"]);
  for (const file of readdirSync(examples)) copyFileSync(join(examples, file), join(installed.folder, file));
  installed.write("package.json", '{ "type": "module" }\n');
});
afterAll(() => installed[Symbol.dispose]());

const hosts: readonly (readonly [name: string, ...command: string[]])[] = [
  ["Express", process.execPath, "express.js"],
  ["Fastify", process.execPath, "fastify.js"],
  ["Hono on Node", process.execPath, "hono.js"],
  ["Hono on Node, bundled by esbuild", process.execPath, "bundled/hono.js"],
  ["Bun", bin("bun"), "bun.js"],
  ["Deno", bin("deno"), "run", "-A", "--node-modules-dir=manual", "deno.js"],
];
const version = { "A2A-Version": "1.0" };
const json = { "content-type": "application/json", ...version };
const message = () => ({ messageId: crypto.randomUUID(), role: "ROLE_USER", parts: [{ text: "two words" }] });
const completed = { task: { status: { state: "TASK_STATE_COMPLETED" } } };

interface Card {
  readonly supportedInterfaces: readonly { readonly url: string; readonly protocolBinding: string }[];
}

test("every example of a host is tried here", () => {
  const tried = hosts.flatMap((host) => host.at(-1)?.replace("bundled/", "") ?? []);
  const files = readdirSync(examples).filter((file) => file !== "agent.js");
  expect([...new Set(tried)].toSorted()).toEqual(files.toSorted());
});

describe.each(hosts)("%s", (name, command = "", ...args) => {
  test("serves every binding but gRPC below a path, and ends in order", async () => {
    if (name.includes("bundled")) await bundle();
    for (const end of ["", "-wal", "-shm"]) rmSync(join(installed.folder, `tasks.db${end}`), { force: true });
    const host = await startHost(installed.folder, command, ...args);
    const url = `${host.url}/a2a`;
    const post = (path: string, body: unknown) =>
      fetch(url + path, { method: "POST", headers: json, body: JSON.stringify(body) });
    try {
      const card = (await (await fetch(`${url}/.well-known/agent-card.json`)).json()) as Card;
      expect(card.supportedInterfaces[0]?.url).toBe(url);
      expect(card.supportedInterfaces.map(({ protocolBinding }) => protocolBinding)).not.toContain("GRPC");
      expect((await fetch(`${url}/readyz`)).status).toBe(200);
      expect(await (await fetch(`${url}/openapi.json`)).json()).toMatchObject({ servers: [{ url }] });
      expect((await fetch(`${url}x/readyz`)).status).toBe(404);

      expect(await (await post("/message:send", { message: message() })).json()).toMatchObject(completed);
      const events = await (await post("/message:stream", { message: message() })).text();
      expect(events.match(/^data: /gm)).toHaveLength(5);
      const call = (method: string) => ({ jsonrpc: "2.0", id: 1, method, params: { message: message() } });
      expect(await (await post("/", call("SendMessage"))).json()).toMatchObject({ result: completed });
      const rpcEvents = await (await post("/", call("SendStreamingMessage"))).text();
      expect(rpcEvents.match(/^data: \{"jsonrpc"/gm)).toHaveLength(5);
      const transports = [createConnectTransport, createGrpcWebTransport].map((make) =>
        make({ baseUrl: url, httpVersion: "1.1" }),
      );
      for (const transport of transports) {
        const client = createClient(A2AService, transport);
        const input = { message: { messageId: crypto.randomUUID(), role: Role.USER, parts: [] } };
        const empty = await client.sendMessage(input, { headers: version }).catch(ConnectError.from);
        expect(empty).toMatchObject({ code: Code.InvalidArgument });
        expect(await client.listTasks({}, { headers: version })).toMatchObject({ totalSize: 4 });
      }
      const tooLarge = "x".repeat(20 * 1024 * 1024);
      expect((await post("/message:send", { message: { parts: [{ text: tooLarge }] } })).status).toBe(413);
      const grpc = await fetch(`${url}/`, { method: "POST", headers: { "content-type": "application/grpc" } });
      expect(grpc.headers.get("grpc-status")).toBe(String(Code.Unimplemented));

      // It lasts until the handler is disposed of.
      const states = createClient(Health, createConnectTransport({ baseUrl: url, httpVersion: "1.1" })).watch({});
      const watch = states[Symbol.asyncIterator]();
      expect((await watch.next()).done).toBe(false);
      const ended = (async () => {
        for (;;) if ((await watch.next()).done) return "ended";
      })().catch((error) => ConnectError.from(error).code);
      expect(await host.end()).toBe(0);
      expect(await ended).toBe(Code.Unavailable);
    } finally {
      if (host.pid !== undefined) await host.end();
    }
    // The last to be disposed of was the storage: it is whole, and its lock is free.
    await using storage = await createSqliteStorage(join(installed.folder, "tasks.db"));
    expect(storage).toBeDefined();
  });
});

describe("behind a body parser", () => {
  /** The answer to a call if this program runs the handler. */
  async function answerOf(program: string): Promise<Response> {
    const text = `
      import express from "express";
      import Fastify from "fastify";
      import { createHandler } from "a2a-task-manager/server";
      import { createMemoryStorage } from "a2a-task-manager/memory";
      import processor from "./agent.js";
      const port = process.env.PORT, host = "127.0.0.1", ready = () => console.log("ready");
      const handler = await createHandler({ processor, storage: createMemoryStorage(), pathPrefix: "/a2a" });
      process.once("SIGTERM", () => process.exit());
      ${program}`;
    installed.write("parsed.js", text);
    const server = await startHost(installed.folder, process.execPath, "parsed.js");
    try {
      const body = JSON.stringify({ message: message() });
      return await fetch(`${server.url}/a2a/message:send`, { method: "POST", headers: json, body });
    } finally {
      await server.end();
    }
  }
  const expressWith = (parser: string) => `express().use(${parser}).use(handler.node).listen(port, host, ready);`;

  test.each([
    "express.json({ verify: (request, _response, bytes) => { request.rawBody = bytes; } })",
    'express.raw({ type: "application/json" })',
  ])("a call is served from the bytes that it has kept: %s", async (parser) => {
    expect(await (await answerOf(expressWith(parser))).json()).toMatchObject(completed);
  });

  test("a call gets an error that names express.json() if that has kept none", async () => {
    const answer = await answerOf(expressWith("express.json()"));
    expect(answer.status).toBe(500);
    expect(await answer.text()).toContain("A body parser, such as express.json(), has read the request");
  });

  test("a call gets an error that names Fastify's parsers if one has run", async () => {
    const answer = await answerOf(`const app = Fastify();
      app.all("/a2a/*", (request, reply) => { reply.hijack(); handler.node(request.raw, reply.raw); });
      await app.listen({ port, host });
      ready();`);
    expect(answer.status).toBe(500);
    expect(await answer.text()).toContain("such as Fastify's content-type parsers, has read the request");
  });
});

/** The command of docs/embedding.md. */
async function bundle(): Promise<void> {
  await build({
    absWorkingDir: installed.folder,
    entryPoints: { hono: "hono.js", "sqlite-worker": "a2a-task-manager/sqlite/worker" },
    outdir: "bundled",
    bundle: true,
    splitting: true,
    platform: "node",
    format: "esm",
    external: ["mongodb"],
    banner: {
      js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);',
    },
    logLevel: "error",
  });
}
