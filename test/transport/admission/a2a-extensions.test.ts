import { readFileSync } from "node:fs";
import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { AgentExtensionSchema } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { activeExtensions, requestedExtensions } from "../../../src/transport/admission/a2a-extensions.ts";
import { eventSequenceUri } from "../../../src/transport/calls/event-sequence.ts";
import { taskErrorOf } from "../errors/thrown.ts";

function header(...lines: readonly string[]): Headers {
  const headers = new Headers();
  for (const line of lines) headers.append("A2A-Extensions", line);
  return headers;
}

const declared = ["urn:x:a:v1", "urn:x:b:v1"].map((uri) => create(AgentExtensionSchema, { uri }));

test.each([
  ["none", header(), []],
  ["an empty line", header(""), []],
  ["one", header("urn:x:a:v1"), ["urn:x:a:v1"]],
  [
    "several lines and commas, blanks and repetitions",
    header("urn:x:a:v1 ,,urn:x:b:v1", "urn:x:a:v1"),
    ["urn:x:a:v1", "urn:x:b:v1"],
  ],
] as const)("a request lists %s", (_name, given, listed) => {
  expect([...requestedExtensions(given)]).toEqual(listed);
});

test.each([
  ["the case of a letter", "urn:x:A:v1"],
  ["another version", "urn:x:a:v2"],
  ["a slash at the end", "urn:x:a:v1/"],
  ["a part of it", "urn:x:a"],
])("URIs compare exactly, so %s is another extension, and ignored (R146)", (_name, uri) => {
  expect([...activeExtensions(declared, new Set([uri, "urn:x:b:v1"]))]).toEqual(["urn:x:b:v1"]);
});

test("the URI of ours ends in its version, and its page says both (R147)", () => {
  const page = readFileSync("docs/extensions/event-sequence.md", "utf8");
  expect(page).toContain(`**URI**: \`${eventSequenceUri}\``);
  expect(page).toMatch(new RegExp(`^# .*, version ${/:v(\d+)$/.exec(eventSequenceUri)?.[1]}\n`));
});

test("a required extension that isn't requested is named in the error (R10)", () => {
  const required = [...declared, create(AgentExtensionSchema, { uri: "urn:x:must:v1", required: true })];
  expect(taskErrorOf(() => activeExtensions(required, new Set(["urn:x:a:v1"])))).toMatchObject({
    reason: "EXTENSION_SUPPORT_REQUIRED",
    metadata: { requiredExtensions: "urn:x:must:v1" },
  });
  expect([...activeExtensions(required, new Set(["urn:x:must:v1"]))]).toEqual(["urn:x:must:v1"]);
});
