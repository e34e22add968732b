import { getEventListeners } from "node:events";
import { expect, test, vi } from "vitest";
import type { PlacedEntry } from "../../src/domain/entry.ts";
import { feedBytesMax, feedEntriesMax } from "../../src/stream/limits.ts";
import { TaskFeed, TaskHub } from "../../src/stream/task-hub.ts";
import { chunkEntry, key } from "../log/log-fixtures.ts";
import { settle } from "../runtime/manual-clock.ts";

function entries(from: number, to: number, bytes = 10): PlacedEntry[] {
  return Array.from({ length: to - from + 1 }, (_, index) => ({
    sequence: BigInt(from + index),
    entry: chunkEntry(`${from + index}`),
    bytes,
  }));
}

function feedOf(...published: readonly PlacedEntry[][]): TaskFeed {
  const feed = new TaskFeed(key);
  for (const page of published) feed.publish(page);
  return feed;
}

const after = (feed: TaskFeed, cursor: number) => feed.after(BigInt(cursor))?.map(({ sequence }) => Number(sequence));

test("a feed that knows nothing sends its readers to the log", () => {
  const feed = feedOf([]);
  expect([after(feed, 0), after(feed, 5), feed.wakeCount]).toEqual([undefined, undefined, 0]);
});

test("a reader gets what follows its cursor, nothing at the head, and the log where memory doesn't reach", () => {
  const feed = feedOf(entries(4, 6), entries(7, 8));
  expect([0, 2, 3, 6, 7, 8, 9].map((cursor) => after(feed, cursor))).toEqual([
    undefined,
    undefined,
    [4, 5, 6, 7, 8],
    [7, 8],
    [8],
    [],
    [],
  ]);
});

test("after a wake-up only the head is in doubt", () => {
  const feed = feedOf(entries(1, 5));
  feed.wake();
  expect([after(feed, 3), after(feed, 5), after(feed, 6)]).toEqual([[4, 5], undefined, undefined]);
});

test("a wake-up that came while an append was on its way is not settled by that append", () => {
  const feed = feedOf(entries(1, 5));
  // 6 is durable here, 7 elsewhere, which woke us; only now 6 is told.
  feed.wake();
  feed.publish(entries(6, 6));
  expect(after(feed, 6)).toBeUndefined();
  // The append of 7 began after that: it could not have been committed behind what woke us.
  feed.publish(entries(7, 7));
  expect(after(feed, 7)).toEqual([]);
});

test("what comes after a gap replaces what was before it", () => {
  const feed = feedOf(entries(1, 5), entries(8, 9));
  expect([4, 5, 6, 7, 8].map((cursor) => after(feed, cursor))).toEqual([undefined, undefined, undefined, [8, 9], [9]]);
});

test("what is told late makes the readers ask the log, and never hides what came after it", () => {
  for (const late of [entries(3, 4), entries(6, 6), entries(5, 7)]) {
    const feed = feedOf(entries(1, 6), late);
    expect([0, 3, 5, 6, 7].map((cursor) => after(feed, cursor))).toEqual([
      undefined,
      undefined,
      undefined,
      undefined,
      undefined,
    ]);
    feed.publish(entries(8, 9));
    feed.publish(entries(10, 10));
    expect([after(feed, 7), after(feed, 10)]).toEqual([[8, 9, 10], []]);
  }
});

test("memory is bounded by entries, whatever is read", () => {
  const feed = new TaskFeed(key);
  for (let sequence = 1; sequence <= 10_000; sequence += 100) feed.publish(entries(sequence, sequence + 99));
  const oldest =
    Array.from({ length: 10_000 }, (_, cursor) => cursor).find((cursor) => after(feed, cursor) !== undefined) ?? -1;
  expect(10_000 - oldest).toBeGreaterThanOrEqual(feedEntriesMax);
  expect(10_000 - oldest).toBeLessThanOrEqual(feedEntriesMax * 2);
  expect(after(feed, oldest)?.length).toBe(10_000 - oldest);
});

