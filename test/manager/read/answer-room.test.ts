import { create } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { describe, expect, it } from "vitest";
import { ListTasksRequestSchema } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import type { MessageProcessor } from "../../../src/agent/message-processor.ts";
import { artifact, completed, inputRequired } from "../../../src/agent/processor-events.ts";
import type { TaskManager } from "../../../src/manager/task-manager.ts";
import { AnswerBudget } from "../../../src/transport/load/answer-budget.ts";
import type { ByteBudget } from "../../../src/transport/load/byte-budget.ts";
import { type ManualClock, settle } from "../../runtime/manual-clock.ts";
import { begun, isSettledNow, message, request, ScriptedAgent, sent, setup, taskIn } from "../fixtures.ts";
import { TestRoom } from "./test-room.ts";

const partBytes = 4096;
const parts = [{ content: { case: "text", value: "x".repeat(partBytes) } }] as const;
const chunk = (index: number) => artifact({ artifactId: "a", parts: [...parts] }, { append: index > 0 });

/** Fills a task with 64 parts of 4 KiB in each turn. Asks for input, until it is told to end. */
const filling: MessageProcessor = {
  async *processMessage(context) {
    const { artifacts } = await context.task();
    for (let index = 0; index < 64; index++) yield chunk(artifacts.length + index);
    yield context.message.messageId.startsWith("last") ? completed() : inputRequired("more?");
  },
};

/** One large task fits at a time. */
function budgetOf(clock: ManualClock) {
  const budget = new AnswerBudget(clock, 1_000_000);
  return {
    budget,
    room: (connection?: ByteBudget) => new TestRoom(budget, connection),
    /** Leaves no room until the result is called. */
    fill() {
      const other = new TestRoom(budget);
      void other.share("other", 1_000_000);
      return () => other.close();
    },
  };
}

/** Whether a call of `getTask` asks for the snapshot however large the task is: a load begins with it. */
function isWhole([, options]: readonly unknown[]): boolean {
  const { snapshot = false, logBytesMax = Number.MAX_SAFE_INTEGER } = (options ?? {}) as {
    snapshot?: boolean;
    logBytesMax?: number;
  };
  return snapshot && logBytesMax > 1024 * 1024;
}

async function filled(last = true) {
  const all = await setup(filling);
  const first = message("fill", { messageId: last ? "last-1" : "first" });
  const { id } = await sent(all.manager, first);
  await settle();
  const loads = () => all.faulty.calls.filter(({ method, args }) => method === "getTask" && isWhole(args)).length;
  return { ...all, ...budgetOf(all.clock), first, id, loads };
}

