import { spawnSync } from "node:child_process";
import { delimiter, join, resolve } from "node:path";

/** The absolute path of the repository. */
export const root = resolve(import.meta.dirname, "..");

const binaries = join(root, "node_modules", ".bin");

/**
 * Runs buf in the root of the repository and returns whether it succeeded. Its output goes to the output of this
 * process. Throws if buf cannot be started.
 */
export function runBuf(...args: readonly string[]): boolean {
  const { error, status } = spawnSync(join(binaries, "buf"), args, {
    cwd: root,
    // The binaries are Node scripts. They must run on the repository's Node, not on the Node of the machine.
    env: { ...process.env, PATH: `${binaries}${delimiter}${process.env.PATH ?? ""}` },
    stdio: "inherit",
  });
  if (error !== undefined) {
    throw new Error("Cannot start buf; run `npm ci` first", { cause: error });
  }
  return status === 0;
}