test("memory is bounded by bytes, also where a single entry is larger than that", () => {
  const feed = new TaskFeed(key);
  for (let sequence = 1; sequence <= 100; sequence++) feed.publish(entries(sequence, sequence, feedBytesMax / 8));
  const kept = Array.from({ length: 100 }, (_, cursor) => after(feed, cursor)).find((page) => page !== undefined);
  expect(kept?.length).toBeGreaterThanOrEqual(8);
  expect(kept?.length).toBeLessThanOrEqual(16);
  feed.publish(entries(101, 101, feedBytesMax * 3));
  expect([after(feed, 100), after(feed, 101)]).toEqual([undefined, undefined]);
  feed.publish(entries(102, 102));
  expect([after(feed, 100), after(feed, 101), after(feed, 102)]).toEqual([undefined, [102], []]);
});

test("a page that was given doesn't change when more comes", () => {
  const feed = feedOf(entries(1, 3));
  const page = feed.after(0n);
  feed.publish(entries(4, 2000));
  expect(page?.map(({ sequence }) => sequence)).toEqual([1n, 2n, 3n]);
});

test("waiting ends at the next wake-up, at once if it came already, and at an abort", async () => {
  const feed = new TaskFeed(key);
  const abort = new AbortController();
  const ended: string[] = [];
  const wait = (name: string, wakes: number, signal = abort.signal) =>
    void feed.waitFor(wakes, signal).then(() => ended.push(name));
  const { wakeCount } = feed;
  wait("woken", wakeCount);
  await settle();
  expect(ended).toEqual([]);
  feed.wake();
  await settle();
  await settle();
  wait("late", wakeCount);
  await settle();
  expect(ended).toEqual(["woken", "late"]);
  wait("published", feed.wakeCount);
  feed.publish(entries(1, 1));
  await settle();
  wait("aborted", feed.wakeCount);
  wait("stays", feed.wakeCount, new AbortController().signal);
  abort.abort();
  await settle();
  wait("aborted before", feed.wakeCount);
  await settle();
  expect(ended).toEqual(["woken", "late", "published", "aborted", "aborted before"]);
  feed.wake();
  await settle();
  expect(ended.at(-1)).toBe("stays");
});

test("a feed is shared until every opener has released it, and forgotten then", () => {
  const hub = new TaskHub();
  const [first, second] = [hub.open(key), hub.open({ ...key })];
  expect(second).toBe(first);
  hub.open({ ...key, tenant: "other" });
  expect(hub.size).toBe(2);
  hub.release(first);
  first.publish(entries(1, 1));
  expect(hub.open(key)).toBe(first);
  hub.release(first);
  hub.release(first);
  expect(hub.size).toBe(1);
  const again = hub.open(key);
  expect(again).not.toBe(first);
  expect(after(again, 0)).toBeUndefined();
  hub.wake(key);
  expect([first.wakeCount, again.wakeCount]).toEqual([1, 1]);
  hub.wake({ ...key, taskId: "unknown" });
  expect(hub.size).toBe(2);
});

test("keys that read alike are different feeds", () => {
  const hub = new TaskHub();
  hub.open({ tenant: "a", owner: "b1:", taskId: "c" });
  hub.open({ tenant: "a", owner: "b", taskId: "1:c" });
  hub.open({ tenant: "", owner: "ab", taskId: "1:c" });
  hub.open({ tenant: "ab", owner: "", taskId: "1:c" });
  expect(hub.size).toBe(4);
});

test("a wait leaves nothing behind: neither a listener once it was woken, nor a waiter once it was aborted", async () => {
  const feed = new TaskFeed(key);
  const abort = new AbortController();
  for (let round = 0; round < 3; round++) {
    const waiting = feed.waitFor(feed.wakeCount, abort.signal);
    expect(getEventListeners(abort.signal, "abort").length).toBe(1);
    feed.wake();
    await waiting;
    expect(getEventListeners(abort.signal, "abort").length).toBe(0);
  }
  const waiting = feed.waitFor(feed.wakeCount, abort.signal);
  abort.abort();
  await waiting;
  // A waiter that stayed would be called, and take its listener back once more.
  const removed = vi.spyOn(abort.signal, "removeEventListener");
  feed.wake();
  expect(removed).not.toHaveBeenCalled();
});
