import fc from "fast-check";
import { expect, test } from "vitest";
import { TaskState } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { checkedStorage } from "../../../src/storage/checked-storage.ts";
import { createMemoryTables } from "../../../src/storage/memory/storage.ts";
import type { Storage, TaskAppend } from "../../../src/storage/storage.ts";
import type { Tables } from "../../../src/storage/tables/tables.ts";
import { tablesEngine } from "../../../src/storage/tables/tables-engine.ts";
import { LocalTransactions } from "../../../src/storage/tables/transactions.ts";
import { creation, scope, taskKey } from "../sqlite/fixtures.ts";

/** Mostly the first value, so that most appends are usual ones, but for one or two of their parts. */
function mostly<T>(usual: T, ...others: readonly T[]): fc.Arbitrary<T> {
  return fc.oneof(
    { arbitrary: fc.constant(usual), weight: 8 },
    ...others.map((other) => ({ arbitrary: fc.constant(other), weight: 1 })),
  );
}

/** An append as it is drawn: what it changes, and what of its condition is wrong. */
const appends = fc.record({
  task: fc.integer({ min: 0, max: 1 }),
  entries: fc.array(fc.uint8Array({ maxLength: 20 }), { minLength: 1, maxLength: 3 }),
  state: mostly<TaskState>(TaskState.WORKING, TaskState.SUBMITTED, TaskState.INPUT_REQUIRED, TaskState.COMPLETED, 0),
  statusTimeMs: mostly(1000, 2000),
  replica: mostly("replica", "other"),
  fenceRise: mostly(0n, 1n),
  pending: mostly(false, true),
  summary: fc.option(fc.uint8Array({ minLength: 1, maxLength: 5 }), { nil: undefined }),
  message: mostly(false, true),
  handled: mostly(false, true),
  command: mostly(false, true),
  stale: mostly<"head" | "batch" | "fence" | undefined>(undefined, "head", "batch", "fence"),
});

type Drawn = typeof appends extends fc.Arbitrary<infer T> ? T : never;

test("an append by memory's shortcut has the outcome and the effects of one without it", async () => {
  let taken = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(appends, { maxLength: 12 }), async (history) => {
      const tables = createMemoryTables(3);
      const shortcut = tables.append?.bind(tables);
      const counting: Tables = {
        ...tables,
        append(...args) {
          const outcome = shortcut?.(...args);
          taken += outcome === undefined ? 0 : 1;
          return outcome;
        },
      };
      const { append: _, ...general } = createMemoryTables(3);
      expect(await play(counting, history)).toEqual(await play(general, history));
    }),
    { numRuns: 300 },
  );
  expect(taken).toBeGreaterThan(100);
});

async function play(tables: Tables, history: readonly Drawn[]) {
  const traits = { durable: false, shared: false, expiry: "sweep", wakeUps: "local" } as const;
  await using storage: Storage = checkedStorage(tablesEngine(traits, new LocalTransactions(tables)));
  const seen: unknown[] = [];
  const ends = [0, 1].map(() => ({ head: 1n, batch: "batch-1", fence: 1n }));
  for (const task of [0, 1]) {
    seen.push(await storage.appendTask(taskKey(`t${task}`), creation("c")));
  }
  for (const [index, one] of history.entries()) {
    const key = taskKey(`t${one.task}`);
    const end = ends[one.task] as (typeof ends)[number];
    if (one.command) {
      await storage.sendCommand(key, { id: `command-${index % 2}`, bytes: new Uint8Array([index]) });
    }
    const fence = end.fence + one.fenceRise;
    const { state, statusTimeMs, replica, pending, summary, stale } = one;
    const append: TaskAppend = {
      after: {
        head: end.head + (stale === "head" ? 1n : 0n),
        batch: stale === "batch" ? "none" : end.batch,
        fence: end.fence - (stale === "fence" ? 1n : 0n),
      },
      batch: { id: `batch-of-${index}`, entries: one.entries },
      header: { state, statusTimeMs, replica, pending, fence, ...(summary && { summary }) },
      messages: one.message ? [{ index: 0, messageId: `m${index}`, timeMs: 1 }] : [],
      handled: one.handled ? ["command-0"] : [],
    };
    const result = await storage.appendTask(key, append);
    seen.push(result);
    if (result.outcome === "committed") {
      ends[one.task] = { head: result.head, batch: append.batch.id, fence };
    }
  }
  for (const task of [0, 1]) {
    const key = taskKey(`t${task}`);
    seen.push(await storage.getTask(key), await storage.readTask(key, 0n, 1_000_000));
  }
  const conversation = await storage.getConversation(scope, "c");
  seen.push(conversation?.messageIds, await storage.listTasks({ scope, limit: 5 }));
  for (const replica of ["replica", "other"]) {
    const claimed = await storage.claimTasks({ replicas: [replica], limit: 5 });
    seen.push(claimed.map(({ taskId }) => taskId).sort());
  }
  return seen;
}
