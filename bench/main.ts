/**
 * `npm run bench [-- NAME… --quick --write]` measures, as ratios within one run. Without names it runs every benchmark.
 * `--write` puts the results in RESULTS.md, and the cost per event in event-cost.svg.
 *
 * `npm run bench -- --against COMMIT [NAME…]` compares the working tree with a commit, in about 4 minutes: processor
 * time of `event-cost` and `unary`, counts of `database-work`. It ends with exit code 1 if something got worse, 2 if it
 * could not run.
 *
 * To see where time goes, let every process of a benchmark write a profile, and open it in Chrome's developer tools or
 * VS Code: `NODE_OPTIONS="--cpu-prof --cpu-prof-dir=.cache/prof" npm run bench -- unary`. With `--heap-prof`
 * instead of `--cpu-prof` it is what was allocated.
 */
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { comparableNames, runAgainst } from "./against/against.ts";
import { type Benchmark, isMet, type Row } from "./benchmark.ts";
import { cpuUs, endedChildrenCpuUs, pinned } from "./child.ts";
import { databaseWork } from "./database-work.ts";
import { eventCost } from "./event-cost.ts";
import { eventCostGrpc } from "./event-cost-grpc.ts";
import { idleStreams } from "./idle-streams.ts";
import { type ChartPoint, lineChart } from "./line-chart.ts";
import { ratioText } from "./measure.ts";
import { stream } from "./stream.ts";
import { tableText } from "./table.ts";
import { unary } from "./unary.ts";

const benchmarks: readonly Benchmark[] = [databaseWork, eventCost, eventCostGrpc, unary, stream, idleStreams];

const { values, positionals: names } = parseArgs({
  allowPositionals: true,
  options: {
    against: { type: "string" },
    quick: { type: "boolean", default: false },
    write: { type: "boolean", default: false },
  },
});
const known = values.against === undefined ? benchmarks.map(({ name }) => name) : comparableNames;
const unknown = names.find((name) => !known.includes(name));
if (unknown !== undefined) {
  console.error(`There is no benchmark "${unknown}"; there are ${known.join(", ")}`);
  process.exit(2);
}
if (values.against !== undefined) {
  const exitCode = await runAgainst(values.against, names).catch((error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    return 2;
  });
  process.exit(exitCode);
}

const sections: string[] = [];
const points: ChartPoint[] = [];
for (const benchmark of benchmarks) {
  if (names.length > 0 && !names.includes(benchmark.name)) continue;
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
    row.compared ? ratioText(row.compared.ratio) : "",
    targetOf(row),
    row.compared?.byCpu ? ratioText(row.compared.byCpu) : "",
    row.beside ?? "",
  ]);
  return tableText(["case", "figure", "against", "ratio (quartiles)", "target", "by CPU", "beside"], cells);
}

/** What was worked on this machine since it began, by whomever, microseconds. */
function machineBusyUs(): number {
  return cpus().reduce((sum, { times }) => sum + times.user + times.nice + times.sys + times.irq, 0) * 1000;
}

function ownBusyUs(): number {
  return cpuUs() + endedChildrenCpuUs();
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
