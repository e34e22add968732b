// Generates `gen/` from the protos: the code, and the OpenAPI document of the HTTP+JSON binding. `--check` changes
// nothing, and fails if `gen/` is not what would be generated.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative, sep } from "node:path";
import { parseArgs } from "node:util";
import { root, runBuf } from "./buf.ts";

const { values } = parseArgs({ options: { check: { type: "boolean", default: false } } });
const temporary = mkdtempSync(join(tmpdir(), "generate-"));
try {
  process.exitCode = (await (values.check ? check() : generate(root))) ? 0 : 1;
} finally {
  rmSync(temporary, { recursive: true, force: true });
}

async function generate(folder: string): Promise<boolean> {
  const image = join(temporary, "protos.binpb");
  if (!runBuf("generate", "--output", folder) || !runBuf("build", "proto", "--output", image)) return false;
  // Loaded here: it needs the generated code of this repository.
  const { openApiText } = await import("./openapi/document.ts");
  writeFileSync(join(folder, "gen", "openapi.json"), openApiText(readFileSync(image)));
  return true;
}

async function check(): Promise<boolean> {
  if (!(await generate(temporary))) return false;
  const committed = filesIn(join(root, "gen"));
  const generated = filesIn(join(temporary, "gen"));
  const differing = [...new Set([...committed.keys(), ...generated.keys()])].sort().flatMap((path) => {
    const before = committed.get(path);
    const after = generated.get(path);
    if (before === undefined) return [`missing  gen/${path}`];
    if (after === undefined) return [`surplus  gen/${path}`];
    return before.equals(after) ? [] : [`differs  gen/${path}`];
  });
  if (differing.length === 0) {
    console.log(`gen/ is up to date (${generated.size} files)`);
    return true;
  }
  console.error(`gen/ is not what the protos generate; run scripts/generate.ts\n${differing.join("\n")}`);
  return false;
}

/** Content by path, with slashes, relative to the folder. A folder that does not exist has no files. */
function filesIn(folder: string): Map<string, Buffer> {
  const files = new Map<string, Buffer>();
  try {
    for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
      if (!entry.isDirectory()) {
        const path = join(entry.parentPath, entry.name);
        files.set(relative(folder, path).split(sep).join("/"), readFileSync(path));
      }
    }
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
  }
  return files;
}
