import type { Benchmark, Row } from "./benchmark.ts";
import { type Child, startChild } from "./child.ts";
import type { LoadCommands } from "./load.ts";
import { measureRounds, type Variant } from "./measure.ts";
import type { TargetCommands } from "./target.ts";

/** The SDK takes 7 s for one task of 3,000 events, and ten times as long for one of 10,000. */
const lengths = [10, 100, 1_000, 3_000];
const baseLength = 100;
/** Events of one run of ours; of the SDK's as many as it gets done in about the same time. */
const total = 6_000;
const sdkTotals = [500, 2_000, 1_000, 3_000];

const kinds = [
  { kind: "ours", line: "memory, over gRPC", about: "task manager, memory" },
  { kind: "sdk", line: "@a2a-js/sdk, memory, over gRPC", about: "@a2a-js/sdk 1.3, memory" },
] as const;

/** The same streams over gRPC from one server and from the other. */
export const eventCostGrpc: Benchmark = {
  name: "event-cost-grpc",
  about:
    "the same over gRPC, one stream after the other, beside the server of A2A's own SDK for JavaScript (its SDK for Go, elsewhere: 0.65 ms per event on a stream of 100, 8.8 ms on one of 3,000); time per event",

  async run({ quick }) {
    await using load = startChild<LoadCommands>("load.ts", { core: 1 });
    await using ours = startChild<TargetCommands>("target.ts", { core: 0, args: ["task", "memory:"] });
    await using sdk = startChild<TargetCommands>("sdk-target.ts", { core: 0 });
    const used = quick ? lengths.slice(0, -1) : lengths;
    const variants = used.flatMap((events, place): readonly Variant[] => [
      { name: `ours ${events}`, run: () => read(load, ours, events, total) },
      { name: `sdk ${events}`, run: () => read(load, sdk, events, sdkTotals[place] ?? events) },
    ]);
    const samples = await measureRounds(variants, quick ? 1 : 3);
    return kinds.flatMap(({ kind, line, about }) =>
      used.map((events): Row => {
        const name = `${kind} ${events}`;
        const us = samples.median(name, "usPerEvent");
        const ratio = (metric: string) => samples.ratio(name, `${kind} ${baseLength}`, metric);
        return {
          case: `${about}, ${events.toLocaleString("en")} events`,
          figure: `${us.toFixed(1)} µs/event`,
          beside: `server ${samples.median(name, "cpuUsPerEvent").toFixed(1)} µs CPU/event`,
          point: { line, events, us },
          ...(events > baseLength && {
            compared: { to: `${baseLength} events`, ratio: ratio("usPerEvent"), byCpu: ratio("cpuUsPerEvent") },
          }),
          ...(kind === "ours" && events === used.at(-1) && { target: { atMost: 1.2 } }),
        };
      }),
    );
  },
};

async function read(
  load: Child<LoadCommands>,
  target: Child<Pick<TargetCommands, "url">>,
  events: number,
  all: number,
) {
  const url = await target.call("url");
  const before = await target.cpuUs();
  const result = await load.call("streams", { url, atOnce: 1, streams: Math.max(1, Math.round(all / events)), events });
  const cpuUs = (await target.cpuUs()) - before;
  return { usPerEvent: (result.seconds * 1e6) / result.events, cpuUsPerEvent: cpuUs / result.events };
}
