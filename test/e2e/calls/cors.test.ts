import { afterAll, beforeAll, expect, it } from "vitest";
import { demoProcessor } from "../../../src/agent/demo-processor.ts";
import { createServer, type Server } from "../../../src/server/server.ts";
import { createMemoryStorage } from "../../../src/storage/memory/storage.ts";

/**
 * Every answer on the port says which origin may read it, and that it depends on the origin. Otherwise caches would
 * give it to other origins.
 */

const page = "https://page.example";
let server: Server;

beforeAll(async () => {
  server = await createServer({
    processor: demoProcessor,
    storage: createMemoryStorage(),
    listener: { port: 0 },
    origins: { allowed: [page] },
  });
  await server.listen();
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

it.each([
  ["a Connect call", "POST", "/lf.a2a.v1.A2AService/GetTask", "application/json"],
  ["a gRPC-Web call", "POST", "/lf.a2a.v1.A2AService/GetTask", "application/grpc-web+proto"],
  ["a call over HTTP+JSON", "GET", "/tasks/nothing", undefined],
  ["a list over HTTP+JSON", "GET", "/tasks", undefined],
  ["a call over JSON-RPC", "POST", "/", "application/json"],
  ["a page for health", "GET", "/readyz", undefined],
  ["what isn't there", "GET", "/nothing/here/at/all", undefined],
])("%s", async (_, method, path, type) => {
  for (const origin of [page, "https://other.example"]) {
    const headers = { origin, "a2a-version": "1.0", ...(type && { "content-type": type }) };
    const response = await fetch(new URL(path, server.url), {
      method,
      headers,
      ...(method === "POST" && { body: "{}" }),
    });
    await response.text();
    expect(response.headers.get("access-control-allow-origin")).toBe(origin === page ? page : null);
    expect(response.headers.get("vary")?.toLowerCase().split(/, */)).toContain("origin");
  }
});
