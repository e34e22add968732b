// Everything that must hold, in the order of cost: `npm test`. Stops at the first step that fails; ends with a line
// that counts the tests.
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { delimiter, join } from "node:path";

const root = join(import.meta.dirname, "..");
const bin = join(root, "node_modules", ".bin");
const report = join(root, ".cache", "vitest.json");
const env = { ...process.env, PATH: `${bin}${delimiter}${process.env.PATH ?? ""}` };

const steps: readonly (readonly [name: string, command: string, args: readonly string[]])[] = [
  ["generated code is current", "node", ["scripts/generate.ts", "--check"]],
  ["protos: lint, no breaking change", "node", ["scripts/proto-check.ts"]],
  ["format and lint", "biome", ["check", "--error-on-warnings", "."]],
  ["types", "tsc", ["-p", "."]],
  ["import rules", "depcruise", ["--config", ".dependency-cruiser.js", "src"]],
  ["package: built, complete, typed", "node", ["scripts/build.ts", "--check"]],
  ["tests", "vitest", ["run"]],
];

mkdirSync(join(root, ".cache"), { recursive: true });
rmSync(report, { force: true });

for (const [name, command, args] of steps) {
  const startedAt = performance.now();
  console.log(`\n── ${name}: ${command} ${args.join(" ")}`);
  const { status, error } = spawnSync(command, args, { cwd: root, env, stdio: "inherit" });
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  console.log(`── ${name}: ${status === 0 ? "passed" : "FAILED"} (${seconds} s)`);
  if (status !== 0) {
    if (error) console.error(error.message);
    if (name === "tests") console.log(counts() ?? "The test runner left no report");
    process.exit(1);
  }
}
const counted = counts();
if (counted === undefined) {
  console.error("The test runner left no report");
  process.exit(1);
}
console.log(`\n${counted}`);

function counts(): string | undefined {
  try {
    const { numPassedTests, numFailedTests, numPendingTests, numTodoTests } = JSON.parse(readFileSync(report, "utf8"));
    return `${numPassedTests} passed, ${numFailedTests} failed, ${numPendingTests + numTodoTests} skipped`;
  } catch {
    return undefined;
  }
}
