import { openMongod } from "./bench-mongod.ts";
import type { Benchmark, Row } from "./benchmark.ts";
import { startChild } from "./child.ts";
import type { EventCostCommands } from "./event-cost-run.ts";
import { measureRounds, type Variant } from "./measure.ts";

interface Series {
  readonly engine: "memory" | "sqlite" | "mongodb";
  readonly command: "stream" | "durable";
  /**
   * Events of one run, whatever the length of the tasks that have them, but for short tasks, of which there are at most
   * so many.
   */
  readonly total: number;
  readonly tasksMax: number;
  readonly lengths: readonly number[];
}

/** What shorter streams cost more by is their beginning and end; costs are compared from this length on. */
const baseLength = 100;

const series: readonly Series[] = [
  { engine: "memory", command: "stream", total: 50_000, tasksMax: 500, lengths: [10, 100, 1_000, 10_000] },
  { engine: "sqlite", command: "stream", total: 50_000, tasksMax: 100, lengths: [10, 100, 1_000, 10_000] },
  { engine: "mongodb", command: "stream", total: 20_000, tasksMax: 50, lengths: [10, 100, 1_000, 10_000] },
  { engine: "memory", command: "durable", total: 20_000, tasksMax: 200, lengths: [100, 1_000, 10_000] },
  // Each event is one commit, and each commit waits for the disk.
  { engine: "sqlite", command: "durable", total: 500, tasksMax: 5, lengths: [100, 500] },
  { engine: "mongodb", command: "durable", total: 1_000, tasksMax: 10, lengths: [100, 1_000] },
];

/**
 * Does an event of a long stream cost more than one of a short one? The long and the short have about the same number
 * of events in all.
 */
export const eventCost: Benchmark = {
  name: "event-cost",
  about:
    "one task after the other in process, its agent yielding chunks of 40 characters, one reader to the end; time per event",

  async run({ quick }) {
    await using mongod = await openMongod();
    await using child = startChild<EventCostCommands>("event-cost-run.ts");
    const mongodbUri = mongod.uri;
    const variants: Variant[] = series.flatMap(({ engine, command, total, tasksMax, lengths }) =>
      lengths.map((events) => {
        const tasks = Math.max(1, Math.round(Math.min(tasksMax, total / events) / (quick ? 5 : 1)));
        return {
          name: `${engine} ${command} ${events}`,
          run: () => child.call("run", { engine, command, events, tasks, mongodbUri }),
        };
      }),
    );
    const samples = await measureRounds(variants, quick ? 1 : 5);
    return series.flatMap(({ engine, command, lengths }) =>
      lengths.map((events): Row => {
        const name = `${engine} ${command} ${events}`;
        const ratio = (metric: string) => samples.ratio(name, `${engine} ${command} ${baseLength}`, metric);
        const us = samples.median(name, "usPerEvent");
        return {
          case: `${engine}, ${command === "durable" ? "each awaited, " : ""}${events.toLocaleString("en")} events`,
          figure: `${us.toFixed(1)} µs/event`,
          beside: `${samples.median(name, "cpuUsPerEvent").toFixed(1)} µs CPU/event, ${samples.median(name, "bytesPerEvent").toFixed(0)} B heap/event`,
          ...(events > baseLength && {
            compared: { to: `${baseLength} events`, ratio: ratio("usPerEvent"), byCpu: ratio("cpuUsPerEvent") },
          }),
          ...(events === lengths.at(-1) && { target: { atMost: 1.2 } }),
          ...(command === "stream" && { point: { line: engine, events, us } }),
        };
      }),
    );
  },
};
