import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { readyAddress } from "../e2e/serve-process.ts";
import { eventually } from "../runner/eventually.ts";

const root = join(import.meta.dirname, "../..");

export interface Memory {
  /** Objects and buffers after a collection, bytes. */
  readonly heldBytes: number;
  readonly rss: number;
}

/** A server in a process of its own, started as `npm start` does. */
export interface FuzzServer {
  readonly url: URL;
  /** Undefined while it runs. */
  readonly exitCode: () => number | string | undefined;
  memory(): Promise<Memory>;
  /** Bytes that it allocates on its heap until `work` is done. */
  allocations(work: () => Promise<unknown>): Promise<number>;
  /** Runs of functions, branches and loops until `work` is done. It is slower from the first time on. */
  steps(work: () => Promise<unknown>): Promise<number>;
  /** Drains it; resolves with its exit code. */
  stop(): Promise<number | string>;
}

/** Starts a server. `onLog` gets each line that it logs or that Node prints. */
export async function startFuzzServer(storage: string, onLog: (line: string) => void): Promise<FuzzServer> {
  const args = ["--port", "0", "--storage", storage, "--log-level", "info"];
  // What the inputs leave is removed at the end of each round; these would hold it.
  const shortLived = ["--duplicate-window", "1s", "--interrupted-ttl", "1s"];
  const probe = join(import.meta.dirname, "memory-probe.ts");
  const child = spawn(process.execPath, ["--import", probe, join(root, "src/cli/main.ts"), ...args, ...shortLived], {
    cwd: root,
    stdio: ["ignore", "ignore", "pipe", "ipc"],
  });
  let exitCode: number | string | undefined;
  const exited = once(child, "close").then(([code, signal]) => {
    exitCode = (code ?? signal) as number | string;
    return exitCode;
  });
  let address: URL | undefined;
  if (child.stderr !== null)
    createInterface(child.stderr).on("line", (line) => {
      address ??= readyAddress(line);
      onLog(line);
    });
  let asked = 0;
  const ask = async <T>(question: string): Promise<T> => {
    const id = ++asked;
    child.send({ id, question });
    for (;;) {
      const [answer] = (await once(child, "message")) as [{ readonly id: number } & T];
      if (answer.id === id) return answer;
    }
  };
  const url = await eventually(
    "the server listens",
    () => {
      if (exitCode !== undefined) throw new Error(`The server ended with ${exitCode}`);
      return address ?? false;
    },
    { timeoutMs: 60_000 },
  );
  return {
    url,
    exitCode: () => exitCode,
    memory: () => ask("memory"),
    async allocations(work) {
      await ask("begin allocations");
      await work();
      return (await ask<{ readonly bytes: number }>("end allocations")).bytes;
    },
    async steps(work) {
      await ask("begin steps");
      await work();
      return (await ask<{ readonly steps: number }>("end steps")).steps;
    },
    stop() {
      child.kill("SIGTERM");
      return exited;
    },
  };
}
