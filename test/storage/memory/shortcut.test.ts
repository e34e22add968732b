import fc from "fast-check";
import { expect, test } from "vitest";
import { TaskState } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { WallClock } from "../../../src/runtime/wall-clock.ts";
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

/** A step of a history of creations, few of whose ids differ. Now and then time passes, or something is removed. */
const creations = fc.record({
  task: fc.integer({ min: 0, max: 4 }),
  context: mostly("c", "d"),
  claim: fc.option(
    fc.record({
      messageId: fc.integer({ min: 0, max: 3 }).map((id) => `m${id}`),
      contentHash: mostly("hash", "other"),
      windowMs: mostly(100, 1000),
      strict: mostly(false, true),
    }),
    { nil: undefined },
  ),
  messages: mostly(1, 0, 2),
  entries: fc.array(fc.uint8Array({ maxLength: 20 }), { minLength: 2, maxLength: 3 }),
  state: mostly<TaskState>(TaskState.COMPLETED, TaskState.INPUT_REQUIRED, TaskState.SUBMITTED),
  pending: mostly(false, true),
  passMs: mostly(0, 60, 400),
  remove: mostly<"task" | "conversation" | undefined>(undefined, "task", "conversation"),
});

type Creation = typeof creations extends fc.Arbitrary<infer T> ? T : never;

test("an append by memory's shortcut has the outcome and the effects of one without it", async () => {
  const { short, general } = await compareWays(fc.array(appends, { maxLength: 12 }), play);
  expect(Math.min(short, general)).toBeGreaterThan(100);
});

test("a creation by memory's shortcut has the outcome and the effects of one without it", async () => {
  const { short, general } = await compareWays(fc.array(creations, { maxLength: 12 }), playCreations);
  expect(Math.min(short, general)).toBeGreaterThan(100);
});

/**
 * Plays random histories on tables with the shortcut and on tables without it, and expects to see the same. Gives how
 * many appends took the shortcut, and how many the general way where there is one.
 */
async function compareWays<T>(histories: fc.Arbitrary<T>, see: (tables: Tables, history: T) => Promise<unknown>) {
  const ways = { short: 0, general: 0 };
  await fc.assert(
    fc.asyncProperty(histories, async (history) => {
      const tables = createMemoryTables(3);
      const shortcut = tables.append?.bind(tables);
      const counting: Tables = {
        ...tables,
        append(...args) {
          const outcome = shortcut?.(...args);
          ways[outcome === undefined ? "general" : "short"]++;
          return outcome;
        },
      };
      const { append: _, ...general } = createMemoryTables(3);
      expect(await see(counting, history)).toEqual(await see(general, history));
    }),
    { numRuns: 300 },
  );
  return ways;
}

const traits = { durable: false, shared: false, expiry: "sweep", wakeUps: "local" } as const;

async function playCreations(tables: Tables, history: readonly Creation[]) {
  let nowMs = 1_000_000;
  const clock = new WallClock({ now: () => nowMs, monotonic: () => nowMs });
  await using storage: Storage = checkedStorage(tablesEngine(traits, new LocalTransactions(tables, clock)));
  await storage.setRetention({ conversationTtlMs: 300, interruptedTtlMs: 600 });
  const seen: unknown[] = [];
  for (const [index, one] of history.entries()) {
    nowMs += one.passMs;
    const taskId = `t${one.task}`;
    const { context, claim, state, pending } = one;
    const append: TaskAppend = {
      after: { head: 0n, batch: "", fence: 0n },
      batch: { id: `batch-${index}`, entries: one.entries },
      header: {
        state,
        statusTimeMs: nowMs,
        replica: "replica",
        fence: 1n,
        pending,
        summary: new Uint8Array([index + 1]),
      },
      messages: Array.from({ length: one.messages }, (_, entry) => ({
        index: entry,
        messageId: `message-${index}-${entry}`,
        timeMs: nowMs,
      })),
      handled: [],
      create: { contextId: context, ...(claim && { claim: { ...claim, taskId } }) },
    };
    seen.push(await storage.appendTask(taskKey(taskId), append));
    if (one.remove === "task") {
      seen.push(await storage.deleteTask(taskKey(taskId)));
    } else if (one.remove === "conversation") {
      seen.push(await storage.deleteConversation(scope, context).catch((error: Error) => error.message));
    }
    seen.push(await storage.listTasks({ scope, limit: 9 }), await storage.getConversation(scope, context));
  }
  for (const taskId of ["t0", "t1", "t2", "t3", "t4"]) {
    seen.push(await storage.readTask(taskKey(taskId), 0n, 1_000_000));
  }
  seen.push(
    await storage.listConversations(scope, { limit: 9 }),
    await storage.getConversationStats(),
    await storage.claimTasks({ replicas: ["replica"], limit: 9 }).then((keys) => keys.map((key) => key.taskId).sort()),
  );
  // Whether each claim is held, and whether it still is once its conversation is past its time.
  for (const passMs of [0, 700]) {
    nowMs += passMs;
    for (const messageId of ["m0", "m1", "m2", "m3"]) {
      const claim = { messageId, contentHash: "hash", taskId: `late-${passMs}`, windowMs: 1000, strict: true };
      seen.push(await storage.claimMessage(scope, claim));
    }
  }
  seen.push(await storage.cleanupExpiredConversations(300), await storage.getConversationStats());
  return seen;
}

async function play(tables: Tables, history: readonly Drawn[]) {
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
