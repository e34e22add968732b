import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type RawServer, startRawServer } from "../listener/raw-server.ts";

let raw: RawServer;
beforeAll(async () => {
  raw = await startRawServer({ allowAnonymous: true });
});
afterAll(() => raw[Symbol.asyncDispose]());

/** The status of the answer to a request with these lines as its headers. */
async function statusOf(path: string, ...lines: readonly string[]): Promise<number> {
  const socket = connect(Number(raw.server.url.port), "127.0.0.1");
  socket.write(`${[`GET ${path} HTTP/1.1`, ...lines, "connection: close"].join("\r\n")}\r\n\r\n`);
  return Number((await text(socket)).split(" ", 2)[1]);
}

test.each([
  ["two hosts", ["Host: 127.0.0.1", "Host: evil.example"]],
  ["two equal hosts", ["host: 127.0.0.1", "HOST: 127.0.0.1"]],
  ["a user before the host", ["Host: evil.example@127.0.0.1"]],
  ["a user and a password before the host", ["Host: evil.example:80@127.0.0.1:8080"]],
])("%s are 400 on every path, and one host is not", async (_, lines) => {
  for (const path of ["/tasks", "/readyz", "/.well-known/agent-card.json"])
    expect([await statusOf(path, ...lines), await statusOf(path, "Host: 127.0.0.1")]).toEqual([400, 200]);
});

test("over HTTP/2 a host that differs from the authority is 400, and the same one is not", async () => {
  const answers = ["evil.example", "agent.example"].map((host) =>
    raw.http2("/tasks", { headers: { ":authority": "agent.example", host } }),
  );
  expect((await Promise.all(answers)).map(({ status }) => status)).toEqual([400, 200]);
});