describe("an accepted call", () => {
  it("that repeats a message to an ended large task loads it only once there is room", async () => {
    const { manager, first, loads, budget, room, fill } = await filled();
    const release = fill();
    const before = loads();
    const exchange = room();
    const got = manager.sendMessage(request(first), undefined, { room: exchange });
    await settle();
    expect([loads() - before, budget.queue.size]).toEqual([0, 1]);
    release();
    expect(taskIn(await got).artifacts[0]?.parts.length).toBe(64);
    exchange.close();
    expect(budget.held).toBe(0);
  });

  type Act = (manager: TaskManager, id: string, room: TestRoom) => Promise<unknown>;
  const acts: readonly [string, Act][] = [
    [
      "SendMessage",
      async (manager, taskId, room) =>
        taskIn(await manager.sendMessage(request(message("more", { taskId })), undefined, { room })).artifacts,
    ],
    [
      "SendMessage with return_immediately",
      async (manager, taskId, room) =>
        taskIn(await manager.sendMessage(request(message("more", { taskId }), { now: true }), undefined, { room }))
          .artifacts,
    ],
    [
      "SendStreamingMessage",
      async (manager, taskId, room) => {
        const events = manager.sendStreamingMessage(request(message("more", { taskId })), undefined, { room });
        const { value } = await events[Symbol.asyncIterator]().next();
        await events.close();
        return value?.payload.case === "task" ? value.payload.value.artifacts : value;
      },
    ],
    ["CancelTask", async (manager, id, room) => (await manager.cancelTask(id, undefined, { room })).task.artifacts],
  ];
  it.each(acts)("is not refused for lack of room: %s", async (_, act) => {
    const { manager, faulty, id, clock, budget, room, fill } = await filled(false);
    const exchange = room();
    faulty.fail({ methods: "appendTask", fault: "held", times: 1 });
    const acted = act(manager, id, exchange);
    await settle();
    // There is room to load the task, and none any more once the call is accepted.
    const release = fill();
    faulty.release();
    await clock.advance(120_000);
    expect([await isSettledNow(acted), budget.queue.size]).toEqual([false, 1]);
    release();
    expect(await acted).toMatchObject([{ artifactId: "a" }]);
    exchange.close();
    expect([budget.held, budget.queue.size]).toEqual([0, 0]);
  });

  it("is what a large task is loaded for only once there is room; one that cancels never waits for it", async () => {
    const { manager, id, loads, clock, budget, room, fill } = await filled(false);
    const release = fill();
    const before = loads();
    const rooms = [room(), room()];
    const sends = rooms.map((each) =>
      manager.sendMessage(request(message("more", { taskId: id })), undefined, { room: each }),
    );
    const [left, waits] = sends;
    const refused = [
      expect(left).rejects.toMatchObject({ code: Code.Canceled }),
      expect(waits).rejects.toMatchObject({ reason: "TOO_MANY" }),
    ];
    await settle();
    expect([loads() - before, budget.queue.size]).toEqual([0, 2]);
    rooms[0]?.close();
    await settle();
    expect(budget.queue.size).toBe(1);
    expect((await manager.cancelTask(id)).task.history.length).toBe(2);
    await clock.advance(10_000);
    await Promise.all(refused);
    // Neither message was accepted.
    expect((await manager.getTask(id)).task.history.length).toBe(2);
    release();
    rooms[1]?.close();
    expect([budget.held, budget.queue.size]).toEqual([0, 0]);
  });

  it("ends its wait for room with its deadline", async () => {
    const { manager, first, budget, room, fill } = await filled();
    const release = fill();
    const deadline = new AbortController();
    const exchange = room();
    const got = manager.sendMessage(request(first), undefined, { room: exchange, signal: deadline.signal });
    await settle();
    deadline.abort(new Error("The deadline is over"));
    await expect(got).rejects.toThrow("The deadline is over");
    expect(budget.queue.size).toBe(0);
    release();
    exchange.close();
    expect(budget.held).toBe(0);
  });

  it("holds no room while it waits for its agent", async () => {
    const agent = new ScriptedAgent();
    const { manager, clock } = await setup(agent);
    const { budget, room } = budgetOf(clock);
    const first = message("begin");
    const answered = manager.sendMessage(request(first), undefined, { room: room() });
    const turn = await agent.turn();
    for (let index = 0; index < 64; index++) await turn.yield(chunk(index));
    await turn.context.committed();
    const repeated = manager.sendMessage(request(first), undefined, { room: room() });
    await settle();
    expect([await isSettledNow(repeated), budget.held]).toEqual([false, 0]);
    turn.return();
    expect(taskIn(await answered).artifacts).toBe(taskIn(await repeated).artifacts);
    expect(budget.held).toBeGreaterThan(64 * partBytes);
  });
});

describe("a cursor", () => {
  it("of a message to a task is checked without loading the task", async () => {
    const { manager, id, loads } = await filled(false);
    const before = loads();
    const events = manager.sendStreamingMessage(request(message("more", { taskId: id })), undefined, {
      after: 99_999n,
    });
    await expect(events[Symbol.asyncIterator]().next()).rejects.toMatchObject({ reason: "OUT_OF_RANGE" });
    expect(loads() - before).toBe(0);
  });

  it("in the past of a large task takes room before each load, and holds none afterwards", async () => {
    const { manager, id, loads, budget, room, fill } = await filled(false);
    const second = message("more", { taskId: id, messageId: "last-2" });
    await sent(manager, second);
    await settle();
    const release = fill();
    const exchange = room();
    const streams = [
      manager.watchTask(id, 3n, undefined, { room: exchange }),
      manager.subscribeToTask(id, 3n, undefined, { room: room() }),
    ];
    const before = loads();
    const next = streams.map((stream) => stream[Symbol.asyncIterator]().next());
    await settle();
    expect([loads() - before, budget.queue.size]).toEqual([0, 2]);
    release();
    for (const { value } of await Promise.all(next)) expect(value?.payload.case).toBe("artifactUpdate");
    expect(budget.held).toBe(0);
    const again = fill();
    const whole = loads();
    const resumed = manager.sendStreamingMessage(request(second), undefined, { after: 3n, room: exchange });
    const resumedNext = resumed[Symbol.asyncIterator]().next();
    await settle();
    expect([loads() - whole, budget.queue.size]).toEqual([0, 1]);
    again();
    expect((await resumedNext).value?.payload.case).toBe("artifactUpdate");
    expect([budget.held, budget.queue.size]).toEqual([0, 0]);
    await Promise.all([...streams, resumed].map((stream) => stream.close()));
  });
});

