import { once } from "node:events";
import { create } from "@bufbuild/protobuf";
import { createServiceImplSpec, type HandlerContext } from "@connectrpc/connect";
import { afterEach, expect, test } from "vitest";
import { TaskError } from "../../../src/domain/task-error.ts";
import { silentLogger } from "../../../src/runtime/logger.ts";
import type { CallSettings } from "../../../src/transport/calls/call-settings.ts";
import { errorAnswer } from "../../../src/transport/http-json/error-answer.ts";
import { httpJsonHandler } from "../../../src/transport/http-json/http-json-handler.ts";
import { firstOf } from "../../../src/transport/listener/request-handler.ts";
import { testSettings } from "../call-settings.ts";
import { closeAll, echo, open } from "../listener/fixtures.ts";
import { EverythingSchema, TestService } from "../test-protos.ts";

afterEach(closeAll);

let hungUp = 0;

/** A service of which nothing is A2A's. */
const service = createServiceImplSpec(TestService, {
  whole: () => create(EverythingSchema),
  async counted(_: unknown, { signal }: HandlerContext) {
    await once(signal, "abort");
    hungUp++;
  },
  async *watch({ name }: { readonly name?: string }, { signal }: HandlerContext) {
    yield create(EverythingSchema);
    yield create(EverythingSchema);
    if (name !== "silent") return;
    await once(signal, "abort");
    hungUp++;
  },
} as never);

async function served(settings: Partial<CallSettings> = {}) {
  const ending = new AbortController();
  const given = testSettings({ shutdownSignal: ending.signal, ...settings });
  const handler = httpJsonHandler([service], given);
  const { number } = await open({ handler: firstOf([handler], echo) });
  const call = (
    path: string,
    method: string,
    headers: Record<string, string> = {},
    body?: string,
    signal?: AbortSignal,
  ) =>
    fetch(`http://127.0.0.1:${number}${path}`, {
      method,
      headers,
      ...(body !== undefined && { body }),
      ...(signal && { signal }),
    });
  return { call, waiting: () => given.openExchanges.size };
}

test("a call that is over leaves nothing waiting for the end of the server", async () => {
  const { call, waiting } = await served();
  for (const [path, method] of [
    ["/things/x", "POST"],
    ["/watch", "GET"],
    ["/watch", "HEAD"],
    ["/counts/x", "GET"],
  ] as const) {
    const response = await call(path, method);
    await response.text();
    expect([path, response.status]).toEqual([path, path === "/counts/x" ? 400 : 200]);
    await expect.poll(waiting).toBe(0);
  }
});

test.each([
  "/things/silent:watch",
  "/counts/1",
])("a call whose client hangs up is told so, however silent it is: %s", async (path) => {
  hungUp = 0;
  const { call, waiting } = await served();
  const client = new AbortController();
  const response = call(path, "GET", {}, undefined, client.signal).catch(() => undefined);
  await expect.poll(waiting).toBeGreaterThan(0);
  if (path.endsWith(":watch")) await response;
  client.abort();
  await expect.poll(() => [hungUp, waiting()]).toEqual([1, 0]);
});

test("what isn't let in isn't read either", async () => {
  const { call } = await served({
    admit() {
      throw new TaskError("VERSION_NOT_SUPPORTED", "not this one");
    },
  });
  const response = await call("/things/x", "POST", { "content-type": "application/json" }, "no JSON");
  expect(await response.json()).toMatchObject({ error: { details: [{ reason: "VERSION_NOT_SUPPORTED" }] } });
});

test.each([
  ["TOO_MANY", 429, true],
  ["UNAVAILABLE", 503, true],
  ["DATA_LOSS", 500, false],
] as const)("%s says when to come back, if it helps", (reason, http, comesBack) => {
  const answer = errorAnswer(new TaskError(reason, "no"), silentLogger);
  expect([answer.http, Object.keys(answer.headers)]).toEqual([http, comesBack ? ["retry-after"] : []]);
});
