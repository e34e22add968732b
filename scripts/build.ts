// Builds dist/ for publishing. With --check it also asks publint and arethetypeswrong whether what would be published
// can be used. With --if-changed it keeps a dist/ whose sources have not changed since it was built.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, existsSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { parseArgs } from "node:util";

const root = join(import.meta.dirname, "..");
const env = { ...process.env, PATH: `${join(root, "node_modules", ".bin")}${delimiter}${process.env.PATH ?? ""}` };
/** Holds the hash of the sources that dist/ was built from. */
const stamp = join(root, ".cache", "built");
const { values } = parseArgs({
  options: { check: { type: "boolean", default: false }, "if-changed": { type: "boolean", default: false } },
});

function run(command: string, ...args: string[]): void {
  const { status, error } = spawnSync(command, args, { cwd: root, env, stdio: "inherit" });
  if (status !== 0) {
    console.error(`${command} ${args.join(" ")} failed${error ? `: ${error.message}` : ""}`);
    process.exit(1);
  }
}

function hashOfSources(): string {
  const hash = createHash("sha256");
  const files = globSync(
    ["{types,src,gen}/**/*.ts", "proto/**/*.proto", "scripts/build.ts", "tsconfig*.json", "package-lock.json"],
    { cwd: root },
  ).sort();
  for (const file of files) hash.update(`${file}\0`).update(readFileSync(join(root, file)));
  return hash.digest("hex");
}

/** Our protos and what they import, so that protoc and buf need nothing else. */
function copyProtos(): void {
  const target = join(root, "dist", "proto");
  const google = join(root, "node_modules", "google-proto-files");
  for (const file of globSync("**/*.proto", { cwd: join(root, "proto") }))
    cpSync(join(root, "proto", file), join(target, file));
  for (const file of [
    ...["annotations", "client", "field_behavior", "http", "launch_stage"].map((name) => `google/api/${name}.proto`),
    // Of the details of errors.
    ...["error_details", "status"].map((name) => `google/rpc/${name}.proto`),
  ])
    cpSync(join(google, file), join(target, file));
}

function isCurrent(hash: string): boolean {
  return existsSync(join(root, "dist")) && existsSync(stamp) && readFileSync(stamp, "utf8") === hash;
}

const hash = hashOfSources();
if (!values["if-changed"] || !isCurrent(hash)) {
  rmSync(stamp, { force: true });
  rmSync(join(root, "dist"), { recursive: true, force: true });
  run("tsc", "-p", "tsconfig.build.json");
  copyProtos();
  mkdirSync(dirname(stamp), { recursive: true });
  writeFileSync(stamp, hash);
}
if (values.check) {
  run("publint", "--strict");
  run("attw", "--pack", ".", "--profile", "esm-only", "--quiet");
}
