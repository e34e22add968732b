import { spawnSync } from "node:child_process";
import { delimiter, join, resolve } from "node:path";

/** Folder of the repository, absolute. */
export const root = resolve(import.meta.dirname, "..");

const binaries = join(root, "node_modules", ".bin");

/**
 * Runs buf in the root of the repository with this process's output, and tells whether it succeeded. Throws if it
 * cannot be started.
 */
export function runBuf(...args: readonly string[]): boolean {
  const { error, status } = spawnSync(join(binaries, "buf"), args, {
    cwd: root,
    // The binaries are Node scripts: they are to run on the Node of the repository, not on whichever is installed.
    env: { ...process.env, PATH: `${binaries}${delimiter}${process.env.PATH ?? ""}` },
    stdio: "inherit",
  });
  if (error !== undefined) {
    throw new Error("buf could not be started, is `npm ci` done?", { cause: error });
  }
  return status === 0;
}
