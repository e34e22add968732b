import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";

const root = join(import.meta.dirname, "../..");

/** A server of its own process, as `npm start` runs it, on a free port. */
export interface ServeProcess {
  readonly url: URL;
  readonly pid: number | undefined;
  /** What it has printed. */
  readonly stdout: () => string;
  readonly stderr: () => string;
  readonly exited: Promise<number | null>;
  /** Sends a signal that doesn't end it. */
  signal(signal: NodeJS.Signals): void;
  /** Sends a signal and resolves with the exit code, null for a process that was killed. */
  end(signal: NodeJS.Signals): Promise<number | null>;
}

/** Starts `main.ts` without waiting for anything but its end: for starts that must fail. */
export function runMain(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const child: ChildProcess = spawn(process.execPath, [join(root, "src/cli/main.ts"), ...args], {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const text = { stdout: "", stderr: "" };
  child.stdout?.on("data", (chunk) => {
    text.stdout += chunk;
  });
  child.stderr?.on("data", (chunk) => {
    text.stderr += chunk;
  });
  const exited = once(child, "close").then(([code]) => code as number | null);
  return { child, text, exited };
}

/** The address in the log line that says that the server is ready. */
export function readyAddress(log: string): URL | undefined {
  const [, address] = /"address":"([^"]+)","msg":"The server is ready"/.exec(log) ?? [];
  return address === undefined ? undefined : new URL(address);
}

/** Starts a server and resolves once it listens. Throws, with what it said, if it ends instead. */
export async function startServer(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<ServeProcess> {
  const { child, text, exited } = runMain(["--port", "0", ...args], env);
  const listening = new Promise<URL>((resolve) => {
    child.stderr?.on("data", () => {
      const address = readyAddress(text.stderr);
      if (address !== undefined) resolve(address);
    });
  });
  const ended = exited.then((code) => {
    throw new Error(`The server ended with ${code}: ${text.stderr}${text.stdout}`);
  });
  const url = await Promise.race([listening, ended]);
  ended.catch(() => undefined);
  return {
    url,
    pid: child.pid,
    stdout: () => text.stdout,
    stderr: () => text.stderr,
    exited,
    signal: (signal) => void child.kill(signal),
    end(signal) {
      child.kill(signal);
      return exited;
    },
  };
}
