import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Child, startChild } from "../child.ts";
import type { EventCostCommands } from "../event-cost-run.ts";
import type { LoadBinding, LoadCommands } from "../load.ts";
import type { TargetCommands } from "../target.ts";

/** A benchmark cut down to what two checkouts are compared by: the processor time of the process under test. */
export interface CpuBenchmark {
  readonly name: string;
  /** What the processor time is divided by. */
  readonly per: "event" | "call";
  readonly cases: readonly string[];
  /** Starts the processes of one checkout from its own bench folder. */
  open(benchFolder: string, shared: Shared): Promise<CpuRunner>;
}

/** What both checkouts use at once. */
export interface Shared {
  readonly mongodbUri: string;
  /** The callers: one process for both, so that both servers are called in the same rhythm. */
  readonly load: Child<LoadCommands>;
}

export interface CpuRunner extends AsyncDisposable {
  /** Microseconds of processor time per event or call. */
  cpuUs(name: string): Promise<number>;
}

/**
 * Short streams show what a task costs, long ones what an event costs. Each run takes about 0.2 s of processor time.
 */
const eventRuns: Readonly<Record<string, Omit<Parameters<EventCostCommands["run"]>[0], "mongodbUri">>> = {
  "memory, 10 events": { engine: "memory", command: "stream", events: 10, tasks: 250 },
  "memory, 1,000 events": { engine: "memory", command: "stream", events: 1_000, tasks: 15 },
  "memory, each awaited, 100 events": { engine: "memory", command: "durable", events: 100, tasks: 40 },
  "sqlite, 10 events": { engine: "sqlite", command: "stream", events: 10, tasks: 50 },
  "sqlite, 1,000 events": { engine: "sqlite", command: "stream", events: 1_000, tasks: 10 },
  "sqlite, each awaited, 100 events": { engine: "sqlite", command: "durable", events: 100, tasks: 5 },
  "mongodb, 10 events": { engine: "mongodb", command: "stream", events: 10, tasks: 20 },
  "mongodb, 1,000 events": { engine: "mongodb", command: "stream", events: 1_000, tasks: 5 },
  "mongodb, each awaited, 100 events": { engine: "mongodb", command: "durable", events: 100, tasks: 2 },
};

const eventCostCpu: CpuBenchmark = {
  name: "event-cost",
  per: "event",
  cases: Object.keys(eventRuns),

  async open(folder, { mongodbUri }) {
    const child = startChild<EventCostCommands>("event-cost-run.ts", { core: 0, folder });
    return {
      async cpuUs(name) {
        const run = eventRuns[name];
        if (run === undefined) throw new Error(`There is no case "${name}"`);
        return (await child.call("run", { ...run, mongodbUri })).cpuUsPerEvent;
      },
      [Symbol.asyncDispose]: () => child[Symbol.asyncDispose](),
    };
  },
};

interface CallRun {
  readonly target: "memory" | "reply" | "sqlite";
  readonly text: string;
  readonly callers: number;
  readonly binding: LoadBinding;
}

const callRuns: Readonly<Record<string, CallRun>> = {
  "memory, gRPC, 1 caller": { target: "memory", text: "done", callers: 1, binding: "gRPC" },
  "memory, gRPC, 64 callers": { target: "memory", text: "done", callers: 64, binding: "gRPC" },
  "memory, gRPC, bare reply, 64 callers": { target: "reply", text: "reply", callers: 64, binding: "gRPC" },
  "sqlite, gRPC, 64 callers": { target: "sqlite", text: "done", callers: 64, binding: "gRPC" },
  "memory, HTTP+JSON, 64 callers": { target: "memory", text: "done", callers: 64, binding: "HTTP+JSON" },
  "memory, JSON-RPC, 64 callers": { target: "memory", text: "done", callers: 64, binding: "JSON-RPC" },
};
const callRunMs = 1_000;

const unaryCpu: CpuBenchmark = {
  name: "unary",
  per: "call",
  cases: Object.keys(callRuns),

  async open(folder, { load }) {
    await using opened = new AsyncDisposableStack();
    const data = mkdtempSync(join(tmpdir(), "a2a-bench-"));
    opened.defer(() => rmSync(data, { recursive: true }));
    const start = (...args: readonly string[]): Child<TargetCommands> =>
      opened.use(startChild<TargetCommands>("target.ts", { core: 0, args, folder }));
    const targets = {
      memory: start("task", "memory:"),
      reply: start("reply", "memory:"),
      sqlite: start("task", `sqlite:${join(data, "tasks.db")}`),
    };
    const kept = opened.move();
    return {
      async cpuUs(name) {
        const run = callRuns[name];
        if (run === undefined) throw new Error(`There is no case "${name}"`);
        const { target: targetName, ...call } = run;
        const target = targets[targetName];
        const url = await target.call("url");
        const before = await target.cpuUs();
        const { calls } = await load.call("unary", { url, ms: callRunMs, ...call });
        return ((await target.cpuUs()) - before) / calls;
      },
      [Symbol.asyncDispose]: () => kept.disposeAsync(),
    };
  },
};

export const cpuBenchmarks: readonly CpuBenchmark[] = [eventCostCpu, unaryCpu];
