import { brotliCompressSync } from "node:zlib";
import { expect, test } from "vitest";
import { startServer } from "../serve-process.ts";

test("100 bytes that decompress to millions of values don't end a server with a small heap", async () => {
  const server = await startServer(["--storage", "memory:"], { NODE_OPTIONS: "--max-old-space-size=512" });
  const message = '"messageId":"x","role":"ROLE_USER","parts":[{"text":"x"}]';
  const plain = `{"message":{${message},"metadata":{"a":[${"[[0]],".repeat(800_000)}0]},"extensions":[5]}}`;
  const send = (body: string | Uint8Array<ArrayBuffer>, headers: Record<string, string> = {}) =>
    fetch(new URL("/message:send", server.url), {
      method: "POST",
      headers: { "content-type": "application/json", "A2A-Version": "1.0", ...headers },
      body,
    });
  const bomb = await send(new Uint8Array(brotliCompressSync(plain)), { "content-encoding": "br" });
  expect([bomb.status, await bomb.text()]).toEqual([413, expect.stringContaining("compressed by more than 50:1")]);
  const large = await send(plain);
  expect([large.status, await large.text()]).toEqual([413, expect.stringContaining("more than 100000 values")]);
  expect((await fetch(new URL("/readyz", server.url))).status).toBe(200);
  expect(await server.end("SIGTERM")).toBe(0);
});
