import { execFile } from "node:child_process";
import { access, constants, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
const installMs = 300_000;

const flags = [
  ...["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"],
  ...["--disable-background-networking", "--disable-component-update", "--disable-sync"],
];

/**
 * Of playwright's types what is used here: the whole of them leans on the DOM's, which the rest of the project is
 * checked without.
 */
export interface Page {
  goto(url: string): Promise<unknown>;
  waitForFunction(condition: () => boolean): Promise<unknown>;
  evaluate<Argument, Result>(run: (argument: Argument) => Result, argument: Argument): Promise<Awaited<Result>>;
  close(): Promise<void>;
}

export interface Browser extends AsyncDisposable {
  newPage(): Promise<Page>;
}

interface Playwright {
  readonly chromium: {
    launchPersistentContext(
      folder: string,
      options: { readonly executablePath: string; readonly headless: boolean; readonly args: readonly string[] },
    ): Promise<{ newPage(): Promise<Page>; close(): Promise<void> }>;
  };
}

/** A real browser, with a profile of its own. */
export async function openChromium(): Promise<Browser> {
  const executablePath = await findChromium();
  const name: string = "playwright-core";
  const { chromium } = (await import(name)) as Playwright;
  const folder = await mkdtemp(join(tmpdir(), "a2a-chromium-"));
  const remove = () => rm(folder, { recursive: true, force: true, maxRetries: 5 });
  const context = await chromium
    .launchPersistentContext(folder, { executablePath, headless: true, args: flags })
    .catch(async (error: unknown) => {
      await remove();
      throw error;
    });
  return {
    newPage: () => context.newPage(),
    async [Symbol.asyncDispose]() {
      await context.close();
      await remove();
    },
  };
}

/**
 * The path of a Chromium: `CHROMIUM_BIN`, the PATH, and on Debian, for root, its package. Throws, with every reason, if
 * none can be had: a test that needs one must not pass without.
 */
export async function findChromium(): Promise<string> {
  const reasons: string[] = [];
  for (const [name, find] of Object.entries({
    CHROMIUM_BIN: fromEnvironment,
    "the PATH": fromPath,
    "apt-get": fromDebian,
  })) {
    try {
      return await find();
    } catch (error) {
      reasons.push(`  ${name}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  throw new Error(
    `There is no Chromium to test with. Install one (Debian and Ubuntu: "apt-get install chromium" as root; elsewhere Chromium or Chrome of your system), or set CHROMIUM_BIN to its path. Tried:\n${reasons.join("\n")}`,
  );
}

async function fromEnvironment(): Promise<string> {
  const binary = process.env.CHROMIUM_BIN;
  if (binary === undefined || binary === "") throw new Error("is not set");
  await access(binary, constants.X_OK);
  return binary;
}

async function fromPath(): Promise<string> {
  for (const folder of [...(process.env.PATH ?? "").split(delimiter), "/usr/bin"]) {
    for (const name of names) {
      const binary = join(folder, name);
      if (folder !== "" && (await isExecutable(binary))) return binary;
    }
  }
  throw new Error(`holds none of ${names.join(", ")}`);
}

async function fromDebian(): Promise<string> {
  if (process.getuid?.() !== 0) throw new Error("installs nothing for a user who isn't root");
  const options = { timeout: installMs, env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" } };
  await run("apt-get", ["update", "-qq"], options);
  await run("apt-get", ["install", "-y", "-qq", "--no-install-recommends", "chromium"], options);
  return fromPath();
}

async function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}
