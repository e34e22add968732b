import { create } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { ListTasksRequestSchema } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import type { MessageProcessor } from "../../../src/agent/message-processor.ts";
import { artifact, completed, inputRequired } from "../../../src/agent/processor-events.ts";
import type { TaskSubscriber } from "../../../src/agent/task-subscriber.ts";
import { TaskError } from "../../../src/domain/task-error.ts";
import { AnswerBudget } from "../../../src/transport/load/answer-budget.ts";
import { ByteBudget } from "../../../src/transport/load/byte-budget.ts";
import { settle } from "../../runtime/manual-clock.ts";
import { randomOf } from "../../storage/faulty-storage.ts";
import { logOf, message, request, sent, setup } from "../fixtures.ts";
import { TestRoom } from "./test-room.ts";

const seeds = 60;
const steps = 60;

const parts = [{ content: { case: "text", value: "x".repeat(8192) } }] as const;

/** Adds 12 parts of 8 KiB in each turn, so that every task is large. */
const filling: MessageProcessor = {
  async *processMessage(context) {
    const { artifacts } = await context.task();
    for (let index = 0; index < 12; index++)
      yield artifact({ artifactId: "a", parts: [...parts] }, { append: artifacts.length + index > 0 });
    yield context.message.messageId.endsWith("0") ? completed() : inputRequired("more?");
  },
};

/** A call, with the exchange that it came by. */
interface Running {
  readonly exchange: TestRoom;
  readonly abort: AbortController;
  readonly stream?: TaskSubscriber;
  readonly messageId?: string;
  hungUp: boolean;
}

/**
 * Calls of all kinds at few large tasks, on two connections with room for about two of them. Clients read late, hang up
 * and let deadlines pass; reads of the storage fail and are held up; tasks are removed; time passes.
 *
 * Each exchange has one call at a time, as on a server. In the end nothing is held and nobody waits, and no message
 * that was refused for lack of room is in a log.
 */
