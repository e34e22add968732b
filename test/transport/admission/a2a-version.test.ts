import { expect, test } from "vitest";
import { checkVersion, namedVersion, type VersionMode } from "../../../src/transport/admission/a2a-version.ts";
import { taskErrorOf } from "../errors/thrown.ts";

function source(header: string | undefined, query = "") {
  return {
    lines: new Headers(header === undefined ? {} : { "a2a-version": header }),
    url: `http://localhost/tasks${query}`,
  };
}

test.each([
  ["the header", source("1.0")],
  ["a patch number", source("1.0.1")],
  ["the query", source(undefined, "?A2A-Version=1.0")],
  ["the query, in other letters", source(undefined, "?pageSize=3&a2a-version=1.0.7")],
  ["header and query that agree", source("1.0", "?A2A-Version=1.0.2")],
  ["several lines that agree", source("1.0, 1.0.3,")],
  ["an empty header beside the query", source("", "?A2A-Version=1.0")],
  ["blanks around it", source("  1.0 ")],
] as const)("version 1.0 is served, by %s", (_name, given) => {
  for (const mode of ["strict", "lenient"] as const) expect(() => checkVersion(given, mode)).not.toThrow();
  expect(namedVersion(given)).toBe("1.0");
});

test.each([
  ["another minor", source("1.1")],
  ["another major", source("2.0")],
  ["0.3", source("0.3")],
  ["0.3 in the query", source(undefined, "?A2A-Version=0.3")],
  ["a major alone", source("1")],
  ["a word", source("latest")],
  ["a leading zero", source("01.0")],
  ["a pre-release", source("1.0-rc")],
  ["four numbers", source("1.0.0.0")],
  ["two versions in the header", source("1.0, 0.3")],
  ["a header and a query that differ", source("1.0", "?A2A-Version=1.1")],
  ["two queries that differ", source(undefined, "?A2A-Version=1.0&a2a-version=0.3")],
] as const)("refused in either mode: %s", (_name, given) => {
  for (const mode of ["strict", "lenient"] as const) {
    expect(taskErrorOf(() => checkVersion(given, mode))).toMatchObject({
      reason: "VERSION_NOT_SUPPORTED",
      metadata: { supportedVersions: "1.0" },
    });
  }
});

test.each([
  ["no header", source(undefined)],
  ["an empty header", source("")],
  ["an empty query", source(undefined, "?A2A-Version=&pageSize=1")],
] as const)("no version means 0.3 unless the server is lenient: %s", (_name, given) => {
  const refused = (mode: VersionMode) => taskErrorOf(() => checkVersion(given, mode))?.reason;
  expect([refused("strict"), refused("lenient")]).toEqual(["VERSION_NOT_SUPPORTED", undefined]);
});

test("what a client sent isn't repeated to it", () => {
  expect(taskErrorOf(() => checkVersion(source("<script>"), "strict"))?.message).not.toContain("script");
});
