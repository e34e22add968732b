/**
 * `npm run bench [-- --only NAME] [--quick] [--write]`: the numbers of DESIGN 10, as ratios within one run. `--write`
 * puts them in RESULTS.md, and the cost per event in event-cost.svg; `--only`, which may be given more than once, names
 * a benchmark.
 *
 * To see where time goes, let every process of a benchmark write a profile, and open it in Chrome's developer tools or
 * VS Code: `NODE_OPTIONS="--cpu-prof --cpu-prof-dir=.cache/prof" npm run bench -- --only unary`. With `--heap-prof`
 * instead of `--cpu-prof` it is what was allocated.
 */
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type Benchmark, isMet, type Row } from "./benchmark.ts";
import { cpuUs, endedChildrenCpuUs, pinned } from "./child.ts";
import { databaseWork } from "./database-work.ts";
import { eventCost } from "./event-cost.ts";
import { eventCostGrpc } from "./event-cost-grpc.ts";
import { idleStreams } from "./idle-streams.ts";
import { type ChartPoint, lineChart } from "./line-chart.ts";
import type { Ratio } from "./measure.ts";
import { stream } from "./stream.ts";
import { unary } from "./unary.ts";

const benchmarks: readonly Benchmark[] = [databaseWork, eventCost, eventCostGrpc, unary, stream, idleStreams];

const { values } = parseArgs({
  options: {
    only: { type: "string", multiple: true },
    quick: { type: "boolean", default: false },
    write: { type: "boolean", default: false },
  },
});
const unknown = values.only?.find((name) => benchmarks.every((benchmark) => benchmark.name !== name));
if (unknown !== undefined) {
  console.error(`There is no benchmark "${unknown}"; there are ${benchmarks.map(({ name }) => name).join(", ")}`);
  process.exit(2);
}

const sections: string[] = [];
const points: ChartPoint[] = [];
for (const benchmark of benchmarks) {
  if (values.only !== undefined && !values.only.includes(benchmark.name)) continue;
  const begin = performance.now();
  const busyBefore = machineBusyUs();
  const ownBefore = ownBusyUs();
  const rows = await benchmark.run({ quick: values.quick });
  for (const { point } of rows)
    if (point !== undefined) points.push({ line: point.line, x: point.events, y: point.us });
  const seconds = (performance.now() - begin) / 1000;
  const others = (machineBusyUs() - busyBefore - (ownBusyUs() - ownBefore)) / 1e6 / seconds;
  const meanwhile = `Took ${seconds.toFixed(0)} s; meanwhile other processes used ${Math.max(0, others).toFixed(1)} of ${cpus().length} cores.`;
  const section = `## ${benchmark.name}\n\n${benchmark.about}. ${meanwhile}\n\n${tableOf(rows)}`;
  console.log(section);
  sections.push(section);
}
if (values.write) {
  writeFileSync(join(import.meta.dirname, "RESULTS.md"), `${head()}\n${sections.join("\n")}`);
  if (points.length > 0) {
    const texts = { title: "Time per event of one stream", xLabel: "events of the stream", yLabel: "µs per event" };
    writeFileSync(join(import.meta.dirname, "event-cost.svg"), lineChart(points, texts));
  }
}

function tableOf(rows: readonly Row[]): string {
  const cells = rows.map((row) => [
    row.case,
    row.figure,
    row.compared?.to ?? "",
    ratioText(row.compared?.ratio),
    targetOf(row),
    ratioText(row.compared?.byCpu),
    row.beside ?? "",
  ]);
  const table = [["case", "figure", "against", "ratio (quartiles)", "target", "by CPU", "beside"], ...cells];
  const widths = table[0]?.map((_, column) => Math.max(...table.map((line) => line[column]?.length ?? 0))) ?? [];
  const lines = table.map(
    (line) => `| ${line.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |\n`,
  );
  lines.splice(1, 0, `|${widths.map((width) => "-".repeat(width + 2)).join("|")}|\n`);
  return lines.join("");
}

/** What was worked on this machine since it began, by whomever, microseconds. */
function machineBusyUs(): number {
  return cpus().reduce((sum, { times }) => sum + times.user + times.nice + times.sys + times.irq, 0) * 1000;
}

function ownBusyUs(): number {
  return cpuUs() + endedChildrenCpuUs();
}

function ratioText(ratio: Ratio | undefined): string {
  if (ratio === undefined) return "";
  const { value, low, high } = ratio;
  return `${value.toFixed(2)} (${low.toFixed(2)}–${high.toFixed(2)})`;
}

function targetOf(row: Row): string {
  const { target } = row;
  if (target === undefined) return "";
  const verdict = isMet(row) ? "met" : "MISSED";
  if ("atLeast" in target) return `≥ ${target.atLeast}: ${verdict}`;
  if (target.value === undefined) return `≤ ${target.atMost}: ${verdict}`;
  return `≤ ${target.atMost} ${target.unit}: ${target.value.toFixed(1)}, ${verdict}`;
}

function head(): string {
  const git = (...args: string[]) =>
    spawnSync("git", args, { cwd: import.meta.dirname, encoding: "utf8" }).stdout.trim();
  const changed = git("status", "--porcelain", "--", "../src", "../gen") === "" ? "" : " with uncommitted changes";
  const [cpu] = cpus();
  return [
    "# Benchmark results",
    "",
    `Written by \`npm run bench -- --write${values.quick ? " --quick" : ""}\`. Compare ratios; the figures themselves belong to this machine and hour.`,
    "",
    `- machine: ${cpus().length} cores, ${cpu?.model.trim()}, ${(totalmem() / 2 ** 30).toFixed(0)} GiB memory; ${pinned}`,
    `- Node ${process.version}, ${process.platform} ${process.arch}`,
    `- commit ${git("rev-parse", "--short", "HEAD")}${changed}, ${new Date().toISOString().slice(0, 16).replace("T", " ")} UTC`,
    "",
    ...(points.length > 0
      ? ["![Time per event over the length of the stream, for each storage and for A2A's own SDK](event-cost.svg)", ""]
      : []),
  ].join("\n");
}
