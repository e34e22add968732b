import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { SendOptionsSchema } from "../../../gen/taskmanager/storage/v1/records_pb.ts";
import { completed, inputRequired, working } from "../../../src/agent/processor-events.ts";
import { decideCreate } from "../../../src/domain/decide.ts";
import { copyFold } from "../../../src/domain/fold.ts";
import type { TaskKey } from "../../../src/domain/scope.ts";
import { createTask } from "../../../src/log/create-task.ts";
import { MessageClock } from "../../../src/manager/conversations/message-clock.ts";
import type { ManagerDeps } from "../../../src/manager/manager-deps.ts";
import { checkedOptions } from "../../../src/manager/options.ts";
import { RunQueue } from "../../../src/manager/run/run-queue.ts";
import { type TaskAccess, taskContexts } from "../../../src/manager/run/task-context.ts";
import { TaskRun } from "../../../src/manager/run/task-run.ts";
import { silentLogger } from "../../../src/runtime/logger.ts";
import { WallClock } from "../../../src/runtime/wall-clock.ts";
import { createMemoryStorage } from "../../../src/storage/memory/storage.ts";
import { TaskHub } from "../../../src/stream/task-hub.ts";
import { ManualClock, settle } from "../../runtime/manual-clock.ts";
import { FaultyStorage } from "../../storage/faulty-storage.ts";
import { callerOf, isSettledNow, kindsOf, logOf, message, nextId, ScriptedAgent, stateOf } from "../fixtures.ts";

const key: TaskKey = { tenant: "", owner: "", taskId: "task" };
const caller = callerOf("", "");
const options = create(SendOptionsSchema);
const never = new AbortController().signal;
const otherTasks: TaskAccess = {
  getTask: () => Promise.reject(new Error("No other task")),
  subscribeToTask: () => {
    throw new Error("No other task");
  },
  deleteTask: async () => false,
};

/** The storage with a task that `owner` has just created, and where the task stands. */
async function createdBy(owner: string) {
  const storage = createMemoryStorage();
  const stamp = { nowMs: 0, newId: nextId };
  const made = await createTask(storage, key, decideCreate("context", message("one"), options, stamp), {
    contextId: "context",
    owner: { replica: owner, fence: 1n },
    clock: new ManualClock(),
    newId: nextId,
  });
  if (made.outcome !== "created") throw new Error("The task was there already");
  const { fold, batch, created } = made;
  const start = { fold, batch, logBytes: created.bytes, snapshotBytes: 0, owner: { replica: owner, fence: 1n } };
  return { storage, start };
}

/** A run of a task that was just created by `owner`, on a replica with one place in its run queue. */
async function runOf(owner = "here", replica = "here", task?: Awaited<ReturnType<typeof createdBy>>) {
  const { storage, start } = task ?? (await createdBy(owner));
  const clock = new ManualClock();
  const faulty = new FaultyStorage(storage);
  const agent = new ScriptedAgent();
  const deps: ManagerDeps = {
    storage: faulty.storage,
    processor: agent,
    hub: new TaskHub(),
    options: checkedOptions({}),
    clock,
    wallClock: new WallClock(clock),
    messageClock: new MessageClock(clock),
    newId: nextId,
    logger: silentLogger,
    replica,
  };
  const queue = new RunQueue(1, 10);
  const told = { idle: 0, lost: [] as Error[] };
  const run: TaskRun = new TaskRun(
    deps,
    key,
    { ...start, fold: copyFold(start.fold) },
    {
      queue,
      contexts: taskContexts(deps, otherTasks),
      feed: deps.hub.open(key),
      onIdle: () => told.idle++,
      onLost: (error) => told.lost.push(error),
    },
  );
  const accept = (text: string) => run.accept(message(text, { taskId: "task" }), options, caller);
  const kinds = async () => kindsOf(await logOf(faulty, "task"));
  return { run, faulty, agent, queue, told, accept, kinds, task: { storage, start } };
}

type Made = Awaited<ReturnType<typeof runOf>>;

async function queued() {
  const all = await runOf();
  const place = await all.queue.acquire(never);
  all.run.begin(caller);
  await settle();
  expect(all.run.phase).toBe("queued");
  return { ...all, place: () => place?.() };
}

/** The takeover is on its way. */
async function starting() {
  const all = await runOf("there");
  all.faulty.fail({ methods: "appendTask", fault: "held", times: 1 });
  const recovered = all.run.recover();
  recovered.catch(() => undefined);
  await settle();
  expect([all.run.phase, all.faulty.held]).toEqual(["starting", 1]);
  return all;
}

async function inTurn() {
  const all = await runOf();
  all.run.begin(caller);
  const turn = await all.agent.turn();
  await settle();
  expect(all.run.phase).toBe("turn");
  return { ...all, turn };
}

/** The turn has asked for input and is over; its last append is on its way. */
async function settling() {
  const all = await inTurn();
  all.faulty.fail({ methods: "appendTask", fault: "held", times: 1 });
  await all.turn.yield(inputRequired("?"));
  all.turn.return();
  await settle();
  expect([all.run.phase, all.faulty.held]).toEqual(["settling", 1]);
  return all;
}

