import { expect, test } from "vitest";
import { readCard } from "../../../src/transport/agent-card/read-card.ts";
import { taskErrorOf } from "../errors/thrown.ts";

test("a card is read from its JSON", () => {
  const card = readCard(
    JSON.stringify({
      name: "Agent",
      capabilities: { streaming: false, extensions: [{ uri: "urn:x:v1", params: { any: ["thing", null] } }] },
      securitySchemes: { key: { apiKeySecurityScheme: { location: "header", name: "X-Key" } } },
      iconUrl: null,
      default_input_modes: ["text/plain"],
    }),
  );
  expect([card.name, card.capabilities?.streaming, card.capabilities?.extensions[0]?.params]).toEqual([
    "Agent",
    false,
    { any: ["thing", null] },
  ]);
  expect(card.defaultInputModes).toEqual(["text/plain"]);
  expect(card.securitySchemes.key?.scheme.case).toBe("apiKeySecurityScheme");
});

test("every fault is named by its path in the file", () => {
  const error = taskErrorOf(() =>
    readCard(
      JSON.stringify({
        name: 5,
        defaultInputMode: ["text/plain"],
        capabilities: { streaming: "yes", extensions: { uri: "urn:x:v1" } },
        skills: [{ id: "s", tags: "t" }, "nonsense", { examples: [1] }],
        securitySchemes: { key: { apiKeySecurityScheme: { nme: "X-Key" } }, other: [] },
      }),
    ),
  );
  expect(error?.violations.map(({ field }) => field)).toEqual([
    "name",
    "defaultInputMode",
    "capabilities.streaming",
    "capabilities.extensions",
    "skills[0].tags",
    "skills[1]",
    "skills[2].examples[0]",
    'securitySchemes["key"].apiKeySecurityScheme.nme',
    'securitySchemes["other"]',
  ]);
});

test.each([
  ["no JSON", "{", /^The card is not valid JSON: /],
  ["no object", "[]", /^card: expected object, got an array$/],
  [
    "two of which only one may be",
    '{"securitySchemes":{"k":{"apiKeySecurityScheme":{},"mtlsSecurityScheme":{}}}}',
    /^securitySchemes\["k"\]: oneof set multiple times by /,
  ],
])("%s is refused", (_name, text, told) => {
  expect(taskErrorOf(() => readCard(text))?.message).toMatch(told);
});
