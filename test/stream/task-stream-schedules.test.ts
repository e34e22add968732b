import { expect, test } from "vitest";
import { decideTakeover } from "../../src/domain/decide.ts";
import { decodeEntry } from "../../src/log/entry-codec.ts";
import { loadTask } from "../../src/log/load-task.ts";
import { TaskWriter, type WriterOptions } from "../../src/log/task-writer.ts";
import { createMemoryStorage } from "../../src/storage/memory/storage.ts";
import { feedBytesMax, feedEntriesMax } from "../../src/stream/limits.ts";
import { type TaskFeed, TaskHub } from "../../src/stream/task-hub.ts";
import { TaskReader } from "../../src/stream/task-reader.ts";
import {
  chunkEntry,
  contextId,
  createdTask,
  key,
  newId,
  takeOver,
  textOf,
  wholeLog,
  writerOptions,
} from "../log/log-fixtures.ts";
import { ManualClock, settle } from "../runtime/manual-clock.ts";
import { FaultyStorage, randomOf } from "../storage/faulty-storage.ts";

/** One reader: what it has seen, and how it goes about it. */
class Watcher {
  readonly from: number;
  readonly seen: { readonly sequence: bigint; readonly text: string }[] = [];
  /** Errors of the storage that it met; it goes on after each. */
  failures = 0;
  pages = 0;
  end: unknown = "open";
  readonly abort = new AbortController();
  readonly done: Promise<void>;

  constructor(reader: TaskReader, from: number, pause: () => Promise<void>) {
    this.from = from;
    this.done = this.#follow(reader, pause);
  }

  async #follow(reader: TaskReader, pause: () => Promise<void>): Promise<void> {
    for (;;) {
      try {
        const entries = await reader.next(this.abort.signal);
        if (entries.length === 0) {
          this.end = "aborted";
          return;
        }
        this.pages++;
        this.seen.push(...entries.map(({ sequence, entry }) => ({ sequence, text: textOf(entry) })));
      } catch (error) {
        if ((error as Error).name !== "StorageError") {
          this.end = error;
          return;
        }
        this.failures++;
      }
      await pause();
    }
  }
}

interface Outcome {
  readonly watchers: readonly Watcher[];
  readonly log: readonly { readonly sequence: bigint; readonly text: string }[];
  readonly reads: number;
  readonly feed: TaskFeed;
}

/**
 * One random history of a task on a replica: a writer whose appends are slow or whose answers are lost, now and then
 * another replica that takes the task and whose hint comes late, and readers that join anywhere, at any speed, over
 * reads that are slow or fail.
 */
