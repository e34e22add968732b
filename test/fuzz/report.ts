import type { FuzzReport } from "./fuzz.ts";

/** The share of inputs that must be calls without a fault which reach a log. */
const reachedShareMin = 1 / 3;
/**
 * What a server may hold more at the end than after its first rounds. Half of the inputs lie between the two: of 50,000
 * inputs, those that leave 170 bytes each come to this. The caches that fill later take about 1 MiB.
 */
const growthBytesMax = 4 * 1024 * 1024;
/** Code is compiled and caches fill during this share of the rounds. */
const warmUpShare = 0.25;

/** What a report must not show, in words. For single inputs the shares don't matter. */
export function complaintsOf(report: FuzzReport, kind: "run" | "inputs"): readonly string[] {
  const complaints = [...report.faults];
  if (kind === "inputs") return complaints;
  const reached = reachedOf(report);
  if (reached < report.inputs * reachedShareMin)
    complaints.push(`only ${reached} of ${report.inputs} inputs are calls that reach a log`);
  for (const [way, { reachedLog }] of report.ways) if (reachedLog === 0) complaints.push(`${way} reaches no log`);
  const growth = growthOf(report.heldBytes);
  if (growth > growthBytesMax) complaints.push(`the server holds ${megabytes(growth)} more than after the warm-up`);
  return complaints;
}

export function reachedOf({ ways }: FuzzReport): number {
  return ways.values().reduce((sum, { reachedLog }) => sum + reachedLog, 0);
}

/** From the median after the warm-up to the median at the end: single rounds leave more or fewer waiting tasks. */
export function growthOf(heldBytes: readonly number[]): number {
  const quarter = Math.max(1, Math.floor(heldBytes.length / 4));
  const start = Math.floor(heldBytes.length * warmUpShare);
  return median(heldBytes.slice(-quarter)) - median(heldBytes.slice(start, start + quarter));
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

export function summaryOf(report: FuzzReport): string {
  const { inputs, ways, codes, heldBytes, rss } = report;
  const rows = [...ways].map(
    ([name, count]) =>
      `  ${name.padEnd(16)}${String(count.inputs).padStart(7)}${String(count.reachedLog).padStart(9)}${String(count.unanswered).padStart(12)}`,
  );
  const outcomes = [...codes].toSorted((a, b) => b[1] - a[1]).map(([code, count]) => `${code} ${count}`);
  return [
    "  way              inputs  to logs  unanswered",
    ...rows,
    `  reached a log: ${reachedOf(report)} of ${inputs}`,
    `  outcomes: ${outcomes.join(", ")}`,
    `  held after each round: ${range(heldBytes)}, growth ${megabytes(growthOf(heldBytes))}; RSS ${range(rss)}`,
    `  faults: ${report.faults.length}`,
  ].join("\n");
}

const megabytes = (bytes: number) => `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
const range = (values: readonly number[]) => `${megabytes(Math.min(...values))} to ${megabytes(Math.max(...values))}`;
