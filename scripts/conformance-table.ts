// Runs the storage suite on every storage and prints a page that compares the storages. `--write` writes it to
// docs/storage-conformance.md.
import { spawnSync } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { parseArgs } from "node:util";
import { resultsFile } from "../test/conformance/conformance-reporter.ts";
import { type ConformanceResults, conformancePage } from "../test/conformance/conformance-table.ts";
import { registeringFiles } from "../test/conformance/escapes.ts";

const root = join(import.meta.dirname, "..");
const bin = join(root, "node_modules", ".bin");
const { values } = parseArgs({ options: { write: { type: "boolean", default: false } } });

rmSync(resultsFile, { force: true });
const env = { ...process.env, PATH: `${bin}${delimiter}${process.env.PATH ?? ""}` };
const { status, error } = spawnSync("vitest", ["run", ...registeringFiles(root)], {
  cwd: root,
  env,
  stdio: ["ignore", values.write ? "inherit" : "ignore", "inherit"],
});
if (status !== 0) {
  console.error(`The suite failed${error === undefined ? "" : `: ${error.message}`}; run \`vitest run test/storage\``);
  process.exit(1);
}
const results: ConformanceResults = JSON.parse(readFileSync(resultsFile, "utf8"));
if (results.outcomes.some(({ state }) => state !== "passed")) {
  console.error("Some cases were not run");
  process.exit(1);
}
const page = conformancePage(results);
if (values.write) {
  writeFileSync(join(root, "docs", "storage-conformance.md"), page);
} else {
  console.log(page);
}
