import { spawnSync } from "node:child_process";
import { mkdirSync, realpathSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";

const root = join(import.meta.dirname, "../..");

/** The files of one commit, or of the working tree. */
export interface Checkout {
  /** Its short hash; for the working tree that of HEAD, and whether files differ from it. */
  readonly title: string;
  readonly folder: string;
}

export function workingTree(): Checkout {
  const changed = git("status", "--porcelain") === "" ? "" : " with uncommitted changes";
  return { title: `${git("rev-parse", "--short", "HEAD")}${changed}`, folder: root };
}

/**
 * Checks a commit out into a folder of its own below .cache, with this checkout's dependencies. The folder is removed
 * when the checkout is disposed of, and when the process ends by SIGINT or SIGTERM. Throws for a commit that git does
 * not know.
 */
export function checkOut(commit: string): Checkout & Disposable {
  const title = git("rev-parse", "--short", "--verify", `${commit}^{commit}`);
  const folder = join(root, ".cache", "against", `${title}-${process.pid}`);
  const remove = () => {
    spawnSync("git", ["worktree", "remove", "--force", folder], { cwd: root });
    rmSync(folder, { recursive: true, force: true });
    spawnSync("git", ["worktree", "prune"], { cwd: root });
  };
  const end = () => process.exit(130);
  process.once("exit", remove);
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, end);
  mkdirSync(join(root, ".cache", "against"), { recursive: true });
  git("worktree", "add", "--detach", "--quiet", folder, title);
  symlinkSync(realpathSync(join(root, "node_modules")), join(folder, "node_modules"));
  return {
    title,
    folder,
    [Symbol.dispose]() {
      process.off("exit", remove);
      for (const signal of ["SIGINT", "SIGTERM"] as const) process.off(signal, end);
      remove();
    },
  };
}

function git(...args: readonly string[]): string {
  const { status, stdout, stderr } = spawnSync("git", args, { cwd: root, encoding: "utf8" });
  if (status !== 0) throw new Error(`git ${args.join(" ")} failed: ${stderr.trim()}`);
  return stdout.trim();
}
