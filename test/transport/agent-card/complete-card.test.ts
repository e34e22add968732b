import { expect, test } from "vitest";
import { AgentCardSchema } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { demoProcessor } from "../../../src/agent/demo-processor.ts";
import { validate } from "../../../src/domain/validation/validate.ts";
import type { AgentCardInit } from "../../../src/transport/agent-card/capabilities.ts";
import { cardJson } from "../../../src/transport/agent-card/card-json.ts";
import { type CardFacts, completeCard } from "../../../src/transport/agent-card/complete-card.ts";
import { taskErrorOf } from "../errors/thrown.ts";

const facts: CardFacts = {
  publicUrl: new URL("https://agents.example.org/one/"),
  served: [{ protocolBinding: "GRPC" }, { protocolBinding: "HTTP+JSON" }, { protocolBinding: "JSONRPC", path: "/rpc" }],
  hasExtendedCard: false,
};
const described = { name: "Agent", description: "Does things" };

test("an agent without a card gets a valid one that claims nothing (R118, R119)", () => {
  const card = completeCard(undefined, facts);
  expect(validate(AgentCardSchema, card)).toEqual([]);
  expect(cardJson(card)).toMatchObject({
    name: "Unnamed agent",
    version: "0.0.0",
    capabilities: { streaming: true },
    defaultInputModes: ["text/plain", "*/*"],
    defaultOutputModes: ["text/plain", "*/*"],
    skills: [{ id: "default", name: "Unnamed agent" }],
  });
});

test("interfaces are those that are served, in that order: gRPC by host and port, the others by URL (R151, R152)", () => {
  expect(cardJson(completeCard(described, facts)).supportedInterfaces).toEqual([
    { url: "agents.example.org:443", protocolBinding: "GRPC", protocolVersion: "1.0" },
    { url: "https://agents.example.org/one", protocolBinding: "HTTP+JSON", protocolVersion: "1.0" },
    { url: "https://agents.example.org/one/rpc", protocolBinding: "JSONRPC", protocolVersion: "1.0" },
  ]);
});

test.each([
  ["http://127.0.0.1:8080", "127.0.0.1:8080"],
  ["http://[::1]:8080", "[::1]:8080"],
  ["http://agent.example.org", "agent.example.org:80"],
])("gRPC at %s is %s", (publicUrl, address) => {
  const [first] = completeCard(described, { ...facts, publicUrl: new URL(publicUrl) }).supportedInterfaces;
  expect(first?.url).toBe(address);
});

test("the author's interfaces keep their order; one without a URL is completed by where its binding is served, and keeps its tenant", () => {
  const card = completeCard(
    {
      ...described,
      supportedInterfaces: [
        {
          url: "https://elsewhere.example.org/a2a",
          protocolBinding: "https://example.org/bindings/own",
          protocolVersion: "2.0",
        },
        { protocolBinding: "JSONRPC", tenant: "acme" },
        { url: "old.example.org:443", protocolBinding: "GRPC" },
      ],
    },
    facts,
  );
  expect(cardJson(card).supportedInterfaces).toEqual([
    {
      url: "https://elsewhere.example.org/a2a",
      protocolBinding: "https://example.org/bindings/own",
      protocolVersion: "2.0",
    },
    { url: "https://agents.example.org/one/rpc", protocolBinding: "JSONRPC", tenant: "acme", protocolVersion: "1.0" },
    { url: "old.example.org:443", protocolBinding: "GRPC", protocolVersion: "1.0" },
  ]);
});

test("an interface that names a tenant alone stands for every binding", () => {
  const { supportedInterfaces } = completeCard({ ...described, supportedInterfaces: [{ tenant: "acme" }] }, facts);
  expect(supportedInterfaces.map(({ protocolBinding, tenant }) => [protocolBinding, tenant])).toEqual([
    ["GRPC", "acme"],
    ["HTTP+JSON", "acme"],
    ["JSONRPC", "acme"],
  ]);
});

test("older versions that are served too are listed, but for tenants, which they don't know (R199)", () => {
  const served = [...facts.served, { protocolBinding: "JSONRPC", path: "/rpc", protocolVersion: "0.3" } as const];
  const versions = (supportedInterfaces: AgentCardInit["supportedInterfaces"] & object) =>
    completeCard({ ...described, supportedInterfaces }, { ...facts, served }).supportedInterfaces.map(
      ({ protocolBinding, protocolVersion }) => `${protocolBinding} ${protocolVersion}`,
    );
  expect(versions([])).toEqual(["GRPC 1.0", "HTTP+JSON 1.0", "JSONRPC 1.0", "JSONRPC 0.3"]);
  expect(versions([{ protocolBinding: "JSONRPC" }])).toEqual(["JSONRPC 1.0", "JSONRPC 0.3"]);
  expect(versions([{ protocolVersion: "0.3" }])).toEqual(["JSONRPC 0.3"]);
  expect(versions([{ protocolBinding: "JSONRPC", tenant: "acme" }])).toEqual(["JSONRPC 1.0"]);
});