async function check(seed: number): Promise<ReadonlySet<string>> {
  const draw = randomOf(seed);
  const pick = (count: number) => Math.floor(draw() * count);
  const { manager, faulty, clock } = await setup(filling);
  const budget = new AnswerBudget(clock, 500_000);
  const connections = [new ByteBudget(350_000), new ByteBudget(350_000)];
  const first = [message("a"), message("b"), message("c")];
  const ids: string[] = [];
  for (const each of first) ids.push((await sent(manager, each)).id);
  const timers = clock.waiting;
  const open = new Set<Running>();
  const all: Promise<unknown>[] = [];
  const happened = new Set<string>();
  const refused: string[] = [];

  const begin = (act: (running: Running) => Promise<unknown>, init: Partial<Running> = {}) => {
    const exchange = new TestRoom(budget, connections[pick(2)]);
    const running: Running = { exchange, abort: new AbortController(), hungUp: false, ...init };
    open.add(running);
    const done = act(running).then(
      () => {
        happened.add("answered");
      },
      (error: unknown) => {
        const reason = error instanceof TaskError ? error.reason : "aborted";
        happened.add(reason);
        if (reason === "TOO_MANY" && !running.hungUp && running.messageId !== undefined)
          refused.push(running.messageId);
      },
    );
    all.push(done);
  };
  const end = (running: Running) => {
    running.hungUp = true;
    open.delete(running);
    running.exchange.close();
    running.abort.abort(new Error("The client has hung up"));
    void running.stream?.close();
  };
  const streaming = (make: (room: TestRoom) => TaskSubscriber, messageId?: string) => {
    const exchange = new TestRoom(budget, connections[pick(2)]);
    const stream = make(exchange);
    const read = async () => {
      const events = stream[Symbol.asyncIterator]();
      await events.next();
      if (draw() < 0.5) exchange.release();
      await events.next();
    };
    begin(read, { exchange, stream, ...(messageId !== undefined && { messageId }) });
  };

  for (let step = 0; step < steps; step++) {
    const place = pick(3);
    const id = ids[place] as string;
    const messageId = `${seed}-${step}`;
    const more = request(message("more", { taskId: id, messageId }), { now: draw() < 0.3 });
    const after = draw() < 0.5 ? undefined : BigInt(1 + pick(8));
    const acts: readonly (() => unknown)[] = [
      () => begin(({ exchange }) => manager.getTask(id, undefined, { historyLength: pick(3) }, exchange)),
      () => begin(({ exchange }) => manager.getTaskAt(id, BigInt(1 + pick(8)), undefined, exchange)),
      () =>
        begin(({ exchange }) => {
          const pageSize = 1 + pick(3);
          return manager.listTasks(
            create(ListTasksRequestSchema, { includeArtifacts: true, pageSize }),
            undefined,
            exchange,
          );
        }),
      () =>
        begin(({ exchange, abort }) => manager.sendMessage(more, undefined, { room: exchange, signal: abort.signal }), {
          messageId,
        }),
      () =>
        begin(({ exchange, abort }) =>
          manager.sendMessage(request(first[place] as (typeof first)[0]), undefined, {
            room: exchange,
            signal: abort.signal,
          }),
        ),
      () => streaming((room) => manager.watchTask(id, after, undefined, { room })),
      () => streaming((room) => manager.subscribeToTask(id, after, undefined, { room })),
      () => streaming((room) => manager.sendStreamingMessage(more, undefined, { after, room }), messageId),
      () => draw() < 0.1 && begin(({ exchange }) => manager.cancelTask(id, undefined, { room: exchange })),
      () => draw() < 0.1 && begin(() => manager.deleteTask(id)),
      () => [...open].slice(0, 3).forEach(end),
      () => [...open].filter(() => draw() < 0.3).forEach(end),
      () => clock.advance(pick(12_000)),
      () => faulty.fail({ methods: ["getTask", "readTask"], fault: "unavailable", skip: pick(4), times: 1 }),
      () => faulty.fail({ methods: ["getTask", "readTask"], fault: "held", skip: pick(4), times: 1 + pick(3) }),
      () => faulty.release(1 + pick(3)),
      () => {
        for (const { abort } of open) if (draw() < 0.2) abort.abort(new Error("The deadline is over"));
      },
    ];
    await acts[pick(acts.length)]?.();
    await settle(1);
    if (budget.queue.size > 0) happened.add("waited");
    expect(budget.held, `seed ${seed}, step ${step}`).toBeGreaterThanOrEqual(0);
  }
  // Every client reads to the end or leaves, sooner or later.
  faulty.heal();
  for (let round = 0; round < 100 && (open.size > 0 || faulty.held > 0); round++) {
    faulty.release();
    await clock.advance(1_000);
    for (const each of [...open].slice(0, 2)) end(each);
  }
  await clock.advanceUntil(Promise.all(all));
  await clock.advance(20_000);
  expect([budget.held, budget.queue.size, clock.waiting], `seed ${seed}`).toEqual([0, 0, timers]);
  const sentIds = new Set<string>();
  for (const id of ids)
    for (const { body } of await logOf(faulty, id))
      if (body.case === "message" && body.value.message) sentIds.add(body.value.message.messageId);
  expect(
    refused.filter((each) => sentIds.has(each)),
    `seed ${seed}: accepted and refused`,
  ).toEqual([]);
  if (sentIds.size > 0) happened.add("accepted");
  return happened;
}

it("gives room back exactly once on every path, and refuses no message that it has accepted", async () => {
  const happened = new Set<string>();
  for (let seed = 0; seed < seeds; seed++) for (const fact of await check(seed)) happened.add(fact);
  for (const fact of ["answered", "waited", "accepted", "TOO_MANY", "TASK_NOT_FOUND", "UNAVAILABLE", "aborted"])
    expect(happened).toContain(fact);
}, 60_000);
