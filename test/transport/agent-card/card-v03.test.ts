import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { demoProcessor } from "../../../src/agent/demo-processor.ts";
import type { AgentCardInit } from "../../../src/transport/agent-card/capabilities.ts";
import { type Served, served } from "../../e2e/served.ts";
import { pythonPackages } from "../../python/packages.ts";

/**
 * The card that a client gets which doesn't say that it speaks version 1.0: for clients of 0.3, who never say their
 * version, and of 1.0.
 */

const run = promisify(execFile);
const limitMs = 240_000;
const path = "/.well-known/agent-card.json";
const address = "https://agents.example.org/older";

const scopes = { read: "Reads" };
const securityRequirements: AgentCardInit["securityRequirements"] = [
  { schemes: { oauth: { list: ["read"] }, key: {} } },
  { schemes: { tls: {} } },
];
const card: AgentCardInit = {
  name: "Agent",
  description: "Of either version",
  provider: { url: "https://example.org", organization: "Example" },
  documentationUrl: "https://example.org/docs",
  supportedInterfaces: [{}, { url: address, protocolBinding: "HTTP+JSON", protocolVersion: "0.3.0" }],
  capabilities: { extensions: [{ uri: "urn:example:x:v1", description: "X", params: { n: 1 } }] },
  securitySchemes: {
    key: { scheme: { case: "apiKeySecurityScheme", value: { location: "header", name: "X-Key", description: "Key" } } },
    bearer: { scheme: { case: "httpAuthSecurityScheme", value: { scheme: "bearer", bearerFormat: "JWT" } } },
    oauth: {
      scheme: {
        case: "oauth2SecurityScheme",
        value: {
          flows: { flow: { case: "clientCredentials", value: { tokenUrl: "https://example.org/token", scopes } } },
          oauth2MetadataUrl: "https://example.org/m",
        },
      },
    },
    oidc: { scheme: { case: "openIdConnectSecurityScheme", value: { openIdConnectUrl: "https://example.org/oidc" } } },
    tls: { scheme: { case: "mtlsSecurityScheme", value: { description: "Certificate" } } },
  },
  securityRequirements,
  skills: [{ id: "s", name: "s", description: "s", tags: ["t"], securityRequirements }],
};
const extendedCard = { ...card, description: "More of it" };

let server: Served;
beforeAll(async () => {
  server = await served({
    processor: demoProcessor,
    card: { agent: card, extended: extendedCard },
    allowAnonymous: true,
  });
});
afterAll(() => server[Symbol.asyncDispose]());

async function resolved(script: string, requirements: string): Promise<unknown> {
  const env = { ...process.env, PYTHONPATH: await pythonPackages(requirements) };
  const { stdout } = await run("python3", [join(import.meta.dirname, "../../python", script), server.url.origin], {
    env,
    timeout: 60_000,
  });
  return JSON.parse(stdout);
}

async function page(options: { readonly at?: Served; readonly query?: string; readonly headers?: HeadersInit } = {}) {
  const { at = server, query = "", headers = {} } = options;
  const response = await fetch(new URL(`${path}${query}`, at.url), { headers });
  return { headers: response.headers, json: (await response.json()) as Record<string, unknown> };
}

const named = { headers: { "A2A-Version": "1.0" } };

test("a2a-sdk of version 0.3 finds all that it knows, in either card (R198, R199)", { timeout: limitMs }, async () => {
  const security = [{ oauth: ["read"], key: [] }, { tls: [] }];
  const known = {
    name: "Agent",
    description: "Of either version",
    version: "0.0.0",
    protocolVersion: "0.3.0",
    url: server.url.href,
    preferredTransport: "JSONRPC",
    additionalInterfaces: [
      { url: server.url.href, transport: "JSONRPC" },
      { url: address, transport: "HTTP+JSON" },
    ],
    provider: card.provider,
    documentationUrl: card.documentationUrl,
    supportsAuthenticatedExtendedCard: true,
    capabilities: {
      streaming: true,
      extensions: [{ uri: "urn:example:x:v1", description: "X", params: { n: 1 } }, expect.anything()],
    },
    defaultInputModes: ["text/plain", "*/*"],
    defaultOutputModes: ["text/plain", "*/*"],
    security,
    securitySchemes: {
      key: { type: "apiKey", in: "header", name: "X-Key", description: "Key" },
      bearer: { type: "http", scheme: "bearer", bearerFormat: "JWT" },
      oauth: {
        type: "oauth2",
        flows: { clientCredentials: { tokenUrl: "https://example.org/token", scopes } },
        oauth2MetadataUrl: "https://example.org/m",
      },
      oidc: { type: "openIdConnect", openIdConnectUrl: "https://example.org/oidc" },
      tls: { type: "mutualTLS", description: "Certificate" },
    },
    skills: [{ id: "s", name: "s", description: "s", tags: ["t"], security }],
  };
  expect(await resolved("resolve_card_v03.py", "a2a-sdk-v03.txt")).toEqual({
    card: known,
    extended: { ...known, description: "More of it" },
  });
});

test("a2a-sdk, which names no version either, finds the card of version 1.0 in it", { timeout: limitMs }, async () => {
  const { json } = await page(named);
  expect(await resolved("resolve_card.py", "a2a-sdk.txt")).toEqual(json);
});

test("a request that names version 1.0 in any way gets only the card in that form", async () => {
  const { json, headers } = await page(named);
  for (const older of ["url", "preferredTransport", "additionalInterfaces", "protocolVersion", "security"])
    expect(json).not.toHaveProperty(older);
  expect(json.securitySchemes).toMatchObject({
    key: { apiKeySecurityScheme: { location: "header", name: "X-Key", description: "Key" } },
  });
  expect((await page({ headers: { "A2A-Version": "1.0.1" } })).json).toEqual(json);
  expect((await page({ query: "?A2A-Version=1.0" })).json).toEqual(json);
  // What caches keep for one isn't given to the other.
  const all = await page();
  for (const each of [headers, all.headers]) expect(each.get("vary")).toBe("A2A-Version");
  expect(all.headers.get("etag")).not.toBe(headers.get("etag"));
});

test("a request that names another version or none gets the card in both forms", async () => {
  const { json } = await page();
  expect(json).toHaveProperty("url", server.url.href);
  for (const version of ["", "0.3", "0.3.0", "9.9", "latest", "1.0, 0.3"])
    expect((await page({ headers: { "A2A-Version": version } })).json).toEqual(json);
});

test("what the answer depends on besides stays said", async () => {
  await using other = await served({
    processor: demoProcessor,
    origins: { allowed: ["https://a.example", "https://b.example"] },
  });
  for (const headers of [{ origin: "https://a.example" }, { origin: "https://a.example", "if-none-match": "*" }]) {
    const response = await fetch(new URL(path, other.url), { headers });
    await response.arrayBuffer();
    expect(response.headers.get("vary")).toBe("Origin, A2A-Version");
  }
});

test("the members of version 1.0 are the same in both", async () => {
  const [{ json: all }, { json: v1 }] = await Promise.all([page(), page(named)]);
  expect(all).toMatchObject(v1);
});

test("where version 0.3 isn't served, everybody gets the card of version 1.0", async () => {
  await using other = await served({ processor: demoProcessor, calls: { bindings: ["grpc", "http+json"] } });
  expect((await page({ at: other })).json).toEqual((await page({ at: other, ...named })).json);
});
