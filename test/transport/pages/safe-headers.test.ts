import { afterAll, beforeAll, expect, test } from "vitest";
import { type RawServer, startRawServer, userMessage } from "../listener/raw-server.ts";

let raw: RawServer;
beforeAll(async () => {
  raw = await startRawServer();
});
afterAll(() => raw[Symbol.asyncDispose]());

const json = "application/json";
const message = JSON.stringify({ message: userMessage("hello") });
const rpc = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "ListTasks", params: {} });

test.each([
  ["a list", "GET", "/tasks", undefined, undefined, 200],
  ["a task that isn't there", "GET", "/tasks/none", undefined, undefined, 404],
  ["a message", "POST", "/message:send", json, message, 200],
  ["a stream", "POST", "/message:stream", json, message, 200],
  ["JSON-RPC", "POST", "/", json, rpc, 200],
  ["Connect", "POST", "/lf.a2a.v1.A2AService/ListTasks", json, "{}", 200],
  ["gRPC-Web", "POST", "/lf.a2a.v1.A2AService/ListTasks", "application/grpc-web+proto", "\0\0\0\0\0", 200],
  ["what isn't there", "GET", "/nothing/here/at/all", undefined, undefined, 404],
] as const)("no answer may be guessed at, shown by other sites or kept: %s", async (_, method, path, type, body, status) => {
  const request = { method, headers: type ? { "content-type": type } : {}, ...(body !== undefined && { body }) };
  for (const http of ["http1", "http2"] as const) {
    const answer = await raw[http](path, request);
    expect([answer.status, answer.headers]).toMatchObject([
      status,
      {
        "x-content-type-options": "nosniff",
        "cross-origin-resource-policy": "same-origin",
        "cache-control": expect.stringContaining("no-store"),
      },
    ]);
  }
});

test("answers to plain gRPC, which no browser can send, don't have them", async () => {
  const headers = { "content-type": "application/grpc" };
  const request = { method: "POST", headers, body: "\0\0\0\0\0" };
  const answer = await raw.http2("/lf.a2a.v1.A2AService/ListTasks", request);
  expect(answer.headers).toMatchObject({ "content-type": "application/grpc+proto" });
  expect(answer.headers).not.toHaveProperty("x-content-type-options");
  expect(answer.headers).not.toHaveProperty("cache-control");
});

test("the card may be kept, and has the other two", async () => {
  expect((await raw.http1("/.well-known/agent-card.json")).headers).toMatchObject({
    "x-content-type-options": "nosniff",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "public, max-age=300",
  });
});
