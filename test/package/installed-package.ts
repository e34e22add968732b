import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

const root = join(import.meta.dirname, "../..");

/** A folder in which the packed package is installed, as a user of it has. */
export interface InstalledPackage extends Disposable {
  readonly folder: string;
  /** Writes a file and returns its path. */
  write(name: string, text: string): string;
  /** Runs node in the folder. */
  node(...args: readonly string[]): Result;
}

export interface Result {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Builds dist/ if its sources changed, packs the package and unpacks it below node_modules of a temporary folder. Its
 * dependencies, and `more` beside them, are links to this checkout's, so that no registry is asked.
 */
export function installPackage(more: readonly string[]): InstalledPackage {
  const folder = mkdtempSync(join(tmpdir(), "a2a-package-"));
  mustRun(root, process.execPath, "scripts/build.ts", "--if-changed");
  const [packed] = JSON.parse(
    mustRun(root, "npm", "pack", "--json", "--ignore-scripts", "--pack-destination", folder),
  ) as readonly [{ readonly filename: string }];
  const home = join(folder, "node_modules", "a2a-task-manager");
  mkdirSync(home, { recursive: true });
  mustRun(folder, "tar", "-xzf", packed.filename, "--strip-components=1", "-C", home);
  const { dependencies } = JSON.parse(readFileSync(join(home, "package.json"), "utf8")) as {
    readonly dependencies: Readonly<Record<string, string>>;
  };
  for (const name of [...Object.keys(dependencies), ...more]) {
    const link = join(folder, "node_modules", name);
    mkdirSync(dirname(link), { recursive: true });
    symlinkSync(join(root, "node_modules", name), link);
  }
  return {
    folder,
    write(name, text) {
      const file = join(folder, name);
      writeFileSync(file, text);
      return file;
    },
    node: (...args) => run(folder, process.execPath, ...args),
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  };
}

function run(cwd: string, command: string, ...args: readonly string[]): Result {
  return spawnSync(command, args, { cwd, encoding: "utf8" });
}

function mustRun(cwd: string, command: string, ...args: readonly string[]): string {
  const { status, stdout, stderr } = run(cwd, command, ...args);
  if (status !== 0) throw new Error(`${command} ${args.join(" ")} failed in ${cwd}: ${stdout}${stderr}`);
  return stdout;
}
