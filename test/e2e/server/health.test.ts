import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { HealthCheckResponse_ServingStatus as Status } from "../../../gen/health/v1/health_pb.ts";
import { demoProcessor } from "../../../src/agent/demo-processor.ts";
import { createServer, type Server } from "../../../src/server/server.ts";
import { createMemoryStorage } from "../../../src/storage/memory/storage.ts";
import { bindings, toldError } from "../bindings.ts";

let server: Server;

beforeAll(async () => {
  server = await createServer({ processor: demoProcessor, storage: createMemoryStorage(), listener: { port: 0 } });
  await server.listen();
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

describe.each(bindings)("health over $name", ({ connect }) => {
  it.each([
    "",
    "lf.a2a.v1.A2AService",
    "taskmanager.v1.TaskManagerService",
    "taskmanager.v1.ConversationService",
  ])('"%s" is served', async (service) => {
    expect((await connect(server.url.origin).health.check({ service })).status).toBe(Status.SERVING);
  });

  it("an unknown service is NotFound for Check and SERVICE_UNKNOWN for Watch", async () => {
    const { health } = connect(server.url.origin);
    expect(await health.check({ service: "no.Service" }).catch(toldError)).toMatchObject({ code: "NotFound" });
    const watching = new AbortController();
    for await (const { status } of health.watch({ service: "no.Service" }, { signal: watching.signal })) {
      expect(status).toBe(Status.SERVICE_UNKNOWN);
      break;
    }
    // Connect over HTTP/2 keeps a stream open that is only not read any more, and the server waits for it at its end.
    watching.abort();
  });
});
