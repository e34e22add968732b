import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { build } from "rolldown";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Browser, openChromium, type Page } from "../../chromium/chromium.ts";
import type { callBy, callByFetch } from "../../chromium/page.ts";
import { type ServeProcess, startServer } from "../serve-process.ts";

/** Pages in a real Chromium that call the real server, which is another origin to them. */

type Calls = { readonly callBy: typeof callBy; readonly callByFetch: typeof callByFetch };

let pages: Server;
let server: ServeProcess;
let browser: Browser;
/** Of the page that the server lets in, and of the same page by another name, which it doesn't. */
let origins: { readonly allowed: string; readonly other: string };

beforeAll(async () => {
  const { output } = await build({
    input: join(import.meta.dirname, "../../chromium/page.ts"),
    write: false,
    output: { format: "esm" },
    logLevel: "silent",
  });
  const script = output[0].code;
  pages = createServer((request, response) => {
    const isScript = request.url === "/page.js";
    response.setHeader("content-type", isScript ? "text/javascript" : "text/html");
    response.end(
      isScript
        ? script
        : '<!doctype html><link rel="icon" href="data:,"><script type="module" src="/page.js"></script>',
    );
  }).listen(0, "127.0.0.1");
  await once(pages, "listening");
  const { port } = pages.address() as AddressInfo;
  origins = { allowed: `http://127.0.0.1:${port}`, other: `http://localhost:${port}` };
  server = await startServer(["--storage", "memory:", "--cors-origins", `https://example.com,${origins.allowed}`]);
  browser = await openChromium();
}, 400_000);

afterAll(async () => {
  await browser?.[Symbol.asyncDispose]();
  await server?.end("SIGKILL");
  pages?.close();
});

async function open(origin: string): Promise<Page> {
  const page = await browser.newPage();
  await page.goto(origin);
  await page.waitForFunction(() => "callBy" in globalThis);
  return page;
}

describe("a page of an allowed origin", () => {
  it.each([
    "gRPC-Web",
    "Connect JSON",
    "Connect binary",
  ])("calls, streams, resumes and is told errors and deadlines over %s", async (name) => {
    const page = await open(origins.allowed);
    const result = await page.evaluate(([transport, url]) => (globalThis as unknown as Calls).callBy(transport, url), [
      name,
      server.url.origin,
    ] as const);
    const events = [
      "statusUpdate WORKING",
      "artifactUpdate",
      "artifactUpdate",
      "artifactUpdate",
      "statusUpdate COMPLETED",
    ];
    expect(result).toMatchObject({
      sent: "COMPLETED",
      streamed: ["task SUBMITTED", ...events],
      watched: ["task SUBMITTED", ...events],
      health: 1,
      refused: { code: "NotFound", reason: "TASK_NOT_FOUND", message: 'No task "nothing"' },
      refusedStream: { code: "FailedPrecondition", reason: "UNSUPPORTED_OPERATION" },
      late: { code: "DeadlineExceeded" },
    });
    await page.close();
  });

  it("calls by fetch alone", async () => {
    const page = await open(origins.allowed);
    const result = await page.evaluate((url) => (globalThis as unknown as Calls).callByFetch(url), server.url.origin);
    const task = { status: { state: "TASK_STATE_COMPLETED" }, artifacts: [{ parts: [{ text: "hello" }] }] };
    expect(result).toMatchObject({
      rest: { status: 200, body: { task } },
      sent: { status: 200, body: { task } },
      refused: { status: 404, body: { code: "not_found", details: [{ type: "google.rpc.ErrorInfo" }] } },
    });
    await page.close();
  });
});

it("a page of another origin gets nothing", async () => {
  const page = await open(origins.other);
  for (const name of ["gRPC-Web", "Connect JSON"]) {
    const call = page.evaluate(([transport, url]) => (globalThis as unknown as Calls).callBy(transport, url), [
      name,
      server.url.origin,
    ] as const);
    await expect(call).rejects.toThrow(/Failed to fetch/);
  }
  await page.close();
});

it("nothing of what a page of another origin sends past CORS is carried out", async () => {
  const message = { messageId: crypto.randomUUID(), role: "ROLE_USER", parts: [{ text: "hello" }] };
  const headers = { "content-type": "application/json", "A2A-Version": "1.0" };
  const sent = await fetch(new URL("/message:send", server.url), {
    method: "POST",
    headers,
    body: JSON.stringify({ message }),
  });
  expect(sent.status).toBe(200);
  const stats = async () => (await fetch(new URL("/taskmanager/v1/conversations:stats", server.url))).text();
  const before = await stats();
  const page = await open(origins.other);
  const types = await page.evaluate(async (url) => {
    // All conversations that have been idle for a millisecond.
    const sent = ["cors", "no-cors"] as const;
    return Promise.all(
      sent.map((mode) =>
        fetch(`${url}/taskmanager/v1/conversations:cleanup?maxAgeMs=1`, { method: "POST", mode }).then(
          ({ type }) => type,
          String,
        ),
      ),
    );
  }, server.url.origin);
  // Of the answer without CORS, cross-origin-resource-policy hides even that there is one.
  expect(types).toEqual([expect.stringContaining("Failed to fetch"), expect.stringContaining("Failed to fetch")]);
  expect(await stats()).toBe(before);
  await page.close();
});

it("a GET of another site runs for an allowed origin, and not for a link, which has no origin", async () => {
  const strict = await startServer(["--storage", "memory:", "--cors-origins", origins.other]);
  try {
    const page = await open(origins.other);
    const got = await page.evaluate(async (url) => {
      const response = await fetch(`${url}/tasks`, { headers: { "A2A-Version": "1.0" } });
      return { status: response.status, body: await response.json() };
    }, strict.url.origin);
    expect(got).toMatchObject({ status: 200, body: { tasks: [] } });
    await page.evaluate((url) => {
      const { location } = globalThis as unknown as { readonly location: { assign(to: string): void } };
      location.assign(`${url}/tasks?A2A-Version=1.0`);
    }, strict.url.origin);
    await page.waitForFunction(() => {
      const { document } = globalThis as unknown as { readonly document: { readonly body: { innerText: string } } };
      return document.body.innerText.includes("need an allowed Origin");
    });
    await page.close();
  } finally {
    await strict.end("SIGKILL");
  }
});
