import type { Benchmark, Row } from "./benchmark.ts";
import { startChild } from "./child.ts";
import type { EventCostCommands } from "./event-cost-run.ts";
import { measureRounds, type Variant } from "./measure.ts";

interface Series {
  readonly engine: "memory" | "sqlite";
  readonly command: "stream" | "durable";
  /** Events of one run, whatever the length of the tasks that have them. */
  readonly total: number;
  readonly lengths: readonly number[];
}

const series: readonly Series[] = [
  { engine: "memory", command: "stream", total: 50_000, lengths: [100, 1_000, 10_000] },
  { engine: "sqlite", command: "stream", total: 50_000, lengths: [100, 1_000, 10_000] },
  { engine: "memory", command: "durable", total: 20_000, lengths: [100, 1_000, 10_000] },
  // Each event is one commit, and each commit waits for the disk.
  { engine: "sqlite", command: "durable", total: 500, lengths: [100, 500] },
];

/** Does an event of a long stream cost more than one of a short one? The long and the short have the same number of events in all. */
export const eventCost: Benchmark = {
  name: "event-cost",
  about: "one task after the other in process, its agent yielding chunks of 40 characters, one reader to the end; time per event",

  async run({ quick }) {
    await using child = startChild<EventCostCommands>("event-cost-run.ts");
    const variants: Variant[] = series.flatMap(({ engine, command, total, lengths }) =>
      lengths.map((events) => {
        const tasks = Math.max(1, Math.round((quick ? total / 5 : total) / events));
        return { name: `${engine} ${command} ${events}`, run: () => child.call("run", { engine, command, events, tasks }) };
      }),
    );
    const samples = await measureRounds(variants, quick ? 1 : 5);
    return series.flatMap(({ engine, command, lengths }) =>
      lengths.map((events): Row => {
        const name = `${engine} ${command} ${events}`;
        const [shortest = 0] = lengths;
        const ratio = (metric: string) => samples.ratio(name, `${engine} ${command} ${shortest}`, metric);
        const longest = events === lengths.at(-1);
        return {
          case: `${engine}, ${command === "durable" ? "each awaited, " : ""}${events.toLocaleString("en")} events`,
          figure: `${samples.median(name, "usPerEvent").toFixed(1)} µs/event`,
          beside: `${samples.median(name, "cpuUsPerEvent").toFixed(1)} µs CPU/event, ${samples.median(name, "bytesPerEvent").toFixed(0)} B heap/event`,
          ...(events !== shortest && {
            compared: { to: `${shortest} events`, ratio: ratio("usPerEvent"), byCpu: ratio("cpuUsPerEvent") },
          }),
          ...(longest && { target: { atMost: 1.2 } }),
        };
      }),
    );
  },
};
