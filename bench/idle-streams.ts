import { setTimeout as delay } from "node:timers/promises";
import type { Benchmark, Row } from "./benchmark.ts";
import { type Child, startChild } from "./child.ts";
import type { LoadCommands } from "./load.ts";
import { measureRounds, type Samples } from "./measure.ts";
import type { TargetCommands } from "./target.ts";

/**
 * What a subscription that waits keeps in memory, above a Connect stream that waits for nothing. The tasks themselves
 * are there before.
 */
export const idleStreams: Benchmark = {
  name: "idle-streams",
  about:
    "SubscribeToTask over gRPC to tasks that wait for input, 250 streams per connection; live heap per open stream",

  async run({ quick }) {
    const count = quick ? 500 : 5_000;
    await using load = startChild<LoadCommands>("load.ts", { core: 1 });
    await using bare = startChild<TargetCommands>("target.ts", { core: 0, args: ["bare"] });
    await using memory = startChild<TargetCommands>("target.ts", { core: 0, args: ["task", "memory:"] });
    const taskIds = await load.call("askingTasks", { url: await memory.call("url"), count });
    const one = Array.from({ length: count }, () => taskIds[0] ?? "");
    // Code that is compiled and pools that are filled once are no part of a stream.
    await held(load, bare, one.slice(0, count / 5));
    await held(load, memory, taskIds.slice(0, count / 5));
    const samples = await measureRounds(
      [
        { name: "bare", run: () => held(load, bare, one) },
        { name: "own", run: () => held(load, memory, taskIds) },
        { name: "same", run: () => held(load, memory, one) },
      ],
      quick ? 1 : 2,
      0,
    );
    const base = samples.median("bare", "bytes");
    return [
      rowOf(samples, "bare", `bare Connect, ${count} streams`),
      ...[
        ["own", "each to a task of its own"],
        ["same", "all to one task"],
      ].map(([name = "", about = ""]): Row => {
        const above = (samples.median(name, "bytes") - base) / 1024;
        return {
          ...rowOf(samples, name, `task manager, ${count} streams, ${about}`),
          compared: { to: "bare Connect", ratio: samples.ratio(name, "bare", "bytes") },
          target: { atMost: 12, value: above, unit: "KiB above" },
        };
      }),
    ];
  },
};

function rowOf(samples: Samples, name: string, about: string): Row {
  const kib = (metric: string) => (samples.median(name, metric) / 1024).toFixed(1);
  return {
    case: about,
    figure: `${kib("bytes")} KiB/stream`,
    beside: `${kib("left")} KiB/stream left after they closed`,
  };
}

async function held(load: Child<LoadCommands>, target: Child<TargetCommands>, taskIds: readonly string[]) {
  const url = await target.call("url");
  const before = await target.call("liveBytes");
  await load.call("openIdle", { url, taskIds });
  const open = await target.call("liveBytes");
  await load.call("closeIdle");
  // The client closes its connections after a second without streams.
  await delay(2_000);
  const after = await target.call("liveBytes");
  return { bytes: (open - before) / taskIds.length, left: (after - before) / taskIds.length };
}
