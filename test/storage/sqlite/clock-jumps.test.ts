import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { WallClock } from "../../../src/runtime/wall-clock.ts";
import { openWriter } from "../../../src/storage/sqlite/thread/connection.ts";
import { createContext, type SqliteContext } from "../../../src/storage/sqlite/thread/context.ts";
import { runReads, runWrites } from "../../../src/storage/sqlite/thread/group.ts";
import { readerOperations, writerOperations } from "../../../src/storage/sqlite/thread/operations.ts";
import { ManualClock } from "../../runtime/manual-clock.ts";
import { temporaryFolder } from "../temporary-folder.ts";

/** The jobs of SQLite's threads, on a clock that is turned by hand. */

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const dayMs = 24 * hourMs;
const jumps = [-dayMs, -hourMs, hourMs, dayMs, 30 * dayMs];
const scope = { tenant: "", owner: "" };
const claim = { messageId: "m", contentHash: "a".repeat(64), taskId: "first", windowMs: 10 * minuteMs };

let clock: ManualClock;
let context: SqliteContext;

beforeEach(() => {
  clock = new ManualClock();
  const db = openWriter(join(temporaryFolder(), "tasks.db"), "a2a_");
  context = { ...createContext(db, { prefix: "a2a_", maxHistoryLength: 100 }), clock: new WallClock(clock) };
  write("setRetention", { retention: { conversationTtlMs: hourMs, interruptedTtlMs: hourMs } });
});
afterEach(() => context.db.close());

function write(name: keyof typeof writerOperations, args: object): unknown {
  const [reply] = runWrites(context, writerOperations, [{ id: 0, name, args, bytes: 0 }]);
  return valueIn(reply);
}

function read(name: keyof typeof readerOperations, args: object): unknown {
  const [reply] = runReads(context, readerOperations, [{ id: 0, name, args, bytes: 0 }]);
  return valueIn(reply);
}

function valueIn(reply: ReturnType<typeof runReads>[number] | undefined): unknown {
  if (reply === undefined || "error" in reply) throw new Error(`No answer: ${JSON.stringify(reply)}`);
  return reply.value;
}

function storeMessage(messageId: string): void {
  write("storeMessages", { scope, messages: [{ messageId, contextId: "c", bytes: new Uint8Array([1]) }] });
}

const cleanUp = () => write("cleanupConversations", { maxAgeMs: hourMs, scope, from: undefined });
const found = () => read("getConversation", { scope, contextId: "c" });

test.each(
  jumps,
)("a conversation outlives a jump of the clock by %i ms, and expires one TTL after its last access", async (jumpMs) => {
  storeMessage("one");
  clock.jump(jumpMs);
  expect(cleanUp()).toEqual({ removed: 0 });
  await clock.advance(hourMs / 2);
  storeMessage("two");
  expect(found()).toMatchObject({ messageIds: expect.arrayContaining(["one", "two"]) });
  clock.jump(-jumpMs);
  await clock.advance(hourMs - 1);
  expect(cleanUp()).toEqual({ removed: 0 });
  expect(found()).toBeDefined();
  await clock.advance(Math.abs(jumpMs) + 2);
  expect(found()).toBeUndefined();
  expect(cleanUp()).toEqual({ removed: 1 });
});

test.each(jumps)("a claim outlives a jump of the clock by %i ms, and the sweep after it", async (jumpMs) => {
  expect(write("claimMessage", { scope, claim })).toMatchObject({ outcome: "accepted" });
  clock.jump(jumpMs);
  while (write("sweep", {}) === true);
  await clock.advance(9 * minuteMs);
  const again = { ...claim, taskId: "second" };
  expect(write("claimMessage", { scope, claim: again })).toMatchObject({ outcome: "duplicate", taskId: "first" });
  await clock.advance(Math.abs(jumpMs) + minuteMs);
  expect(write("claimMessage", { scope, claim: again })).toMatchObject({ outcome: "accepted" });
});

test.each(
  jumps,
)("a living replica outlives a jump of the clock by %i ms, a silent one is forgotten", async (jumpMs) => {
  write("register", { replica: "living" });
  clock.jump(jumpMs);
  write("forgetReplicas", {});
  expect(read("listReplicas", {})).toEqual([{ replica: "living", counter: 1n }]);
  await clock.advance(Math.abs(jumpMs) + dayMs + 1);
  write("forgetReplicas", {});
  expect(read("listReplicas", {})).toEqual([]);
});

test("a message that is stored in the millisecond of removed ones comes after a page that ended with one of them", () => {
  storeMessage("one");
  storeMessage("two");
  const page = (after?: unknown) =>
    read("listMessagePage", { scope, contextId: "c", after, newest: undefined, limit: 1, bytesMax: 1000 }) as {
      readonly messages: readonly unknown[];
      readonly next?: unknown;
    };
  const { next } = page();
  expect(next).toMatchObject({ sequence: 1n });
  write("deleteMessage", { scope, messageId: "one" });
  write("deleteMessage", { scope, messageId: "two" });
  storeMessage("three");
  expect(page(next).messages).toHaveLength(1);
});
