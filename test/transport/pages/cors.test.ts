import { text } from "node:stream/consumers";
import { afterEach, describe, expect, it } from "vitest";
import { firstOf } from "../../../src/transport/listener/request-handler.ts";
import { allowOrigins } from "../../../src/transport/pages/cors.ts";
import { closeAll, echo, http1Request, http2Client, open } from "../listener/fixtures.ts";

afterEach(closeAll);

/** What a browser would get to see, over both versions, which must be answered alike. */
async function ask(origins: readonly string[], method: string, headers: Record<string, string>) {
  const { number } = await open({ handler: firstOf([allowOrigins(origins)], echo) });
  const first = await http1Request(number, { method, headers });
  const stream = http2Client(`http://127.0.0.1:${number}`).request(
    { ":method": method, ":path": "/", ...headers },
    { endStream: true },
  );
  const second = await new Promise<Record<string, unknown>>((resolve) => stream.once("response", resolve));
  const body = await text(stream);
  const shown = (all: Record<string, unknown>) =>
    Object.fromEntries(Object.entries(all).filter(([name]) => name === "vary" || name.startsWith("access-control-")));
  expect([second[":status"], shown(second), body.replace("2.0", "1.1")]).toEqual([
    first.status,
    shown(first.headers),
    first.body,
  ]);
  return { status: first.status, body: first.body, headers: shown(first.headers) };
}

const page = "https://page.example";
const preflight = {
  origin: page,
  "access-control-request-method": "POST",
  "access-control-request-headers": "content-type,connect-timeout-ms,x-own",
};

describe("a server that lets pages of one origin call", () => {
  it("allows their preflights", async () => {
    const { status, body, headers } = await ask([page, "http://localhost:5173"], "OPTIONS", preflight);
    expect([status, body]).toEqual([204, ""]);
    expect(headers).toMatchObject({
      "access-control-allow-origin": page,
      "access-control-allow-methods": "POST,GET,HEAD,DELETE",
      "access-control-allow-headers": "content-type,connect-timeout-ms,x-own",
      "access-control-max-age": "7200",
      vary: "Origin, Access-Control-Request-Headers",
    });
    expect(headers).not.toHaveProperty("access-control-allow-credentials");
  });

  it("shows them the headers of answers that the protocols need", async () => {
    const { status, headers } = await ask([page], "POST", { origin: page });
    expect([status, headers["access-control-allow-origin"], headers.vary]).toEqual([200, page, "Origin"]);
    const exposed = String(headers["access-control-expose-headers"]).toLowerCase().split(",");
    expect(exposed).toEqual(
      expect.arrayContaining(["grpc-status", "grpc-message", "grpc-status-details-bin", "a2a-extensions", "etag"]),
    );
  });

  it.each([
    ["another origin", { origin: "https://other.example" }],
    ["a part of the origin", { origin: "https://page.exam" }],
    ["an address of a private network", { origin: "http://192.168.0.7" }],
    ["no origin to speak of", { origin: "null" }],
    ["no origin at all", {}],
  ])("allows nothing to %s, and answers all the same", async (_, headers) => {
    const answered = await ask([page], "POST", headers);
    expect([answered.status, answered.body, answered.headers.vary]).toEqual([200, "1.1 POST / 0", "Origin"]);
    expect(answered.headers).not.toHaveProperty("access-control-allow-origin");
    const asked = await ask([page], "OPTIONS", {
      ...preflight,
      ...headers,
      ...("origin" in headers ? {} : { origin: "" }),
    });
    expect(asked.headers).not.toHaveProperty("access-control-allow-origin");
  });

  it.each(["http://192.168.0.7", "http://localhost:5173", "null"])("lets %s in where it is named", async (origin) => {
    expect((await ask([page, origin], "POST", { origin })).headers).toMatchObject({
      "access-control-allow-origin": origin,
      vary: "Origin",
    });
  });
});

it.each([page, "null"])("a server that allows all origins gives each the same answer: %s", async (origin) => {
  const { headers } = await ask(["*"], "POST", { origin });
  expect([headers["access-control-allow-origin"], headers.vary]).toEqual(["*", undefined]);
});
