import { join } from "node:path";
import ts from "typescript";
import { expect, it } from "vitest";

const root = join(import.meta.dirname, "../..");

/** What the compiler says of a step with this body, with its chain of reasons. */
function faultsOf(...bodies: readonly string[]): readonly string[] {
  const name = join(root, "test/agent/virtual-step.ts");
  const text = [
    'import type { Json, TaskContext } from "../../src/index.ts";',
    "interface Tool { readonly id: string; readonly price?: number; readonly tags: readonly string[]; more?: Tool[] }",
    "declare const tool: Tool; declare const context: TaskContext; declare const json: Json; declare const any: any;",
    "declare const unknown: unknown; declare function gone(): Promise<void>; class Made { at = 1; tell() {} }",
    ...bodies.map((body, index) => `export const r${index} = context.step("s", async () => ${body});`),
    "export const back: Promise<Tool> = context.step('t', async () => tool);",
  ].join("\n");
  const options: ts.CompilerOptions = {
    ...{ strict: true, noEmit: true, exactOptionalPropertyTypes: true, skipLibCheck: true, types: ["node"] },
    ...{ module: ts.ModuleKind.NodeNext, target: ts.ScriptTarget.ES2024, allowImportingTsExtensions: true },
    lib: ["lib.es2024.d.ts", "lib.esnext.disposable.d.ts", "lib.esnext.collection.d.ts", "lib.esnext.iterator.d.ts"],
  };
  const host = ts.createCompilerHost(options);
  const { getSourceFile, fileExists } = host;
  host.getSourceFile = (file, ...rest) =>
    file === name ? ts.createSourceFile(file, text, ts.ScriptTarget.ES2024) : getSourceFile.call(host, file, ...rest);
  host.fileExists = (file) => file === name || fileExists.call(host, file);
  const program = ts.createProgram([name], options, host);
  const found = program.getSemanticDiagnostics(program.getSourceFile(name));
  return found.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, "\n"));
}

const refused: readonly (readonly [string, string])[] = [
  ["new Date()", "JSON can't hold a Date: give its toISOString()"],
  ["({ at: { when: new Date() } })", "JSON can't hold a Date: give its toISOString()"],
  ["[1n]", "JSON can't hold a bigint: give a number or a string"],
  ["new Map([[1, 2]])", "JSON can't hold a Map or a Set: give an object or a list"],
  ["({ bytes: new Uint8Array(1) })", "JSON can't hold bytes: give a file part, or base64"],
  ["new Made()", "JSON can't hold a function"],
  ["({ later: gone() })", "JSON can't hold a promise: await it"],
];

it("a step takes what tools return, and the compiler says of anything else why JSON can't hold it", () => {
  const taken = ["tool", "[tool]", "({ tool, none: undefined })", "gone()", "null", "json", "any", "unknown"];
  const bodies = [...taken, "({ a: 1 as number | undefined, b: [1, 'x', true] as const })"];
  // One fault for each body that is refused, in their order, and none for the others.
  const faults = faultsOf(...bodies, ...refused.map(([body]) => body));
  expect(faults).toEqual(refused.map(([, why]) => expect.stringContaining(why)));
});
