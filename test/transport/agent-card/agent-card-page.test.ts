import { once } from "node:events";
import { connect } from "node:http2";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { demoProcessor } from "../../../src/agent/demo-processor.ts";
import type { ServerOptions } from "../../../src/server/server-options.ts";
import { type Served, served } from "../../e2e/served.ts";

let server: Served;
beforeAll(async () => {
  server = await served({ processor: demoProcessor });
});
afterAll(() => server[Symbol.asyncDispose]());

const page = () => new URL("/.well-known/agent-card.json", server.url);

test("is served without a version, as JSON, with the address of the server (R150)", async () => {
  const response = await fetch(page());
  expect([response.status, response.headers.get("content-type")]).toEqual([200, "application/json"]);
  expect(await response.json()).toMatchObject({
    name: "Demo agent",
    supportedInterfaces: [
      { url: server.url.host, protocolBinding: "GRPC", protocolVersion: "1.0" },
      { url: server.url.origin, protocolBinding: "HTTP+JSON", protocolVersion: "1.0" },
      { url: server.url.href, protocolBinding: "JSONRPC", protocolVersion: "1.0" },
      { url: server.url.href, protocolBinding: "JSONRPC", protocolVersion: "0.3" },
    ],
  });
});

test("over HTTP/2 too", async () => {
  const session = connect(server.url.origin);
  const stream = session.request({ ":path": page().pathname });
  const [headers] = await once(stream, "response");
  let text = "";
  for await (const chunk of stream) text += chunk;
  session.close();
  expect([headers[":status"], headers["content-type"], JSON.parse(text).name]).toEqual([
    200,
    "application/json",
    "Demo agent",
  ]);
});

describe("conditional requests (R153)", () => {
  test("an unchanged card isn't sent again", async () => {
    const first = await fetch(page());
    await first.arrayBuffer();
    const etag = first.headers.get("etag") ?? "";
    expect(etag).toMatch(/^"[\w-]{43}"$/);
    expect(first.headers.get("cache-control")).toBe("public, max-age=300");
    for (const asked of [etag, `W/${etag}`, `"other", ${etag}`, "*"]) {
      const again = await fetch(page(), { headers: { "if-none-match": asked } });
      expect([again.status, await again.text(), again.headers.get("etag"), again.headers.get("cache-control")]).toEqual(
        [304, "", etag, "public, max-age=300"],
      );
    }
    for (const asked of ['"other"', "", etag.slice(1, -1)])
      expect((await fetch(page(), { headers: { "if-none-match": asked } })).status).toBe(200);
  });

  test("HEAD has the headers of GET", async () => {
    const [get, head] = await Promise.all([fetch(page()), fetch(page(), { method: "HEAD" })]);
    for (const name of ["etag", "cache-control", "content-length", "content-type"])
      expect(head.headers.get(name)).toBe(get.headers.get(name));
    expect(await head.text()).toBe("");
  });

  test("another card has another tag", async () => {
    await using other = await served({
      processor: demoProcessor,
      card: { agent: { name: "Other", description: "Other" } },
    });
    const tags = await Promise.all(
      [page(), new URL(page().pathname, other.url)].map(async (url) => (await fetch(url)).headers.get("etag")),
    );
    expect(tags[0]).not.toBe(tags[1]);
  });
});

test.each(["POST", "PUT", "DELETE"])("%s is refused", async (method) => {
  const response = await fetch(page(), { method });
  expect([response.status, response.headers.get("allow")]).toEqual([405, "GET, HEAD"]);
});

describe("a card given to the server", () => {
  const agent: ServerOptions["processor"] = { async *processMessage() {} };

  test("goes before the agent's, for the page and for what is let in, and names the public URL", async () => {
    const card = {
      name: "Given",
      description: "Given",
      capabilities: { streaming: false },
      defaultInputModes: ["image/png"],
    };
    await using other = await served({
      processor: { ...agent, card: { name: "Own" } },
      card: { agent: card },
      publicUrl: new URL("https://a.example.org"),
    });
    const json = (await (await fetch(new URL(page().pathname, other.url))).json()) as { readonly capabilities: object };
    expect(json).toMatchObject({ name: "Given", defaultInputModes: ["image/png"] });
    expect(json).toHaveProperty("supportedInterfaces[0].url", "a.example.org:443");
    expect(json.capabilities).not.toHaveProperty("streaming");
    expect(other.manager.card).toBe(card);
  });

  test("that can't be published keeps the server from being made, with every fault", async () => {
    const card = { agent: { name: "N" }, extended: { description: "D" } };
    const options = { processor: agent, card, allowAnonymous: true };
    await expect(served(options)).rejects.toThrow(/^card\.agent\.description: /);
    await expect(served({ ...options, card: { ...card, agent: { name: "N", description: "D" } } })).rejects.toThrow(
      /^card\.extended\.name: /,
    );
  });

  test("and none at all is served as a card all the same", async () => {
    await using other = await served({ processor: agent });
    expect(await (await fetch(new URL(page().pathname, other.url))).json()).toMatchObject({
      name: "Unnamed agent",
      capabilities: { streaming: true },
    });
  });
});
