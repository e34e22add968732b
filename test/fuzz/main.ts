// `npm run fuzz`: sends inputs to servers on memory and on SQLite, and fails if one of them shows a fault.
//   --inputs N     how many, over both storages; default 100,000
//   --seed N       repeats the inputs of a run; default: the time
//   --input I      sends only this one and shows it with its answer; --input I-J sends a range
//   --storage S    memory or sqlite; default both
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type FuzzReport, fuzz } from "./fuzz.ts";
import { complaintsOf, summaryOf } from "./report.ts";

const { values } = parseArgs({
  options: {
    inputs: { type: "string", default: "100000" },
    seed: { type: "string", default: String(Date.now() % 2 ** 31) },
    input: { type: "string" },
    storage: { type: "string" },
  },
});
const seed = Number(values.seed);
const [first, last = first] = values.input?.split("-").map(Number) ?? [];
const storages = values.storage === undefined ? ["memory", "sqlite"] : [values.storage];
const inputs = Math.ceil(Number(values.inputs) / storages.length);
const folder = mkdtempSync(join(tmpdir(), "a2a-fuzz-"));
const say = (text: string) => process.stdout.write(`${text}\n`);

say(`seed ${seed}`);
try {
  await Promise.all(storages.map(run));
} finally {
  rmSync(folder, { recursive: true, force: true });
}
if (process.exitCode === 1) say(`\nRepeat one input with: npm run fuzz -- --seed ${seed} --storage memory --input I`);

// Connections of the clients may still be open.
process.exit();

async function run(storage: string, place: number): Promise<void> {
  // Each storage has inputs of its own.
  const from = first ?? place * inputs;
  const to = last === undefined ? from + inputs : last + 1;
  const report = await fuzz({
    storage: storage === "sqlite" ? `sqlite:${join(folder, "tasks.db")}` : "memory:",
    seed,
    from,
    to,
    roundInputs: 1_000,
    onRound: progress(storage, to - from),
    ...(last !== undefined && last - from < 20 && { onAnswer: (sent, answer) => say(`\n${sent}\n\n${answer}`) }),
  });
  say(`\n${storage}: inputs ${from} to ${to - 1}\n${summaryOf(report)}`);
  // Single inputs need not reach a log.
  for (const complaint of complaintsOf(report, first === undefined ? "run" : "inputs")) {
    say(`\nFAULT ${complaint}`);
    process.exitCode = 1;
  }
}

/** Tells each twentieth, with the faults since the one before. */
function progress(storage: string, all: number): (report: FuzzReport) => void {
  let told = 0;
  let faultsTold = 0;
  return ({ inputs: sent, faults }) => {
    if (sent - told < all / 20) return;
    told = sent;
    say(`${storage}: ${sent} of ${all}, ${faults.length} faults`);
    for (const fault of faults.slice(faultsTold)) say(fault);
    faultsTold = faults.length;
  };
}
