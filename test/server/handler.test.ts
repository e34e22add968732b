import { once } from "node:events";
import { createServer } from "node:http";
import { createServer as createHttp2Server } from "node:http2";
import type { AddressInfo, Server } from "node:net";
import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { afterEach, describe, expect, test } from "vitest";
import { A2AService } from "../../gen/lf/a2a/v1/a2a_pb.ts";
import { demoProcessor } from "../../src/agent/demo-processor.ts";
import { createHandler, type Handler } from "../../src/server/handler.ts";
import type { HandlerOptions } from "../../src/server/server-options.ts";
import { createMemoryStorage } from "../../src/storage/memory/storage.ts";

const opened: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close();
});

async function made(options: Partial<HandlerOptions> = {}): Promise<Handler> {
  const storage = createMemoryStorage();
  opened.push(() => storage[Symbol.asyncDispose]());
  const handler = await createHandler({
    processor: demoProcessor,
    storage,
    calls: { a2aVersion: "lenient" },
    ...options,
  });
  opened.push(() => handler[Symbol.asyncDispose]());
  return handler;
}

async function listening(server: Server): Promise<string> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  opened.push(() => server.close());
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function send(url: string, text: string): Promise<Response> {
  const message = { messageId: crypto.randomUUID(), role: "ROLE_USER", parts: [{ text }] };
  const headers = { "content-type": "application/json" };
  return fetch(`${url}/message:send`, { method: "POST", headers, body: JSON.stringify({ message }) });
}

const cardPath = "/.well-known/agent-card.json";

describe("a handler", () => {
  test("serves calls and the card in an HTTP server of Node's", async () => {
    const handler = await made();
    const url = await listening(createServer(handler.node));
    expect(await (await send(url, "hello")).json()).toMatchObject({
      task: { status: { state: "TASK_STATE_COMPLETED" } },
    });
    await handler.publish(new URL(url));
    expect(await (await fetch(url + cardPath)).json()).toHaveProperty("url", `${url}/`);
  });

  test("serves gRPC in an HTTP/2 server of Node's", async () => {
    const handler = await made();
    const baseUrl = await listening(createHttp2Server(handler.node));
    const client = createClient(A2AService, createGrpcTransport({ baseUrl }));
    expect(await client.listTasks({})).toMatchObject({ totalSize: 0 });
  });

  test("publishes its card by itself if it has a public URL", async () => {
    const handler = await made({ publicUrl: new URL("https://agent.example/a2a") });
    const url = await listening(createServer(handler.node));
    expect(await (await fetch(url + cardPath)).json()).toHaveProperty("url", "https://agent.example/a2a/");
  });

  test("rejects requests from other origins unless they are allowed", async () => {
    const foreign = { headers: { origin: "https://other.example" } };
    const closed = await listening(createServer((await made()).node));
    expect((await fetch(closed + cardPath, foreign)).status).toBe(403);
    const opener = await made({ origins: { allowed: ["https://other.example"] }, publicUrl: new URL(closed) });
    expect((await fetch((await listening(createServer(opener.node))) + cardPath, foreign)).status).toBe(200);
  });

  test("serves calls of a route handler, such as Next's, which gets a request of fetch", async () => {
    const { fetch: GET } = await made({ pathPrefix: "/api/a2a", publicUrl: new URL("https://agent.example/api/a2a") });
    const POST = GET;
    const base = "https://agent.example/api/a2a";
    expect(await (await GET(new Request(base + cardPath))).json()).toHaveProperty("url", `${base}/`);
    const message = { messageId: crypto.randomUUID(), role: "ROLE_USER", parts: [{ text: "hello" }] };
    const init = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ message }) };
    const events = await (await POST(new Request(`${base}/message:stream`, init))).text();
    expect(events).toContain("TASK_STATE_COMPLETED");
    expect((await GET(new Request(`https://other.example/api/a2a${cardPath}`))).status).toBe(403);
  });

  test("that drains rejects new work and reports it", async () => {
    const handler = await made();
    const url = await listening(createServer(handler.node));
    await handler.drain();
    expect((await fetch(`${url}/readyz`)).status).toBe(503);
    expect((await send(url, "hello")).status).toBe(503);
  });
});
