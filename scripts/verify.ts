// Everything that must hold: `npm test`. The steps before the tests run two at once, those that take longest first, and
// each shows its output when it has ended. Stops at the first step that fails; ends with a line that counts the tests.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { delimiter, join } from "node:path";

const root = join(import.meta.dirname, "..");
const bin = join(root, "node_modules", ".bin");
const report = join(root, ".cache", "vitest.json");
const env = { ...process.env, PATH: `${bin}${delimiter}${process.env.PATH ?? ""}` };
const stepsAtOnce = 2;

interface Step {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
}

/** Independent of each other. */
const checks: readonly Step[] = [
  { name: "package: built, complete, typed", command: "node", args: ["scripts/build.ts", "--check"] },
  { name: "types", command: "tsc", args: ["-p", "."] },
  { name: "format and lint", command: "biome", args: ["check", "--error-on-warnings", "."] },
  { name: "import rules", command: "depcruise", args: ["--config", ".dependency-cruiser.js", "src"] },
  { name: "generated code is current", command: "node", args: ["scripts/generate.ts", "--check"] },
  { name: "protos: lint, no breaking change", command: "node", args: ["scripts/proto-check.ts"] },
];
/** Mostly waits for the network, so it takes no place of a check. The first time it also builds the client in Go. */
const fetchTools: Step = { name: "tools of the tests are here", command: "node", args: ["test/runner/fetch-tools.ts"] };
const tests: Step = { name: "tests", command: "vitest", args: ["run"] };

mkdirSync(join(root, ".cache"), { recursive: true });
rmSync(report, { force: true });

const running = new Set<ChildProcess>();
const seconds: string[] = [];
try {
  const waiting = [...checks];
  const lane = async () => {
    for (let step = waiting.shift(); step !== undefined; step = waiting.shift()) await run(step, "at its end");
  };
  await Promise.all([run(fetchTools, "at its end"), ...Array.from({ length: stepsAtOnce }, lane)]);
  await run(tests, "at once");
} catch (error) {
  for (const child of running) child.kill();
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
console.log(`\n${seconds.join("\n")}\n\n${counts()}`);
process.exit();

/** Rejects if the step fails. */
async function run({ name, command, args }: Step, shown: "at once" | "at its end"): Promise<void> {
  const startedAt = performance.now();
  const title = `\n── ${name}: ${command} ${args.join(" ")}\n`;
  if (shown === "at once") process.stdout.write(title);
  const child = spawn(command, args, { cwd: root, env, stdio: shown === "at once" ? "inherit" : "pipe" });
  running.add(child);
  const output: Buffer[] = [];
  for (const stream of [child.stdout, child.stderr]) stream?.on("data", (chunk: Buffer) => output.push(chunk));
  const status = await new Promise((resolve, reject) => {
    child.once("close", resolve);
    child.once("error", reject);
  });
  running.delete(child);
  const ran = `${((performance.now() - startedAt) / 1000).toFixed(1).padStart(6)} s  ${name}`;
  if (shown === "at its end") process.stdout.write(`${title}${Buffer.concat(output)}`);
  console.log(`──${ran}: ${status === 0 ? "passed" : "FAILED"}`);
  seconds.push(ran);
  if (status !== 0) throw new Error(`${name}: FAILED`);
}

function counts(): string {
  try {
    const { numPassedTests, numFailedTests, numPendingTests, numTodoTests } = JSON.parse(readFileSync(report, "utf8"));
    return `${numPassedTests} passed, ${numFailedTests} failed, ${numPendingTests + numTodoTests} skipped`;
  } catch {
    process.exitCode = 1;
    return "There is no report of the tests";
  }
}