describe("a stream that waits for room", () => {
  it("waits no longer once it is closed, and loads nothing", async () => {
    const { manager, id, loads, budget, room, fill } = await filled();
    const release = fill();
    const before = loads();
    const exchange = room();
    const events = manager.watchTask(id, undefined, undefined, { room: exchange });
    const next = events[Symbol.asyncIterator]().next();
    await settle();
    expect(budget.queue.size).toBe(1);
    await events.close();
    await settle();
    expect([budget.queue.size, (await next).done]).toEqual([0, true]);
    release();
    await settle();
    expect([loads() - before, budget.held]).toEqual([0, 0]);
  });
});

describe("a large task that grows", () => {
  async function growing() {
    const agent = new ScriptedAgent();
    const all = await setup(agent);
    const { id } = await begun(all.manager, "begin");
    const turn = await agent.turn();
    let count = 0;
    const grow = async (chunks: number) => {
      for (let end = count + chunks; count < end; count++) await turn.yield(chunk(count));
      await turn.context.committed();
    };
    await grow(64);
    return { ...all, ...budgetOf(all.clock), id, turn, grow };
  }

  it("doesn't make an answer wait for the room that it holds itself", async () => {
    const { manager, budget, room, fill, grow } = await growing();
    const release = fill();
    const exchange = room();
    const listed = manager.listTasks(create(ListTasksRequestSchema, { includeArtifacts: true }), undefined, exchange);
    await settle();
    expect(budget.queue.size).toBe(1);
    await grow(64);
    release();
    const { tasks } = await listed;
    expect(tasks[0]?.task.artifacts[0]?.parts.length).toBe(64);
    exchange.close();
    expect(budget.held).toBe(0);
  });

  it("is shown as it was when the answers that waited asked, loaded once for all of them", async () => {
    const { manager, faulty, budget, room, fill, grow, id } = await growing();
    const release = fill();
    const exchanges = Array.from({ length: 20 }, () => room());
    const got = exchanges.map((each) => manager.getTask(id, undefined, {}, each));
    const others = Array.from({ length: 20 }, () => room());
    const streams = others.map((each) => manager.watchTask(id, undefined, undefined, { room: each }));
    const firsts = streams.map((stream) => stream[Symbol.asyncIterator]().next());
    await settle();
    await grow(64);
    const before = faulty.callsOf("getTask").length;
    release();
    const tasks = (await Promise.all(got)).map(({ task }) => task);
    for (const { value } of await Promise.all(firsts))
      if (value?.payload.case === "task") tasks.push(value.payload.value);
    expect([tasks.length, new Set(tasks.map(({ artifacts }) => artifacts)).size]).toEqual([40, 1]);
    expect([tasks[0]?.artifacts[0]?.parts.length, faulty.callsOf("getTask").length - before]).toEqual([64, 1]);
    // What follows a stream's first task is what came while it waited.
    const { value } = await (streams[0] as (typeof streams)[0])[Symbol.asyncIterator]().next();
    expect(value?.payload.case).toBe("artifactUpdate");
    for (const each of [...exchanges, ...others]) each.close();
    await Promise.all(streams.map((stream) => stream.close()));
    expect([budget.held, budget.queue.size]).toEqual([0, 0]);
  });

  it("has its present head in each GetTaskAt, also in one that joins an older load", async () => {
    const { manager, faulty, room, grow, id } = await growing();
    faulty.fail({ methods: "readTask", fault: "held", times: 1 });
    const first = manager.getTaskAt(id, 10n, undefined, room());
    await settle();
    expect(faulty.held).toBe(1);
    await grow(1);
    const second = manager.getTaskAt(id, 10n, undefined, room());
    await settle();
    faulty.release();
    expect((await second).head - (await first).head).toBe(1n);
  });

  it("that is removed while its answer waits is not found", async () => {
    const { manager, turn, budget, room, fill, id } = await growing();
    const release = fill();
    const exchange = room();
    const got = manager.getTask(id, undefined, {}, exchange);
    await settle();
    expect(budget.queue.size).toBe(1);
    await turn.yield(completed());
    await turn.context.committed();
    turn.return();
    await settle();
    expect(await manager.deleteTask(id)).toBe(true);
    release();
    await expect(got).rejects.toMatchObject({ reason: "TASK_NOT_FOUND" });
    exchange.close();
    expect(budget.held).toBe(0);
  });
});
