import { describe, expect, it, onTestFinished, vi } from "vitest";
import { inputRequired, working } from "../../../src/agent/processor-events.ts";
import type { TaskSubscriber } from "../../../src/agent/task-subscriber.ts";
import type { TaskKey } from "../../../src/domain/scope.ts";
import type { TaskError } from "../../../src/domain/task-error.ts";
import type { TaskManager } from "../../../src/manager/task-manager.ts";
import { TaskHub } from "../../../src/stream/task-hub.ts";
import { settle } from "../../runtime/manual-clock.ts";
import { randomOf } from "../../storage/faulty-storage.ts";
import { answering, begun, isSettledNow, message, request, ScriptedAgent, sent, setup } from "../fixtures.ts";

/** How many tasks are read or run: the sizes of all hubs that are used from here on. */
function feeds(): () => number {
  const hubs = new Set<TaskHub>();
  const { open } = TaskHub.prototype;
  const spy = vi.spyOn(TaskHub.prototype, "open").mockImplementation(function (this: TaskHub, key: TaskKey) {
    hubs.add(this);
    return open.call(this, key);
  });
  onTestFinished(() => spy.mockRestore());
  return () => [...hubs].reduce((sum, hub) => sum + hub.size, 0);
}

/** A task that asks and one whose turn is open. */
async function tasks() {
  const open = feeds();
  const scripted = new ScriptedAgent();
  const all = await setup(scripted);
  const asks = sent(all.manager, "asks");
  const turn = await scripted.turn();
  await turn.yield(inputRequired("?"));
  turn.return();
  const asking = (await asks).id;
  const running = (await begun(all.manager, "runs")).id;
  const other = await scripted.turn(1);
  await settle();
  return { ...all, open, asking, running, turn: other };
}

describe("closed while it is being opened", () => {
  const openings: readonly [string, (manager: TaskManager, id: string) => TaskSubscriber][] = [
    ["a stream of a new message", (manager) => manager.sendStreamingMessage(request("new"))],
    [
      "a stream of a follow-up",
      (manager, id) => manager.sendStreamingMessage(request(message("more", { taskId: id }))),
    ],
    ["a subscription", (manager, id) => manager.subscribeToTask(id)],
    ["a watch", (manager, id) => manager.watchTask(id, 0n)],
  ];

  it.each(openings)("%s lets go of its reader at once, and gives nothing afterwards", async (_, subscribe) => {
    const { manager, faulty, asking } = await tasks();
    faulty.fail({ methods: ["appendTask", "getTask"], fault: "held" });
    const subscriber = subscribe(manager, asking);
    const events = subscriber[Symbol.asyncIterator]();
    const waiting = [events.next(), events.next()];
    await settle();
    expect(await isSettledNow(Promise.all(waiting))).toBe(false);
    await subscriber.close();
    expect(await isSettledNow(Promise.all(waiting))).toBe(true);
    faulty.heal();
    faulty.release();
    await settle(5);
    expect([...(await Promise.all(waiting)), await events.next()].map(({ done }) => done)).toEqual([true, true, true]);
    expect(subscriber.closed).toBe(true);
  });

  it("a stream whose agent takes its time to answer does so too; the answer is kept all the same", async () => {
    const answer = Promise.withResolvers<{ parts: [{ content: { case: "text"; value: string } }] }>();
    const { manager } = await setup(answering(() => answer.promise));
    const subscriber = manager.sendStreamingMessage(request(message("x", { contextId: "c" })));
    const waiting = subscriber[Symbol.asyncIterator]().next();
    await settle();
    await subscriber.close();
    expect(await waiting).toEqual({ done: true, value: undefined });
    answer.resolve({ parts: [{ content: { case: "text", value: "hi" } }] });
    await settle(5);
    expect((await manager.conversations.get("c", { tenant: "", owner: "" })).messageIds).toHaveLength(2);
  });

  it("one that would have been refused is no unhandled rejection", async () => {
    const { manager } = await tasks();
    for (const subscriber of [
      manager.watchTask("missing"),
      manager.subscribeToTask("missing"),
      manager.sendStreamingMessage(request(message("x", { taskId: "missing" }))),
    ]) {
      await subscriber.close();
      expect(await subscriber[Symbol.asyncIterator]().next()).toEqual({ done: true, value: undefined });
    }
    await settle(5);
  });
});

it("however subscriptions are opened, read, left and closed, none leaves its feed behind", async () => {
  const { manager, faulty, clock, open, asking, running, turn } = await tasks();
  const idle = open();
  expect(idle).toBe(1);
  for (let seed = 0; seed < 100; seed++) {
    const draw = randomOf(seed);
    const below = (count: number) => Math.floor(draw() * count);
    faulty.failAtRandom({
      seed,
      probability: 0.3,
      faults: ["held", "answer-held", "unavailable"],
      methods: ["getTask", "readTask", "taskExists"],
    });
    const subscribers = Array.from({ length: 4 }, () => {
      const id = [asking, running, "missing"][below(3)] as string;
      return below(2) === 0 ? manager.subscribeToTask(id) : manager.watchTask(id, BigInt(below(9)));
    });
    const reasons: string[] = [];
    const readers = subscribers.map(async (subscriber) => {
      const most = below(6);
      let read = 0;
      try {
        for await (const _ of subscriber) if (++read > most) break;
      } catch (error) {
        reasons.push((error as TaskError).reason);
      }
    });
    for (let step = below(6); step > 0; step--) {
      if (below(2) === 0) faulty.release(1);
      if (below(3) === 0) void turn.yield(working("w"));
      if (below(3) === 0) void subscribers[below(4)]?.close();
      await settle(below(3));
    }
    await Promise.all(subscribers.map((subscriber) => subscriber[Symbol.asyncDispose]()));
    faulty.heal();
    // A call whose answer is held is held only once it has executed.
    await settle();
    faulty.release();
    await Promise.all(readers);
    expect(["OUT_OF_RANGE", "TASK_NOT_FOUND", "UNAVAILABLE"]).toEqual(expect.arrayContaining(reasons));
    await settle();
    expect(open(), `Seed ${seed}`).toBe(idle);
  }
  turn.return();
  await settle();
  await clock.advance(1_000);
  expect(open()).toBe(0);
});

it("tells when it was last read, by the manager's clock", async () => {
  const { manager, clock, running } = await tasks();
  await using subscriber = manager.watchTask(running, 0n);
  const opened = subscriber.lastAccessTime.getTime();
  await clock.advance(500);
  expect(subscriber.lastAccessTime.getTime()).toBe(opened);
  await subscriber[Symbol.asyncIterator]().next();
  expect(subscriber.lastAccessTime.getTime()).toBe(opened + 500);
});

it("is closed by an error that its reader throws into it, which a generator around it gets as it is", async () => {
  const { manager, running } = await tasks();
  const subscriber = manager.watchTask(running, 0n);
  // As Connect ends a stream whose client has left.
  async function* around() {
    yield* subscriber;
  }
  const events = around();
  await events.next();
  const gone = new Error("The client has hung up");
  await expect(events.throw(gone)).rejects.toBe(gone);
  expect(subscriber.closed).toBe(true);
});
