import { expect, test } from "vitest";
import type { PlacedEntry } from "../../src/domain/entry.ts";
import { taskOf } from "../../src/domain/fold.ts";
import { batchBytesMax, batchEntriesMax } from "../../src/domain/limits.ts";
import { loadTask } from "../../src/log/load-task.ts";
import { TaskWriter } from "../../src/log/task-writer.ts";
import { createMemoryStorage } from "../../src/storage/memory/storage.ts";
import type { TaskAppend } from "../../src/storage/storage.ts";
import { ManualClock, settle } from "../runtime/manual-clock.ts";
import { type Fault, FaultyStorage, randomOf } from "../storage/faulty-storage.ts";
import {
  chunkEntry,
  createdTask,
  key,
  loggedTexts,
  takeOver,
  textOf,
  wholeLog,
  writerOptions,
} from "./log-fixtures.ts";

const retried: readonly Fault[] = ["unavailable", "executed-unknown", "lost-unknown", "held", "answer-held"];
/** What ends a writer in the middle of a schedule. */
type Ending = "none" | "taken over" | "removed" | "abandoned" | "failed for good";

interface Run {
  readonly faulty: FaultyStorage;
  readonly writer: TaskWriter;
  readonly appended: readonly string[];
  readonly told: readonly PlacedEntry[];
  readonly resolved: readonly bigint[];
  readonly rejected: readonly bigint[];
  readonly losses: readonly Error[];
  /** Calls of `appendTask` that had begun when the writer was lost. */
  readonly appendsAtLoss: number;
}

/**
 * One random history: bursts of entries, faults of all kinds, held calls let go at odd moments, time that passes; and
 * an end to all faults.
 */
async function runSchedule(seed: number, ending: Ending): Promise<Run & { readonly log: readonly string[] }> {
  const random = randomOf(seed);
  const below = (most: number) => Math.floor(random() * most);
  const memory = createMemoryStorage();
  const faulty = new FaultyStorage(memory);
  const clock = new ManualClock();
  const told: PlacedEntry[] = [];
  const resolved: bigint[] = [];
  const rejected: bigint[] = [];
  const losses: Error[] = [];
  let appendsAtLoss = -1;
  const writer = new TaskWriter(
    writerOptions(faulty.storage, await createdTask(memory), {
      clock,
      onCommitted: (entries) => told.push(...entries),
      onLost: (error) => {
        losses.push(error);
        appendsAtLoss = faulty.callsOf("appendTask").length;
      },
    }),
  );
  faulty.failAtRandom({
    seed: seed + 1_000_000,
    probability: random() * 0.8,
    faults: retried,
    methods: ["appendTask", "readTask", "getTask"],
  });
  const steps = 8 + below(20);
  const endsAt = below(steps);
  const appended: string[] = [];
  for (let step = 0; step < steps; step++) {
    if (step === endsAt) {
      if (ending === "taken over") await takeOver(memory);
      if (ending === "removed") await memory.deleteTask(key);
      if (ending === "abandoned") writer.abandon(new Error("abandoned"));
      if (ending === "failed for good") faulty.fail({ methods: "appendTask", fault: "corrupt", times: 1 });
    }
    for (let burst = below(4); burst > 0 && losses.length === 0; burst--) {
      const names = Array.from({ length: 1 + below(5) }, (_, index) => `e${appended.length + index}`);
      const sequence = writer.append(names.map(chunkEntry));
      appended.push(...names);
      // Not awaited: it settles when it may.
      void writer.whenCommitted(sequence).then(
        () => resolved.push(sequence),
        () => rejected.push(sequence),
      );
      if (random() < 0.3) await settle(1);
    }
    if (random() < 0.5) faulty.release(1 + below(2));
    if (random() < 0.5) await clock.advance(clock.nextInMs ?? 0);
    await settle(below(3));
  }
  faulty.heal();
  for (let turn = 0; turn < 200 && (!writer.idle || faulty.held > 0); turn++) {
    faulty.release();
    await clock.advance(clock.nextInMs ?? 0);
  }
  return {
    faulty,
    writer,
    appended,
    told,
    resolved,
    rejected,
    losses,
    appendsAtLoss,
    log: ending === "removed" ? [] : await loggedTexts(memory),
  };
}