async function runSchedule(seed: number, ending: "abort" | "remove"): Promise<Outcome> {
  const random = randomOf(seed);
  const below = (most: number) => Math.floor(random() * most);
  const memory = createMemoryStorage();
  const writing = new FaultyStorage(memory);
  const reading = new FaultyStorage(memory);
  const clock = new ManualClock();
  const hub = new TaskHub();
  const feed = hub.open(key);
  const hooks: Partial<WriterOptions> = {
    clock,
    onCommitted: (entries) => feed.publish(entries),
    onLost: () => feed.wake(),
  };
  const options = writerOptions(writing.storage, await createdTask(memory), hooks);
  let writer = new TaskWriter(options);
  writing.failAtRandom({
    seed: seed + 1,
    probability: random() * 0.6,
    faults: ["held", "answer-held", "executed-unknown"],
    methods: ["appendTask"],
  });
  reading.failAtRandom({
    seed: seed + 2,
    probability: random() * 0.6,
    faults: ["held", "answer-held", "answer-held", "unavailable"],
    methods: ["readTask", "taskExists"],
  });
  // So much at once that memory can't hold it.
  const heavy = seed % 20 === 0;
  const watchers: Watcher[] = [];
  const hints: number[] = [];
  let names = 0;
  let slow = true;

  const join = async () => {
    const head = Number((await memory.getTask(key))?.head ?? 0n);
    const from = random() < 0.4 ? head : below(head + 1);
    const patience = random() < 0.5 ? 0 : below(6);
    watchers.push(
      new Watcher(new TaskReader(reading.storage, feed, contextId, BigInt(from)), from, async () => {
        if (slow) await settle(patience);
      }),
    );
  };
  const write = () => {
    const count = heavy && random() < 0.3 ? feedEntriesMax + below(feedEntriesMax * 2) : 1 + below(4);
    const large = !heavy && random() < 0.02;
    const entries = Array.from({ length: count }, () =>
      chunkEntry(`e${names++}${large ? "x".repeat(feedBytesMax) : ""}`),
    );
    try {
      writer.append(entries);
    } catch {
      // It was lost; who goes on is for `rival` to say.
    }
  };
  /** Another replica takes the task; we hear of it later, and may take it back. */
  const rival = async () => {
    await takeOver(memory);
    hints.push(1 + below(6));
    if (random() < 0.5) return;
    // What the old writer has on its way is refused now, and it must not be this replica's writer any more.
    writer.abandon(new Error("taken over"));
    const loaded = await loadTask(memory, key);
    if (loaded === undefined) throw new Error("The task is gone");
    const { stored, fold, batch } = loaded;
    const owner = { replica: "replica", fence: stored.fence + 1n };
    writer = new TaskWriter({ ...options, fold, batch, logBytes: stored.logBytes, fence: stored.fence, owner });
    writer.append([decideTakeover(writer.tentative, owner.replica, owner.fence, { nowMs: clock.now(), newId })]);
  };

  await join();
  const steps = 15 + below(25);
  for (let step = 0; step < steps; step++) {
    const act = random();
    if (act < 0.35) write();
    else if (act < 0.5) await join();
    else if (act < 0.55) feed.wake();
    else if (act < 0.6) await rival();
    else if (act < 0.75) reading.release(1 + below(3));
    else if (act < 0.9) writing.release(1);
    else await clock.advance(clock.nextInMs ?? 0);
    for (const [place, hint] of hints.entries()) {
      hints[place] = hint - 1;
      if (hint === 1) feed.wake();
    }
    await settle(below(3));
  }
  reading.heal();
  writing.heal();
  slow = false;
  if (hints.some((hint) => hint > 0)) feed.wake();
  // As long as anything goes on, and a little longer.
  for (let turn = 0, quiet = 0; turn < 200 && quiet < 3; turn++) {
    const before = reading.calls.length + writing.calls.length + watchers.reduce((sum, { pages }) => sum + pages, 0);
    reading.release();
    writing.release();
    await clock.advance(clock.nextInMs ?? 0);
    const after = reading.calls.length + writing.calls.length + watchers.reduce((sum, { pages }) => sum + pages, 0);
    quiet = before === after && reading.held + writing.held + clock.waiting === 0 ? quiet + 1 : 0;
  }
  const log = (await wholeLog(memory)).map(({ sequence, bytes }) => ({
    sequence,
    text: textOf(decodeEntry(bytes, { taskId: key.taskId, contextId })),
  }));
  if (ending === "remove") {
    await memory.deleteTask(key);
    hub.wake(key);
  } else {
    for (const { abort } of watchers) abort.abort();
  }
  await settle();
  return { watchers, log, reads: reading.callsOf("readTask").length, feed };
}

const seedsPerTest = 20;
const groups = Array.from({ length: 16 }, (_, group) => group * seedsPerTest);

test.for(
  groups,
)("every reader sees what follows its cursor, in order, each once, and never hangs: seeds from %i", async (first) => {
  for (let seed = first; seed < first + seedsPerTest; seed++) {
    const ending = seed % 2 === 0 ? "abort" : "remove";
    const { watchers, log, reads, feed } = await runSchedule(seed, ending);
    for (const [place, watcher] of watchers.entries()) {
      const what = `Seed ${seed}, reader ${place} from ${watcher.from} of ${log.length}`;
      // Not by `toEqual`, which is slow on thousands of entries: where they first differ, if anywhere.
      const expected = log.slice(watcher.from);
      const differs = watcher.seen.findIndex(
        ({ sequence, text }, index) => sequence !== expected[index]?.sequence || text !== expected[index]?.text,
      );
      expect([watcher.seen.length, differs], what).toEqual([expected.length, -1]);
      expect(watcher.end, what).toEqual(
        ending === "abort" ? "aborted" : expect.objectContaining({ reason: "TASK_NOT_FOUND" }),
      );
    }
    // No reader turns in circles: it reads once for each page, each wake-up and each failure at most.
    const most = watchers.reduce((sum, { pages, failures }) => sum + pages + failures + feed.wakeCount + 1, 0);
    expect(reads, `Seed ${seed}: reads`).toBeLessThanOrEqual(most);
    expect(feed.reads.size, `Seed ${seed}: reads left`).toBe(0);
  }
});
