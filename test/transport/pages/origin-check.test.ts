import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type RawServer, startRawServer, userMessage } from "../listener/raw-server.ts";

const refused = {
  error: { code: 403, status: "PERMISSION_DENIED", message: expect.stringContaining("--"), details: [] },
};

describe("a server for its own machine", () => {
  let raw: RawServer;
  beforeAll(async () => {
    raw = await startRawServer();
    const headers = { "content-type": "application/json" };
    await raw.http1("/message:send", {
      method: "POST",
      headers,
      body: JSON.stringify({ message: userMessage("hello") }),
    });
  });
  afterAll(() => raw[Symbol.asyncDispose]());

  // All that a form needs to remove every conversation.
  const cleanup = "/taskmanager/v1/conversations:cleanup?maxAgeMs=1";
  const form = { "content-type": "application/x-www-form-urlencoded" };

  test.each([
    "https://page.example",
    "http://localhost:5173",
    "http://127.0.0.1",
    "null",
  ])("carries nothing out for a page of %s, over either version", async (origin) => {
    for (const http of ["http1", "http2"] as const) {
      const answer = await raw[http](cleanup, { method: "POST", headers: { ...form, origin } });
      expect([answer.status, answer.json]).toEqual([403, refused]);
      expect((await raw[http]("/tasks")).json).toMatchObject({ totalSize: 1 });
    }
  });

  test.each([
    ["a list", "GET", "/tasks"],
    ["JSON-RPC", "POST", "/"],
    ["Connect", "POST", "/lf.a2a.v1.A2AService/ListTasks"],
    ["the card", "GET", "/.well-known/agent-card.json"],
    ["a preflight", "OPTIONS", "/message:send"],
    ["what isn't there", "GET", "/nothing/here/at/all"],
  ])("refuses a page on every way: %s", async (_, method, path) => {
    expect((await raw.http1(path, { method, headers: { origin: "https://page.example" } })).status).toBe(403);
  });

  test.each([
    "page.example",
    "127.0.0.1.page.example",
    "localhost.page.example",
    "0.0.0.0",
    "192.168.0.7",
    "[::2]",
  ])("answers to no name that may be another's: %s", async (name) => {
    const host = `${name}:${raw.server.url.port}`;
    // As the page of a site whose name leads here: the same origin.
    for (const headers of [{ host }, { host, origin: `http://${host}` }]) {
      const answer = await raw.http1("/tasks", { headers });
      expect([answer.status, answer.json]).toEqual([403, refused]);
    }
    expect((await raw.http2("/tasks", { headers: { ":authority": host } })).status).toBe(403);
  });

  test.each([
    "localhost",
    "LOCALHOST",
    "127.0.0.1",
    "127.8.9.1",
    "[::1]",
    "agent.localhost",
  ])("answers to what means this machine: %s", async (name) => {
    const host = `${name}:${raw.server.url.port}`;
    for (const headers of [{ host }, { host, origin: `http://${host}` }])
      expect((await raw.http1("/tasks", { headers })).status).toBe(200);
  });

  test("tells everybody how it is", async () => {
    expect(
      (await raw.http1("/readyz", { headers: { host: "10.0.0.1:8080", origin: "https://page.example" } })).status,
    ).toBe(200);
  });
});

describe("what a page of another site loads without an Origin, as images and links", () => {
  let raw: RawServer;
  beforeAll(async () => {
    raw = await startRawServer({ origins: { allowed: ["https://page.example"] } });
  });
  afterAll(() => raw[Symbol.asyncDispose]());
  const image = { "sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image" };

  test.each([
    "/tasks",
    "/tasks/none:subscribe",
    "/taskmanager/v1/conversations:stats",
    "/lf.a2a.v1.A2AService/ListTasks?connect=v1&encoding=json&message=%7B%7D",
    "/nothing/here/at/all",
  ])("is refused before it runs: %s", async (path) => {
    for (const method of ["GET", "HEAD"])
      for (const http of ["http1", "http2"] as const)
        expect((await raw[http](path, { method, headers: image })).status).toBe(403);
    expect((await raw.http1(path, { headers: image })).json).toEqual({
      error: { ...refused.error, message: expect.stringContaining("--cors-origins") },
    });
  });

  test.each([
    "/healthz",
    "/readyz",
    "/.well-known/agent-card.json",
    "/openapi.json",
    "/",
  ])("is served where it says the same to everyone: %s", async (path) => {
    expect((await raw.http1(path, { headers: image })).status).toBe(200);
  });

  test("is served to an allowed origin, to the server's own pages, and to what is no browser", async () => {
    for (const headers of [
      { ...image, origin: "https://page.example" },
      { "sec-fetch-site": "same-origin" },
      { "sec-fetch-site": "none" },
      {},
    ])
      expect([headers, (await raw.http1("/tasks", { headers })).status]).toEqual([headers, 200]);
  });
});

test.each([
  ["an origin", { origin: "https://page.example" }, "--cors-origins"],
  ["a host", { ":authority": "evil.example" }, "--public-url"],
])("%s that is refused over gRPC is a status of gRPC, and names the setting", async (_, headers, setting) => {
  await using raw = await startRawServer();
  const path = "/lf.a2a.v1.A2AService/ListTasks";
  for (const type of ["application/grpc", "application/grpc+proto", "Application/gRPC"]) {
    const answer = await raw.http2(path, { method: "POST", headers: { "content-type": type, ...headers } });
    expect([answer.status, answer.headers["content-type"], answer.headers["grpc-status"]]).toEqual([200, type, "7"]);
    expect(decodeURI(String(answer.headers["grpc-message"]))).toContain(setting);
  }
  // A browser sends gRPC-Web, and its developer tools show the body.
  const web = await raw.http2(path, {
    method: "POST",
    headers: { "content-type": "application/grpc-web", ...headers },
  });
  expect([web.status, web.headers["grpc-status"]]).toEqual([403, undefined]);
  expect(web.body).toContain(setting);
});

test("pages of named origins and of the public URL may call, others may not", async () => {
  await using raw = await startRawServer({
    origins: { allowed: ["https://page.example"] },
    publicUrl: new URL("https://agent.example/a2a"),
  });
  for (const [host, origin, status] of [
    ["127.0.0.1", "https://page.example", 200],
    ["127.0.0.1", "https://agent.example", 200],
    ["agent.example", "https://agent.example", 200],
    ["agent.example", "https://page.example", 200],
    ["agent.example", "https://other.example", 403],
    ["other.example", "https://page.example", 403],
  ] as const) {
    expect([host, origin, (await raw.http1("/tasks", { headers: { host, origin } })).status]).toEqual([
      host,
      origin,
      status,
    ]);
  }
});

test("where anybody is served, by any name, pages of other sites are not", async () => {
  await using raw = await startRawServer({ allowAnonymous: true });
  const host = "agent.example";
  expect((await raw.http1("/tasks", { headers: { host } })).status).toBe(200);
  expect((await raw.http1("/tasks", { headers: { host, origin: `http://${host}` } })).status).toBe(200);
  expect((await raw.http1("/tasks", { headers: { host, origin: "https://page.example" } })).status).toBe(403);
});

test("where all pages may call, all of them may", async () => {
  await using raw = await startRawServer({ origins: { allowed: ["*"] } });
  for (const origin of ["https://page.example", "null"])
    expect((await raw.http1("/tasks", { headers: { origin } })).status).toBe(200);
});
