import type { Benchmark, Row } from "./benchmark.ts";
import { type Child, startChild } from "./child.ts";
import { jsonBindings } from "./json-load.ts";
import type { LoadBinding, LoadCommands } from "./load.ts";
import { measureRounds, type Variant } from "./measure.ts";
import type { TargetCommands } from "./target.ts";

/** Streams in one run, and at once. */
const shapes = [
  { atOnce: 1, streams: 4, events: 5_000 },
  { atOnce: 16, streams: 16, events: 1_250 },
] as const;

/**
 * SendStreamingMessage over gRPC, against a Connect server stream of equal events; and as server-sent events, against
 * the same over gRPC.
 */
export const stream: Benchmark = {
  name: "stream",
  about:
    "SendStreamingMessage over gRPC, HTTP+JSON and JSON-RPC, memory storage, chunks of 40 characters as fast as they are taken; events per second",

  async run({ quick }) {
    await using load = startChild<LoadCommands>("load.ts", { core: 1 });
    await using bare = startChild<TargetCommands>("target.ts", { core: 0, args: ["bare"] });
    await using memory = startChild<TargetCommands>("target.ts", { core: 0, args: ["task", "memory:"] });
    const variants = shapes.flatMap((shape): readonly Variant[] => [
      { name: `bare ${shape.atOnce}`, run: () => events(load, bare, shape, quick) },
      { name: `memory ${shape.atOnce}`, run: () => events(load, memory, shape, quick) },
      ...jsonBindings.map(
        (binding): Variant => ({
          name: `${binding} ${shape.atOnce}`,
          run: () => events(load, memory, shape, quick, binding),
        }),
      ),
    ]);
    const samples = await measureRounds(variants, quick ? 1 : 7, 2);
    return shapes.flatMap(({ atOnce, events: length }) => {
      const rowOf = (kind: string, about: string): Row => {
        const of = (metric: string) => samples.median(`${kind} ${atOnce}`, metric);
        return {
          case: `${about}, ${atOnce} at once of ${length.toLocaleString("en")} events`,
          figure: `${of("perSecond").toFixed(0)} events/s`,
          beside: `server ${of("cpuUs").toFixed(1)} µs CPU/event; cores ${(of("serverBusy") * 100).toFixed(0)} % server, ${(of("loadBusy") * 100).toFixed(0)} % callers`,
        };
      };
      const ratio = (kind: string, to: string, metric: string) =>
        samples.ratio(`${kind} ${atOnce}`, `${to} ${atOnce}`, metric);
      const compared = {
        to: "bare Connect",
        ratio: ratio("memory", "bare", "perSecond"),
        byCpu: ratio("memory", "bare", "perCpuSecond"),
      };
      return [
        rowOf("bare", "bare Connect, gRPC"),
        { ...rowOf("memory", "task manager, gRPC"), compared, target: { atLeast: 0.7 } },
        ...jsonBindings.map((binding): Row => {
          // What an event costs the server, since the callers' clients differ.
          const cost = ratio(binding, "memory", "cpuUs");
          return {
            ...rowOf(binding, `task manager, ${binding}`),
            compared: { to: "gRPC, CPU per event", ratio: cost },
            target: { atMost: 1.5 },
          };
        }),
      ];
    });
  },
};

async function events(
  load: Child<LoadCommands>,
  target: Child<TargetCommands>,
  shape: (typeof shapes)[number],
  quick: boolean,
  binding: LoadBinding = "gRPC",
) {
  const url = await target.call("url");
  const before = await target.cpuUs();
  const result = await load.call("streams", {
    url,
    ...shape,
    binding,
    events: quick ? shape.events / 5 : shape.events,
  });
  const cpuUs = (await target.cpuUs()) - before;
  return {
    perSecond: result.events / result.seconds,
    cpuUs: cpuUs / result.events,
    perCpuSecond: (result.events * 1e6) / cpuUs,
    serverBusy: cpuUs / 1e6 / result.seconds,
    loadBusy: result.busy,
  };
}