test.each<[string, AgentCardInit["capabilities"], boolean, object]>([
  ["streams, if the author doesn't say", undefined, false, { streaming: true }],
  ["no streams, if the author declares none", { streaming: false }, false, {}],
  ["no push notifications, which don't exist", { pushNotifications: false }, false, { streaming: true }],
  ["the extended card that there is", undefined, true, { streaming: true, extendedAgentCard: true }],
  ["no extended card where the author denies it", { extendedAgentCard: false }, true, { streaming: true }],
])("capabilities declare %s", (_name, capabilities, hasExtendedCard, expected) => {
  const { extensions: _, ...declared } = cardJson(
    completeCard({ ...described, ...(capabilities && { capabilities }) }, { ...facts, hasExtendedCard }),
  ).capabilities as Record<string, unknown>;
  expect(declared).toEqual(expected);
});

test("the author's extensions are kept as written", () => {
  const mine = { uri: "urn:example:mine:v1", description: "Mine", required: true, params: { depth: 3 } };
  const { capabilities } = cardJson(completeCard({ ...described, capabilities: { extensions: [mine] } }, facts));
  expect(capabilities).toHaveProperty("extensions[0]", mine);
});

test("optional fields that are set to nothing are left out, so that both readings of a signature agree (R157)", () => {
  const json = cardJson(completeCard({ ...described, documentationUrl: "", iconUrl: "" }, facts));
  expect(json).not.toHaveProperty("documentationUrl");
  expect(json).not.toHaveProperty("iconUrl");
});

test("REQUIRED scopes are there though they are empty (R118)", () => {
  const flow = { case: "clientCredentials" as const, value: { tokenUrl: "https://example.org/token" } };
  const scheme = { scheme: { case: "oauth2SecurityScheme" as const, value: { flows: { flow } } } };
  expect(cardJson(completeCard({ ...described, securitySchemes: { oauth: scheme } }, facts)).securitySchemes).toEqual({
    oauth: {
      oauth2SecurityScheme: { flows: { clientCredentials: { tokenUrl: "https://example.org/token", scopes: {} } } },
    },
  });
});

test("everything that can't be filled in is named by its path", () => {
  const error = taskErrorOf(() =>
    completeCard(
      {
        description: "Nameless",
        capabilities: { pushNotifications: true, extensions: [{ description: "no URI" }] },
        supportedInterfaces: [
          { protocolBinding: "SMTP" },
          { protocolBinding: "JSONRPC", url: "not/absolute" },
          { protocolBinding: "HTTP+JSON", url: "localhost:8080" },
          { protocolBinding: "urn:x:own", url: "/x" },
        ],
        securitySchemes: { a_b: { scheme: { case: "apiKeySecurityScheme", value: { location: "header" } } } },
        securityRequirements: [{ schemes: { a_b: {}, toString: {} } }],
        skills: [
          {
            id: "s",
            name: "s",
            description: "s",
            tags: [],
            securityRequirements: [{ schemes: { a_b: {} } }, { schemes: { none: {} } }],
          },
        ],
        signatures: [{ protected: "e30", signature: "x" }],
      },
      facts,
    ),
  );
  expect(error?.reason).toBe("INVALID_REQUEST");
  expect(error?.violations.map(({ field }) => field).toSorted()).toEqual([
    "capabilities.extensions[0].uri",
    "capabilities.pushNotifications",
    "name",
    'securityRequirements[0].schemes["toString"]',
    'securitySchemes["a_b"].apiKeySecurityScheme.name',
    "signatures",
    'skills[0].securityRequirements[1].schemes["none"]',
    "skills[0].tags",
    "supportedInterfaces[0]",
    "supportedInterfaces[1].url",
    "supportedInterfaces[2].url",
    "supportedInterfaces[3].url",
  ]);
});

test("what the author gave stays as it was, and the demo agent's card is complete", () => {
  const given = { ...described, skills: [] };
  completeCard(given, facts);
  expect(given).toEqual({ ...described, skills: [] });
  expect(completeCard(demoProcessor.card, facts).skills).toHaveLength(8);
});
