// Builds dist/ for publishing. With --check it also asks publint and arethetypeswrong whether what would be published
// can be used.
import { spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
import { delimiter, join } from "node:path";

const root = join(import.meta.dirname, "..");
const env = { ...process.env, PATH: `${join(root, "node_modules", ".bin")}${delimiter}${process.env.PATH ?? ""}` };

function run(command: string, ...args: string[]): void {
  const { status, error } = spawnSync(command, args, { cwd: root, env, stdio: "inherit" });
  if (status !== 0) {
    console.error(`${command} ${args.join(" ")} failed${error ? `: ${error.message}` : ""}`);
    process.exit(1);
  }
}

rmSync(join(root, "dist"), { recursive: true, force: true });
run("tsc", "-p", "tsconfig.build.json");
if (process.argv.includes("--check")) {
  run("publint", "--strict");
  run("attw", "--pack", ".", "--profile", "esm-only", "--quiet");
}