async function stopping() {
  const all = await inTurn();
  const stopped = all.run.stop("draining");
  await settle();
  expect([all.run.phase, all.turn.told]).toEqual(["stopping", "draining"]);
  return { ...all, stopped };
}

const idleAgain = ({ run, queue }: Made) => [run.phase, run.busy, queue.running, queue.queued];
const nothing = [false, 0, 0];

describe("a run that is idle", () => {
  it("waits for a place once it has a turn to run, and is idle again when that is durable", async () => {
    const all = await runOf();
    expect(all.run.phase).toBe("idle");
    all.run.begin(caller);
    expect(all.run.phase).toBe("queued");
    (await all.agent.turn()).return();
    await settle();
    expect([idleAgain(all), all.told]).toEqual([["idle", ...nothing], { idle: 1, lost: [] }]);
    expect(await all.kinds()).toEqual(["created", "status:WORKING", "turn", "status:COMPLETED"]);
  });

  it("ends at once when it is stopped", async () => {
    const { run } = await runOf();
    await run.stop("draining");
    expect([run.phase, run.lost]).toEqual(["ended", undefined]);
  });

  it("ends when its writer is lost, and then takes nothing up", async () => {
    const { run, told } = await runOf();
    const gone = new Error("gone");
    run.writer.abandon(gone);
    expect([run.phase, run.lost, told.lost]).toEqual(["ended", gone, [gone]]);
    await expect(run.recover()).rejects.toBe(gone);
  });
});

describe("a run that waits for a place", () => {
  it("takes it when it comes, and runs what was accepted meanwhile after the first turn", async () => {
    const { run, agent, accept, place } = await queued();
    accept("two");
    expect(run.phase).toBe("queued");
    place();
    (await agent.turn()).return();
    const second = await agent.turn(1);
    expect([run.phase, second.text]).toEqual(["turn", "two"]);
  });

  it("gives its wait up when the task is canceled, and never runs", async () => {
    const all = await queued();
    await all.run.writer.whenCommitted(all.run.cancel(undefined));
    await settle();
    all.place();
    await settle();
    expect([idleAgain(all), all.agent.turns.length]).toEqual([["idle", ...nothing], 0]);
    expect(await all.kinds()).toEqual(["created", "status:CANCELED"]);
  });

  it("runs nothing where it is canceled just as the place comes", async () => {
    const all = await queued();
    all.place();
    all.run.cancel(undefined);
    await settle();
    expect([idleAgain(all), all.agent.turns.length]).toEqual([["idle", ...nothing], 0]);
  });

  it("ends when it is stopped, and leaves the task as it is", async () => {
    const all = await queued();
    await all.run.stop("draining");
    all.place();
    await settle();
    expect([idleAgain(all), await all.kinds()]).toEqual([["ended", ...nothing], ["created"]]);
  });

  it("gives the place back where it is stopped just as the place comes", async () => {
    const all = await queued();
    all.place();
    await all.run.stop("draining");
    expect([idleAgain(all), await all.kinds()]).toEqual([["ended", ...nothing], ["created"]]);
  });

  it("ends when its writer is lost, and waits no longer", async () => {
    const all = await queued();
    all.run.writer.abandon(new Error("gone"));
    await settle();
    expect([all.run.phase, all.queue.queued, all.told.lost.length]).toEqual(["ended", 0, 1]);
  });
});

describe("a run whose takeover is on its way", () => {
  it("begins the turn once the takeover is durable", async () => {
    const { run, faulty, agent } = await starting();
    expect(agent.turns).toHaveLength(0);
    faulty.release();
    const turn = await agent.turn();
    expect([run.phase, turn.context.fence]).toEqual(["turn", 2n]);
  });

  it("begins none where the task is canceled meanwhile", async () => {
    const all = await starting();
    all.run.cancel(undefined);
    expect(all.run.phase).toBe("starting");
    all.faulty.release();
    await settle();
    expect([idleAgain(all), all.agent.turns.length]).toEqual([["idle", ...nothing], 0]);
    expect(await all.kinds()).toEqual(["created", "takeover", "status:CANCELED"]);
  });

  it("begins none where it is stopped meanwhile, and ends once the takeover is durable", async () => {
    const all = await starting();
    const stopped = all.run.stop("draining");
    expect([all.run.phase, await isSettledNow(stopped)]).toEqual(["stopping", false]);
    all.faulty.release();
    await stopped;
    expect([idleAgain(all), await all.kinds()]).toEqual([
      ["ended", ...nothing],
      ["created", "takeover"],
    ]);
  });

  it("ends where another replica was faster, without having run anything", async () => {
    const { task, run, queue, agent, faulty, kinds } = await starting();
    const other = await runOf("there", "elsewhere", task);
    await other.run.recover();
    faulty.release();
    await settle();
    expect([run.phase, run.lost, queue.running, agent.turns.length]).toEqual([
      "ended",
      expect.objectContaining({ reason: "UNAVAILABLE" }),
      0,
      0,
    ]);
    expect((await kinds()).filter((kind) => kind === "takeover")).toHaveLength(1);
  });
});

