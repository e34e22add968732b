import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { openMongod } from "../bench-mongod.ts";
import type { Benchmark, Row } from "../benchmark.ts";
import { startChild } from "../child.ts";
import type { LoadCommands } from "../load.ts";
import { ratioOf, ratioText } from "../measure.ts";
import { tableText } from "../table.ts";
import { type Checkout, checkOut, workingTree } from "./checkout.ts";
import { type CpuBenchmark, cpuBenchmarks, type Shared } from "./cpu-cases.ts";

const databaseWorkName = "database-work";
/** What can be compared with another commit. */
export const comparableNames: readonly string[] = [databaseWorkName, ...cpuBenchmarks.map(({ name }) => name)];

/** The share by which a case may cost more processor time than before. */
const tolerance = 0.05;
/**
 * New processes for every five pairs: the JIT compiles the same code to faster or slower code from process to process,
 * so that pairs of two processes alone would show that difference and not the code's.
 */
const processes = 3;
const pairsOfProcesses = 5;
/** What a comparison found: a text for people, and what is not as it should be. */
interface Verdict {
  readonly text: string;
  readonly faults: readonly string[];
}

/**
 * Compares the working tree with a commit, prints tables and a verdict, and returns the exit code: 0 if no case of
 * `database-work` is more and no case of the others takes over 5 % more processor time. Takes about 4 minutes on two
 * free cores, at most twice that if cases are measured again.
 */
export async function runAgainst(commit: string, names: readonly string[]): Promise<number> {
  const chosen = names.length === 0 ? comparableNames : names;
  using before = checkOut(commit);
  const now = workingTree();
  await using mongod = await openMongod();
  // For `database-work`, which asks for a MongoDB by itself: one is enough.
  process.env.MONGODB_URI = mongod.uri;
  await using load = startChild<LoadCommands>("load.ts", { core: 1 });
  console.log(`# ${now.title} against ${before.title}\n`);
  const faults: string[] = [];
  const report = (name: string, verdict: Verdict) => {
    console.log(`## ${name}\n\n${verdict.text}`);
    faults.push(...verdict.faults.map((fault) => `${name}: ${fault}`));
  };
  if (chosen.includes(databaseWorkName)) report(databaseWorkName, await compareDatabaseWork(before, now));
  for (const benchmark of cpuBenchmarks)
    if (chosen.includes(benchmark.name))
      report(benchmark.name, await compareCpu(benchmark, before, now, { mongodbUri: mongod.uri, load }));
  const limits = `${databaseWorkName} no more, processor time at most ${tolerance * 100} % more`;
  console.log(faults.length === 0 ? `PASSED: ${limits}` : `FAILED: ${limits}\n${faults.join("\n")}`);
  return faults.length === 0 ? 0 : 1;
}

/** Counts, so one run of each is enough. Each checkout runs its own benchmark. */
async function compareDatabaseWork(before: Checkout, now: Checkout): Promise<Verdict> {
  const rowsOf = async ({ folder }: Checkout): Promise<ReadonlyMap<string, string>> => {
    const module = await import(pathToFileURL(join(folder, "bench/database-work.ts")).href);
    const rows: readonly Row[] = await (module.databaseWork as Benchmark).run({ quick: false });
    return new Map(rows.map((row) => [row.case, row.figure]));
  };
  const old = await rowsOf(before);
  const current = await rowsOf(now);
  const cases = [...new Set([...old.keys(), ...current.keys()])];
  const rows = cases.map((name) => [name, old.get(name) ?? "none", current.get(name) ?? "none"]);
  return {
    text: tableText(["case", "before", "now"], rows),
    // A case that one of the two doesn't have is a fault as well.
    faults: rows.flatMap(([name, then, is]) =>
      Number(is) <= Number(then) ? [] : [`${name}: ${then} before, ${is} now`],
    ),
  };
}

/** Processor time of both checkouts at the same moment, per event or call. */
interface Pair {
  readonly before: number;
  readonly now: number;
}

async function compareCpu(benchmark: CpuBenchmark, before: Checkout, now: Checkout, shared: Shared): Promise<Verdict> {
  const begin = performance.now();
  const pairs = new Map<string, Pair[]>(benchmark.cases.map((name) => [name, []]));
  const ratio = (name: string) => ratioOf((pairs.get(name) ?? []).map((pair) => pair.now / pair.before));
  const tooMuch = () => benchmark.cases.filter((name) => ratio(name).value > 1 + tolerance);
  const measure = async (cases: readonly string[]) => {
    for (let times = 0; times < processes; times++) await measurePairs(benchmark, before, now, shared, cases, pairs);
  };
  await measure(benchmark.cases);
  // Once more what would fail, so that chance alone seldom fails it. All pairs count.
  await measure(tooMuch());
  const rows = benchmark.cases.map((name) => {
    const all = pairs.get(name) ?? [];
    const us = (side: keyof Pair) => ratioOf(all.map((pair) => pair[side])).value.toFixed(1);
    return [name, us("before"), us("now"), ratioText(ratio(name), 3), String(all.length)];
  });
  const unit = `µs CPU/${benchmark.per}`;
  const seconds = ((performance.now() - begin) / 1000).toFixed(0);
  return {
    text: `${tableText(["case", `${unit} before`, "now", "ratio (quartiles)", "pairs"], rows)}\nTook ${seconds} s.\n`,
    faults: tooMuch().map((name) => `${name}: ${ratioText(ratio(name), 3)}`),
  };
}

/**
 * One pair of processes, a warm-up that isn't kept, and five pairs of each case. Both checkouts of a pair run at the
 * same moment on the same core, so that what else the machine does slows both alike: one after the other, the same
 * commit differs from itself by up to 8 % in the median on a busy machine, and by up to 3 % this way.
 */
async function measurePairs(
  benchmark: CpuBenchmark,
  before: Checkout,
  now: Checkout,
  shared: Shared,
  cases: readonly string[],
  pairs: ReadonlyMap<string, Pair[]>,
): Promise<void> {
  if (cases.length === 0) return;
  await using runnerBefore = await benchmark.open(join(before.folder, "bench"), shared);
  await using runnerNow = await benchmark.open(join(now.folder, "bench"), shared);
  for (let round = -1; round < pairsOfProcesses; round++) {
    for (const name of cases) {
      const [before, now] = await Promise.all([runnerBefore.cpuUs(name), runnerNow.cpuUs(name)]);
      if (round >= 0) pairs.get(name)?.push({ before, now });
    }
  }
}
