import { spawn, spawnSync } from "node:child_process";
import { join } from "node:path";

/** What a process of a benchmark can be told to do. */
export type Commands = { readonly [name: string]: (args: never) => Promise<unknown> };

interface Command {
  readonly id: number;
  readonly name: string;
  readonly args: unknown;
}

type Answer = { readonly id: number; readonly value: unknown } | { readonly id: number; readonly error: string };

/** A process of its own that carries out commands; gone when disposed of. */
export interface Child<C extends Commands> extends AsyncDisposable {
  /** Processor time since it began, with all its threads, microseconds. */
  cpuUs(): Promise<number>;
  call<K extends keyof C & string>(name: K, ...args: Parameters<C[K]>): Promise<Awaited<ReturnType<C[K]>>>;
}

/**
 * Two cores at least: one for the server, one for its callers. Without `taskset`, or with one core, processes run
 * where they like.
 */
const canPin = spawnSync("taskset", ["-c", "1", "true"]).status === 0;
export const pinned = canPin ? "server on core 0, callers on core 1" : "not pinned";

/**
 * What all processes of benchmarks that are gone again took, microseconds: the rest of the machine's work was somebody
 * else's.
 */
let endedCpuUs = 0;
export const endedChildrenCpuUs = () => endedCpuUs;

/**
 * Starts a script of this folder, or of another checkout's `bench` in `folder`, on one core if that is possible here.
 * It can collect garbage on demand.
 *
 * Invariant: names, arguments and results of the commands of `target.ts` and `event-cost-run.ts` stay as they are,
 * since `--against` sends the commands of this checkout to the scripts of an older one.
 */
export function startChild<C extends Commands>(
  script: string,
  options: { readonly core?: 0 | 1; readonly args?: readonly string[]; readonly folder?: string } = {},
): Child<C> {
  const { core, args = [], folder = import.meta.dirname } = options;
  const node = [process.execPath, "--expose-gc", join(folder, script), ...args];
  const [command = "", ...rest] = core !== undefined && canPin ? ["taskset", "-c", String(core), ...node] : node;
  const child = spawn(command, rest, { stdio: ["ignore", "inherit", "inherit", "ipc"] });
  const waiting = new Map<number, { resolve(value: never): void; reject(error: Error): void }>();
  let nextId = 0;
  let gone = false;
  const exited = new Promise<void>((resolve) => {
    child.once("exit", (code, signal) => {
      gone = true;
      for (const { reject } of waiting.values()) reject(new Error(`${script} ended with ${signal ?? code}`));
      resolve();
    });
  });
  child.on("message", (answer: Answer) => {
    const caller = waiting.get(answer.id);
    waiting.delete(answer.id);
    if ("error" in answer) caller?.reject(new Error(`${script}: ${answer.error}`));
    else caller?.resolve(answer.value as never);
  });
  const send = (name: string, commandArgs: unknown): Promise<never> =>
    new Promise((resolve, reject) => {
      if (gone) return reject(new Error(`${script} has ended`));
      const id = nextId++;
      waiting.set(id, { resolve, reject });
      child.send({ id, name, args: commandArgs } satisfies Command);
    });
  return {
    cpuUs: () => send("cpuUs", undefined),
    call: (name, ...[commandArgs]) => send(name, commandArgs),
    async [Symbol.asyncDispose]() {
      if (!gone) {
        endedCpuUs += await send("cpuUs", undefined).catch(() => 0);
        child.disconnect();
      }
      await exited;
    },
  };
}

/**
 * The other side: carries out commands until the parent is gone. `process.exit` so that a profile is written whatever
 * is still open.
 */
export function carryOut(commands: Commands): void {
  process.on("message", async ({ id, name, args }: Command) => {
    let answer: Answer;
    try {
      const value = name === "cpuUs" ? cpuUs() : await commands[name]?.(args as never);
      answer = { id, value };
    } catch (error) {
      answer = { id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) };
    }
    process.send?.(answer);
  });
  process.once("disconnect", () => process.exit(0));
}

/** Bytes of live objects, on the heap and beside it. */
export async function liveBytes(): Promise<number> {
  if (globalThis.gc === undefined) throw new Error("Run with --expose-gc");
  // Finalizers and what the event loop still holds need a turn; one collection doesn't see what the first one's
  // finalizers let go.
  for (let time = 0; time < 3; time++) {
    globalThis.gc();
    await new Promise((resolve) => setImmediate(resolve));
  }
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** Processor time of this process with all its threads, microseconds. */
export function cpuUs(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}
