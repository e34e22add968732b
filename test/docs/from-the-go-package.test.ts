import { readFileSync } from "node:fs";
import { createRegistry } from "@bufbuild/protobuf";
import ts from "typescript";
import { describe, expect, it } from "vitest";
import { file_lf_a2a_v1_a2a } from "../../gen/lf/a2a/v1/a2a_pb.ts";
import { file_taskmanager_v1_conversation } from "../../gen/taskmanager/v1/conversation_pb.ts";
import { file_taskmanager_v1_task_manager } from "../../gen/taskmanager/v1/task_manager_pb.ts";
import { hasTest } from "./has-test.ts";

interface Row {
  readonly symbols: readonly string[];
  readonly here: string;
  readonly difference: string;
  readonly shownBy: string;
}

const page = "docs/from-the-go-package.md";
const rows = readRows();
const symbols = readFileSync("docs/go-package-symbols.txt", "utf8")
  .split("\n")
  .filter((line) => line !== "" && !line.startsWith("#"));
// Of every subpath of the package.
const exported = new Set(
  [
    "src/index.ts",
    "src/server/index.ts",
    "src/storage/memory/storage.ts",
    "src/storage/sqlite/storage.ts",
    "src/storage/mongodb/storage.ts",
  ].flatMap((file) => [...exportsOf(file)]),
);
const registry = createRegistry(file_lf_a2a_v1_a2a, file_taskmanager_v1_task_manager, file_taskmanager_v1_conversation);
const citations = rows.flatMap(({ shownBy }) =>
  [...shownBy.matchAll(/`([^`]+)` "([^"]+)"/g)].map(([, file = "", name = ""]) => ({ file, name })),
);

describe("the page on the Go package", () => {
  it("has one row for each exported symbol, and none for others", () => {
    expect(rows.flatMap((row) => row.symbols).toSorted()).toEqual(symbols.toSorted());
  });

  it("has a counterpart, a difference and a test in each row, or a dash that says there is none", () => {
    const incomplete = rows.filter(({ here, difference, shownBy }) => {
      const cited = shownBy.split("<br>").every((one) => /^`[^`]+` "[^"]+"$/.test(one));
      return !cited || difference === "" || (here !== "–" && !/^`[^`]+`(, `[^`]+`)*$/.test(here));
    });
    expect(incomplete).toEqual([]);
  });

  it("names nothing of ours that isn't exported or in a proto", () => {
    const named = rows.flatMap(({ here }) => codeIn(here));
    expect(named.length).toBeGreaterThan(rows.length);
    expect(named.filter((name) => !exported.has(name) && !isInProto(name))).toEqual([]);
  });

  it("cites no test that doesn't exist", () => {
    expect(citations.length).toBeGreaterThanOrEqual(rows.length);
    expect(citations.filter(({ file, name }) => !hasTest(file, name))).toEqual([]);
  });
});

function readRows(): readonly Row[] {
  return readFileSync(page, "utf8")
    .split("\n")
    .filter((line) => line.startsWith("| `"))
    .map((line) => {
      const [first = "", here = "", difference = "", shownBy = "", ...rest] = line.slice(2, -2).split(" | ");
      if (rest.length > 0) throw new Error(`A row of ${page} has more than four cells: ${line}`);
      return { symbols: codeIn(first), here, difference, shownBy };
    });
}

function codeIn(cell: string): readonly string[] {
  return [...cell.matchAll(/`([^`]+)`/g)].map(([, name = ""]) => name);
}

function isInProto(name: string): boolean {
  const dot = name.lastIndexOf(".");
  const service = registry.getService(name.slice(0, dot));
  return (
    registry.getMessage(name) !== undefined ||
    service?.methods.some((method) => method.name === name.slice(dot + 1)) === true
  );
}

/** The exports of a module, and `Type.member` for the members of its types. */
function exportsOf(file: string): ReadonlySet<string> {
  const { NodeNext } = ts.ModuleKind;
  const program = ts.createProgram([file], {
    target: ts.ScriptTarget.ES2024,
    module: NodeNext,
    allowImportingTsExtensions: true,
    noEmit: true,
  });
  const checker = program.getTypeChecker();
  const source = program.getSourceFile(file);
  const module = source && checker.getSymbolAtLocation(source);
  if (module === undefined) throw new Error(`${file} is no module`);
  const names = new Set<string>();
  for (const symbol of checker.getExportsOfModule(module)) {
    names.add(symbol.name);
    const declared = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
    if ((declared.flags & (ts.SymbolFlags.Interface | ts.SymbolFlags.Class)) === 0) continue;
    for (const member of checker.getPropertiesOfType(checker.getDeclaredTypeOfSymbol(declared)))
      names.add(`${symbol.name}.${member.name}`);
  }
  return names;
}
