import { createClient } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { ServerReflection } from "../../gen/grpc/reflection/v1/reflection_pb.ts";
import { Health } from "../../gen/health/v1/health_pb.ts";
import { demoProcessor } from "../../src/agent/demo-processor.ts";
import { createServer, type Server } from "../../src/server/server.ts";
import { createMemoryStorage } from "../../src/storage/memory/storage.ts";
import { ServerLoad } from "../../src/transport/load/server-load.ts";

/** What the hooks of the server's calls see of services that no other binding than Connect's serves. */

const seen: string[] = [];
vi.mock(import("../../src/transport/calls/call-hooks.ts"), async (original) => ({
  ...(await original()),
  defaultHooks: () => ({
    authenticate: ({ url }) => {
      seen.push(`authenticate ${url}`);
      return { owner: "", claims: {} };
    },
    load: new ServerLoad(),
    observe: ({ method }) => {
      seen.push(`begin ${method.name}`);
      return (error) => seen.push(`end ${method.name}${error ? ` ${error.rawMessage}` : ""}`);
    },
  }),
}));

let server: Server;
beforeEach(async () => {
  seen.length = 0;
  server = await createServer({ processor: demoProcessor, storage: createMemoryStorage(), listener: { port: 0 } });
  await server.listen();
});
afterEach(() => server[Symbol.asyncDispose]());

const transport = () => createGrpcTransport({ baseUrl: server.url.href });

test("a health check goes the way of every call", async () => {
  const health = createClient(Health, transport());
  await health.check({});
  await expect(health.check({ service: "none" })).rejects.toThrow();
  await expect.poll(() => seen).toHaveLength(6);
  const path = "authenticate /grpc.health.v1.Health/Check";
  expect(seen).toEqual(["begin Check", path, "end Check", "begin Check", path, 'end Check No service "none" here']);
});

test("reflection goes the way of every call", async () => {
  async function* questions() {
    yield { messageRequest: { case: "listServices" as const, value: "" } };
  }
  for await (const _ of createClient(ServerReflection, transport()).serverReflectionInfo(questions())) break;
  await expect.poll(() => seen).toHaveLength(3);
  expect(seen.slice(0, 2)).toEqual([
    "begin ServerReflectionInfo",
    "authenticate /grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
  ]);
});
