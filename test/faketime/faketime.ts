import { execFile } from "node:child_process";
import { access, mkdir, mkdtemp, readdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const cacheFolder = join(import.meta.dirname, "..", "..", ".cache", "faketime");
/** For programs with threads. */
const library = "libfaketimeMT.so.1";
const fetchMs = 120_000;

/** The wall clock of a process that is started with `env`; its monotonic clock stays the machine's. */
export interface FakeWallClock {
  readonly env: Readonly<Record<string, string>>;
  /** Sets it apart from the machine's, in libfaketime's words: "+2h", "-1d", "+0". */
  set(offset: string): Promise<void>;
}

/** `file` holds the present offset. It is read at every look at the clock. */
export async function fakeWallClock(file: string): Promise<FakeWallClock> {
  const set = async (offset: string) => {
    // Whole or not at all: the process reads it at any moment.
    await writeFile(`${file}.next`, `${offset}\n`);
    await rename(`${file}.next`, file);
  };
  await set("+0");
  return {
    env: {
      LD_PRELOAD: await findFaketime(),
      FAKETIME_TIMESTAMP_FILE: file,
      FAKETIME_NO_CACHE: "1",
      FAKETIME_DONT_FAKE_MONOTONIC: "1",
    },
    set,
  };
}

/**
 * The path of libfaketime: `LIBFAKETIME`, the system's, Debian's package, which is unpacked and not installed. Throws,
 * with every reason, if none can be had.
 */
export async function findFaketime(): Promise<string> {
  const reasons: string[] = [];
  for (const [name, find] of Object.entries({
    LIBFAKETIME: fromEnvironment,
    "the system": fromSystem,
    "apt-get": fromDebian,
  })) {
    try {
      return await find();
    } catch (error) {
      reasons.push(`  ${name}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  throw new Error(
    `There is no libfaketime to test with. Install it (Debian and Ubuntu: the package "libfaketime"), or set LIBFAKETIME to the path of ${library}. Tried:\n${reasons.join("\n")}`,
  );
}

async function fromEnvironment(): Promise<string> {
  const path = process.env.LIBFAKETIME;
  if (path === undefined || path === "") throw new Error("is not set");
  await access(path);
  return path;
}

function fromSystem(): Promise<string> {
  return findIn("/usr/lib");
}

async function fromDebian(): Promise<string> {
  const target = join(cacheFolder, "debian");
  try {
    return await findIn(join(target, "usr/lib"));
  } catch {
    // Not fetched yet.
  }
  await mkdir(cacheFolder, { recursive: true });
  // Aside and then renamed, so that neither an interrupted download nor two at once leave half of one.
  const aside = await mkdtemp(join(cacheFolder, "fetching-"));
  try {
    const download = () => run("apt-get", ["download", "-qq", "libfaketime"], { cwd: aside, timeout: fetchMs });
    await download().catch(async () => {
      // A fresh machine has no lists of packages.
      await run("apt-get", ["update", "-qq"], { timeout: fetchMs });
      await download();
    });
    const [file] = (await readdir(aside)).filter((name) => name.endsWith(".deb"));
    if (file === undefined) throw new Error("downloaded nothing");
    await run("dpkg", ["-x", join(aside, file), join(aside, "files")]);
    await rename(join(aside, "files"), target).catch(async (error: unknown) => {
      await findIn(join(target, "usr/lib")).catch(() => {
        throw error;
      });
    });
  } finally {
    await rm(aside, { recursive: true, force: true });
  }
  return findIn(join(target, "usr/lib"));
}

/** The library below a folder of libraries, with or without a folder for the architecture. */
async function findIn(folder: string): Promise<string> {
  for (const architecture of ["", ...(await readdir(folder)).filter((name) => name.includes("-linux-"))]) {
    const path = join(folder, architecture, "faketime", library);
    if (
      await access(path).then(
        () => true,
        () => false,
      )
    )
      return path;
  }
  throw new Error(`holds no ${library}`);
}