/** What holds for every history, whatever ended it. */
function checkAlways(run: Run & { readonly log: readonly string[] }): void {
  const { faulty, writer, appended, told, resolved, rejected } = run;
  expect(writer.idle).toBe(true);
  // Told in order, each once, nothing skipped.
  expect(told.map(({ entry }) => textOf(entry))).toEqual(appended.slice(0, told.length));
  expect(told.map(({ sequence }) => sequence)).toEqual(told.map((_, index) => BigInt(index + 2)));
  expect(writer.committed.sequence).toBe(BigInt(told.length + 1));
  expect(resolved.every((sequence) => sequence <= writer.committed.sequence)).toBe(true);
  expect(resolved).toEqual(resolved.toSorted((a, b) => Number(a - b)));
  // Every promise was settled.
  const asked = new Set([...resolved, ...rejected]);
  expect(resolved.length + rejected.length).toBe(asked.size);
  expect([...asked].reduce((most, sequence) => (sequence > most ? sequence : most), 1n)).toBe(
    BigInt(appended.length + 1),
  );
  // A batch never changes once it was sent, and keeps the bounds.
  const byId = new Map<string, TaskAppend>();
  for (const { args } of faulty.callsOf("appendTask")) {
    const append = args[1] as TaskAppend;
    expect(append).toEqual(byId.get(append.batch.id) ?? append);
    byId.set(append.batch.id, append);
    expect(append.batch.entries.length).toBeLessThanOrEqual(batchEntriesMax);
    const bytes = append.batch.entries.reduce((sum, entry) => sum + entry.byteLength, 0);
    expect(append.batch.entries.length === 1 || bytes <= batchBytesMax).toBe(true);
  }
}

const seedsPerTest = 20;
const groups = Array.from({ length: 20 }, (_, group) => group * seedsPerTest);

async function forSeeds(
  first: number,
  ending: Ending,
  check: (run: Awaited<ReturnType<typeof runSchedule>>) => void | Promise<void>,
): Promise<void> {
  for (let seed = first; seed < first + seedsPerTest; seed++) {
    try {
      const run = await runSchedule(seed, ending);
      checkAlways(run);
      await check(run);
    } catch (error) {
      throw new Error(`Seed ${seed}, ending "${ending}": ${error instanceof Error ? error.message : String(error)}`, {
        cause: error,
      });
    }
  }
}

test.for(groups)("each entry is in the log exactly once, in order, whatever fails: seeds from %i", async (first) => {
  await forSeeds(first, "none", async ({ log, appended, resolved, rejected, losses, faulty, writer }) => {
    expect(losses).toEqual([]);
    expect(log).toEqual(["(created)", ...appended]);
    expect(rejected).toEqual([]);
    expect(new Set(resolved).size).toBe(resolved.length);
    const loaded = await loadTask(faulty.storage, key);
    expect(loaded && taskOf(loaded.fold)).toEqual(taskOf(writer.committed));
    expect(taskOf(writer.tentative)).toEqual(taskOf(writer.committed));
  });
});

test.for(
  groups.slice(0, 8),
)("a writer whose task is taken over ends, and appends nothing behind the takeover: seeds from %i", async (first) => {
  await forSeeds(first, "taken over", async ({ log, appended, resolved, losses, writer, faulty }) => {
    const place = log.indexOf("(takeover)");
    expect(log).toEqual(["(created)", ...appended.slice(0, place - 1), "(takeover)"]);
    for (const sequence of resolved) expect(Number(sequence)).toBeLessThanOrEqual(place);
    // A writer that had nothing to append any more hasn't noticed.
    const unnoticed = place - 1 === appended.length;
    expect(losses.length).toBe(unnoticed ? 0 : 1);
    expect(losses.map((error) => (error as { reason?: string }).reason)).toEqual(unnoticed ? [] : ["UNAVAILABLE"]);
    expect(writer.committed.sequence).toBeLessThanOrEqual(BigInt(place));
    expect((await wholeLog(faulty.storage)).length).toBe(log.length);
  });
});

test.for(groups.slice(0, 4))("a writer whose task is removed ends: seeds from %i", async (first) => {
  await forSeeds(first, "removed", async ({ losses, faulty, writer, appended }) => {
    expect(await faulty.storage.taskExists(key)).toBe(false);
    const unnoticed = writer.committed.sequence === BigInt(appended.length + 1);
    expect(losses.length).toBe(unnoticed ? 0 : 1);
    // A refusal from before the removal may be what it hears, where an open try is settled just then.
    for (const error of losses)
      expect(["TASK_NOT_FOUND", "UNAVAILABLE"]).toContain((error as { reason?: string }).reason);
  });
});

test.for(
  groups.slice(0, 8),
)("a writer that is given up appends nothing but what was on its way: seeds from %i", async (first) => {
  for (const ending of ["abandoned", "failed for good"] as const) {
    await forSeeds(first, ending, async ({ log, appended, losses, appendsAtLoss, faulty, told }) => {
      expect(log).toEqual(["(created)", ...appended.slice(0, log.length - 1)]);
      expect(losses.length).toBeLessThanOrEqual(1);
      expect(faulty.callsOf("appendTask").length).toBe(
        losses.length === 0 ? faulty.callsOf("appendTask").length : appendsAtLoss,
      );
      expect(told.length).toBeLessThanOrEqual(log.length - 1);
    });
  }
});
