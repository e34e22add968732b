import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { access, mkdir, mkdtemp, readFile, rename, rm } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const cacheFolder = join(import.meta.dirname, "..", "..", ".cache", "python");

/**
 * The folder with the packages that a requirements file pins, for PYTHONPATH; installed from PyPI the first time, with
 * the machine's own python3 and pip. The file's path is relative to this folder. Throws if they can't be had.
 */
export async function pythonPackages(requirementsFile: string): Promise<string> {
  const requirements = resolve(import.meta.dirname, requirementsFile);
  const { stdout: version } = await run("python3", ["-c", "import sys; print('%d.%d' % sys.version_info[:2])"]);
  const digest = createHash("sha256")
    .update(await readFile(requirements))
    .update(version)
    .digest("hex")
    .slice(0, 12);
  const target = join(cacheFolder, `${basename(requirementsFile, ".txt")}-${digest}`);
  if (await exists(target)) return target;
  await mkdir(cacheFolder, { recursive: true });
  // Aside and then renamed, so that neither an interrupted installation nor two at once leave half of one.
  const aside = await mkdtemp(join(cacheFolder, "installing-"));
  try {
    await run(
      "python3",
      ["-m", "pip", "install", "-q", "--no-deps", "--only-binary=:all:", "--target", aside, "-r", requirements],
      { timeout: 180_000 },
    );
    await rename(aside, target).catch(async (error: unknown) => {
      if (!(await exists(target))) throw error;
    });
  } finally {
    await rm(aside, { recursive: true, force: true });
  }
  return target;
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