describe("a run whose turn runs", () => {
  it("goes from one turn to the next without anything between", async () => {
    const phases: string[] = [];
    const { run, turn, accept, agent } = await inTurn();
    accept("two");
    turn.return();
    while (agent.turns.length < 2) {
      phases.push(run.phase);
      await undefined;
    }
    expect(new Set(phases)).toEqual(new Set(["turn"]));
  });

  it("runs every turn that it has begun, whenever the task is canceled", async () => {
    for (let delay = 0; delay < 20; delay++) {
      const { run, turn, accept, agent, kinds } = await inTurn();
      accept("two");
      await settle();
      turn.return();
      for (let tick = 0; tick < delay; tick++) await undefined;
      run.cancel(undefined);
      await settle();
      for (const each of agent.turns) each.return();
      await settle();
      const log = await kinds();
      expect(log.filter((kind) => kind === "turn").length, `canceled after ${delay}`).toBe(agent.turns.length);
      expect([run.phase, log.at(-1)]).toEqual(["idle", "status:CANCELED"]);
    }
  });

  it("settles when no message waits", async () => {
    const { run, turn, faulty } = await inTurn();
    faulty.fail({ methods: "appendTask", fault: "held", times: 1 });
    turn.return();
    await settle();
    expect(run.phase).toBe("settling");
    faulty.release();
    await settle();
    expect([run.phase, stateOf(run.writer.committed)]).toEqual(["idle", "COMPLETED"]);
  });

  it("ends when its writer is lost, tells the turn, and gives the place back", async () => {
    const { run, turn, queue } = await inTurn();
    run.writer.abandon(new Error("gone"));
    expect([run.phase, turn.told]).toEqual(["ended", "lost"]);
    await settle();
    expect(queue.running).toBe(0);
  });
});

describe("a run whose turn is over and not durable yet", () => {
  it("keeps its place, and runs what is accepted then in a turn of its own", async () => {
    const all = await settling();
    all.accept("two");
    expect([all.run.phase, all.queue.running]).toEqual(["settling", 1]);
    all.faulty.release();
    const second = await all.agent.turn(1);
    expect([second.text, all.run.phase]).toEqual(["two", "turn"]);
    second.return();
    await settle();
    expect(idleAgain(all)).toEqual(["idle", ...nothing]);
  });

  it("is canceled at once", async () => {
    const all = await settling();
    all.run.cancel(undefined);
    all.faulty.release();
    await settle();
    expect([idleAgain(all), (await all.kinds()).at(-1)]).toEqual([["idle", ...nothing], "status:CANCELED"]);
  });

  it("ends when it is stopped, and leaves what waits to the next server", async () => {
    const all = await settling();
    all.accept("two");
    const stopped = all.run.stop("draining");
    expect([all.run.phase, await isSettledNow(stopped)]).toEqual(["stopping", false]);
    all.faulty.release();
    await stopped;
    expect([idleAgain(all), all.agent.turns.length, (await all.kinds()).at(-1)]).toEqual([
      ["ended", ...nothing],
      1,
      "message",
    ]);
  });

  it("ends when its writer is lost, and gives the place back", async () => {
    const all = await settling();
    all.run.writer.abandon(new Error("gone"));
    await settle();
    expect([all.run.phase, all.queue.running]).toEqual(["ended", 0]);
  });
});

describe("a run that is stopped during its turn", () => {
  it("takes the turn's last events, begins no other turn, and ends", async () => {
    const all = await stopping();
    await all.turn.yield(working("nearly"));
    expect(await isSettledNow(all.stopped)).toBe(false);
    all.turn.return();
    await all.stopped;
    expect([idleAgain(all), (await all.kinds()).slice(-2)]).toEqual([
      ["ended", ...nothing],
      ["status:WORKING", "turnStopped"],
    ]);
  });

  it("keeps a status that ends the task", async () => {
    const all = await stopping();
    await all.turn.yield(completed("made it"));
    all.turn.return();
    await all.stopped;
    expect([idleAgain(all), (await all.kinds()).at(-1)]).toEqual([["ended", ...nothing], "status:COMPLETED"]);
  });

  it("ends with a cancel that comes then", async () => {
    const all = await stopping();
    await all.run.writer.whenCommitted(all.run.cancel(undefined));
    all.turn.return();
    await all.stopped;
    expect([all.run.phase, (await all.kinds()).slice(-2)]).toEqual(["ended", ["cancelRequested", "status:CANCELED"]]);
  });

  it("ends when its writer is lost", async () => {
    const all = await stopping();
    const gone = new Error("gone");
    all.run.writer.abandon(gone);
    all.turn.return();
    await all.stopped;
    expect([all.run.phase, all.run.lost, all.queue.running]).toEqual(["ended", gone, 0]);
  });
});
