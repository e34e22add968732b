import { text } from "node:stream/consumers";
import { afterEach, describe, expect, it } from "vitest";
import type { ReadinessState } from "../../../src/manager/replica/readiness.ts";
import { firstOf } from "../../../src/transport/listener/request-handler.ts";
import { healthPages } from "../../../src/transport/pages/health-pages.ts";
import { closeAll, echo, http2Client, open } from "../listener/fixtures.ts";

afterEach(closeAll);

interface Answer {
  readonly status: number;
  readonly body: string;
  readonly cached: unknown;
}

/** The same request over both versions, which must be answered alike. */
async function ask(state: ReadinessState, method: string, path: string): Promise<Answer> {
  const readiness = { state, changed: async () => {} };
  const { number } = await open({ handler: firstOf([healthPages(readiness)], echo) });
  const response = await fetch(`http://127.0.0.1:${number}${path}`, { method });
  const first = { status: response.status, body: await response.text(), cached: response.headers.get("cache-control") };
  const stream = http2Client(`http://127.0.0.1:${number}`).request({ ":method": method, ":path": path });
  const headers = await new Promise<Record<string, unknown>>((resolve) => stream.once("response", resolve));
  stream.end();
  expect({
    status: headers[":status"],
    body: (await text(stream)).replace("2.0", "1.1"),
    cached: headers["cache-control"] ?? null,
  }).toEqual(first);
  return first;
}

describe("the pages for health checks", () => {
  it.each([
    ["/healthz", "ready", 200, '{"status":"ok"}'],
    ["/healthz", "storage-silent", 200, '{"status":"ok"}'],
    ["/healthz", "draining", 200, '{"status":"ok"}'],
    ["/readyz", "ready", 200, '{"status":"ok"}'],
    [
      "/readyz?verbose",
      "storage-silent",
      503,
      '{"status":"unavailable","reason":"The storage has not answered for 10 s"}',
    ],
    [
      "/readyz",
      "storage-lost",
      503,
      '{"status":"unavailable","reason":"The database was removed or replaced under the server"}',
    ],
    ["/readyz", "draining", 503, '{"status":"unavailable","reason":"The server is going down"}'],
  ] as const)("%s of a server that is %s is answered with %d, by GET and HEAD", async (path, state, status, body) => {
    expect(await ask(state, "GET", path)).toEqual({ status, body, cached: "no-store" });
    expect(await ask(state, "HEAD", path)).toEqual({ status, body: "", cached: "no-store" });
  });

  it("take no other method", async () => {
    expect(await ask("ready", "DELETE", "/readyz")).toMatchObject({ status: 405, cached: "no-store" });
  });

  it("leave every other path alone", async () => {
    expect(await ask("draining", "GET", "/readyz/x")).toMatchObject({ status: 200, body: "1.1 GET /readyz/x 0" });
  });
});
