import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Benchmark, Row } from "./benchmark.ts";
import { type Child, startChild } from "./child.ts";
import type { LoadBinding, LoadCommands } from "./load.ts";
import { measureRounds, type Samples, type Variant } from "./measure.ts";
import type { TargetCommands } from "./target.ts";

/** What is called: with which text, over which binding if not gRPC. */
interface Called {
  readonly text: string;
  readonly about: string;
  readonly binding?: LoadBinding;
}
type Kind = "echo" | "bareTask" | "task" | "reply" | "sqlite" | "rest" | "rpc";
const kinds: Readonly<Record<Kind, Called>> = {
  echo: { text: "echo", about: "bare Connect, echo of the message" },
  bareTask: { text: "task", about: "bare Connect, a task made up" },
  task: { text: "done", about: "task manager, memory" },
  reply: { text: "reply", about: "task manager, memory, bare reply" },
  sqlite: { text: "done", about: "task manager, sqlite" },
  rest: { text: "done", about: "task manager, memory, HTTP+JSON", binding: "HTTP+JSON" },
  rpc: { text: "done", about: "task manager, memory, JSON-RPC", binding: "JSON-RPC" },
};

const compared: readonly {
  readonly kind: Kind;
  readonly to: Kind;
  readonly callers: number;
  readonly atLeast?: number;
}[] = [
  { kind: "task", to: "echo", callers: 1, atLeast: 0.7 },
  { kind: "task", to: "echo", callers: 64, atLeast: 0.7 },
  { kind: "task", to: "bareTask", callers: 1 },
  { kind: "task", to: "bareTask", callers: 64 },
  { kind: "reply", to: "echo", callers: 64 },
  { kind: "sqlite", to: "task", callers: 64, atLeast: 0.5 },
  { kind: "rest", to: "task", callers: 1 },
  { kind: "rest", to: "task", callers: 64 },
  { kind: "rpc", to: "task", callers: 64 },
];

/** SendMessage over gRPC on one connection, against what Connect costs without us. */
export const unary: Benchmark = {
  name: "unary",
  about:
    "SendMessage over gRPC, one connection (HTTP+JSON and JSON-RPC: one for each caller), a new task per call whose agent completes at once; calls per second",

  async run({ quick }) {
    const folder = mkdtempSync(join(tmpdir(), "a2a-bench-"));
    try {
      await using load = startChild<LoadCommands>("load.ts", { core: 1 });
      await using bare = startChild<TargetCommands>("target.ts", { core: 0, args: ["bare"] });
      await using memory = startChild<TargetCommands>("target.ts", { core: 0, args: ["task", "memory:"] });
      await using replying = startChild<TargetCommands>("target.ts", { core: 0, args: ["reply", "memory:"] });
      await using sqlite = startChild<TargetCommands>("target.ts", {
        core: 0,
        args: ["task", `sqlite:${join(folder, "tasks.db")}`],
      });
      const targets: Record<Kind, Child<TargetCommands>> = {
        echo: bare,
        bareTask: bare,
        task: memory,
        reply: replying,
        sqlite,
        rest: memory,
        rpc: memory,
      };
      const pairs = compared.flatMap(({ kind, to, callers }) => [nameOf(kind, callers), nameOf(to, callers)]);
      const variants = [...new Set(pairs)].map((name): Variant => {
        const [kind, callers] = name.split(" ") as [Kind, string];
        const target = targets[kind];
        return { name, run: () => calls(load, target, kinds[kind], Number(callers), quick ? 150 : 700) };
      });
      const samples = await measureRounds(variants, quick ? 1 : 7);
      const bareRows = (["echo", "bareTask"] as const).flatMap((kind) =>
        [1, 64].map((callers) => rowOf(samples, kind, callers)),
      );
      return [
        ...bareRows,
        ...compared.map(
          ({ kind, to, callers, atLeast }): Row => ({
            ...rowOf(samples, kind, callers),
            compared: {
              to: kinds[to].about,
              ratio: samples.ratio(nameOf(kind, callers), nameOf(to, callers), "perSecond"),
              byCpu: samples.ratio(nameOf(kind, callers), nameOf(to, callers), "perCpuSecond"),
            },
            ...(atLeast !== undefined && { target: { atLeast } }),
          }),
        ),
      ];
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
};

function nameOf(kind: Kind, callers: number): string {
  return `${kind} ${callers}`;
}

function rowOf(samples: Samples, kind: Kind, callers: number): Row {
  const of = (metric: string) => samples.median(nameOf(kind, callers), metric);
  return {
    case: `${kinds[kind].about}, ${callers} caller${callers === 1 ? "" : "s"}`,
    figure: `${of("perSecond").toFixed(0)} calls/s`,
    beside: `server ${of("cpuUs").toFixed(0)} µs CPU/call; p50 ${of("p50Ms").toFixed(2)}, p99 ${of("p99Ms").toFixed(2)} ms; cores ${percent(of("serverBusy"))} server, ${percent(of("loadBusy"))} callers`,
  };
}

async function calls(
  load: Child<LoadCommands>,
  target: Child<TargetCommands>,
  { text, binding = "gRPC" }: Called,
  callers: number,
  ms: number,
) {
  const url = await target.call("url");
  const before = await target.cpuUs();
  const result = await load.call("unary", { url, callers, ms, text, binding });
  const cpuUs = (await target.cpuUs()) - before;
  return {
    perSecond: result.calls / result.seconds,
    cpuUs: cpuUs / result.calls,
    perCpuSecond: (result.calls * 1e6) / cpuUs,
    p50Ms: result.p50Ms,
    p99Ms: result.p99Ms,
    serverBusy: cpuUs / 1e6 / result.seconds,
    loadBusy: result.busy,
  };
}

function percent(part: number): string {
  return `${(part * 100).toFixed(0)} %`;
}
