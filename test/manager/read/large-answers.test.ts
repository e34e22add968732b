import { join } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import { describe, expect, it, onTestFinished } from "vitest";
import { MessageSchema, type StreamResponse, type Task } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { ListMessagesRequestSchema, ListMessagesResponseSchema } from "../../../gen/taskmanager/v1/conversation_pb.ts";
import type { MessageProcessor } from "../../../src/agent/message-processor.ts";
import { artifact, completed } from "../../../src/agent/processor-events.ts";
import { eventBytesMaxDefault } from "../../../src/domain/limits.ts";
import { createTaskManager } from "../../../src/manager/task-manager.ts";
import { systemClock } from "../../../src/runtime/clock.ts";
import { createMemoryStorage } from "../../../src/storage/memory/storage.ts";
import { createSqliteStorage } from "../../../src/storage/sqlite/storage.ts";
import type { Storage } from "../../../src/storage/storage.ts";
import { AnswerBudget } from "../../../src/transport/load/answer-budget.ts";
import { eventually } from "../../runner/eventually.ts";
import { FaultyStorage } from "../../storage/faulty-storage.ts";
import { openMongo } from "../../storage/mongodb/fixtures.ts";
import { temporaryFolder } from "../../storage/temporary-folder.ts";
import { callerOf, message, request, ScriptedAgent, taskIn } from "../fixtures.ts";
import { TestRoom } from "./test-room.ts";

const storages: readonly [string, () => Storage | Promise<Storage>][] = [
  ["memory", () => createMemoryStorage()],
  ["SQLite", () => createSqliteStorage(join(temporaryFolder(), "tasks.db"))],
  ["MongoDB", () => openMongo()],
];

async function managerOn(open: () => Storage | Promise<Storage>, processor: MessageProcessor) {
  const storage = await open();
  const faulty = new FaultyStorage(storage);
  const manager = await createTaskManager(processor, faulty.storage);
  onTestFinished(async () => {
    faulty.release();
    await manager[Symbol.asyncDispose]();
    await storage[Symbol.asyncDispose]();
  });
  return { manager, faulty };
}

/** Whether a call of `getTask` begins the load of a large task. */
function isWhole([, options]: readonly unknown[]): boolean {
  const { snapshot = false, logBytesMax = Number.MAX_SAFE_INTEGER } = (options ?? {}) as {
    snapshot?: boolean;
    logBytesMax?: number;
  };
  return snapshot && logBytesMax > 1024 * 1024;
}

const parts = [{ content: { case: "text", value: "x".repeat(8192) } }] as const;

describe.each(storages)("on %s", (_, open) => {
  it("a large task is loaded once for all that read it at one sequence, while it grows and once it has ended", async () => {
    const agent = new ScriptedAgent();
    const { manager, faulty } = await managerOn(open, agent);
    const first = message("begin");
    const { id } = taskIn(await manager.sendMessage(request(first, { now: true })));
    const turn = await agent.turn();
    let count = 0;
    const grow = async () => {
      for (let end = count + 32; count < end; count++)
        await turn.yield(artifact({ artifactId: "a", parts: [...parts] }, { append: count > 0 }));
      await turn.context.committed();
    };
    await grow();

    const budget = new AnswerBudget(systemClock, 2_000_000);
    const loads = () => faulty.callsOf("getTask").filter(({ args }) => isWhole(args)).length;
    const taskOf = (event: StreamResponse | undefined) =>
      event?.payload.case === "task" ? event.payload.value : undefined;
    /** Ten calls of each kind wait for room at one sequence. What they show, and the loads they took. */
    const readAll = async (meanwhile: () => Promise<void>) => {
      const rooms = Array.from({ length: 40 }, () => new TestRoom(budget));
      const other = new TestRoom(budget);
      await other.share("other", 2_000_000);
      const before = loads();
      const streams = rooms.slice(0, 20).map((room, place) =>
        // A task that has ended refuses SubscribeToTask.
        place % 2 === 0 || turn.over
          ? manager.watchTask(id, undefined, undefined, { room })
          : manager.subscribeToTask(id, undefined, undefined, { room }),
      );
      const reads = streams.map((stream) => stream[Symbol.asyncIterator]().next());
      const got = rooms.slice(20, 30).map((room) => manager.getTask(id, undefined, {}, room));
      const sends = rooms
        .slice(30)
        .map((room) => manager.sendMessage(request(first, { now: true }), undefined, { room }));
      await eventually("all wait for room", () => budget.queue.size === 40);
      await meanwhile();
      expect(loads() - before).toBe(0);
      other.close();
      const tasks: (Task | undefined)[] = (await Promise.all(reads)).map(({ value }) => taskOf(value));
      tasks.push(...(await Promise.all(got)).map(({ task }) => task), ...(await Promise.all(sends)).map(taskIn));
      expect(tasks.length).toBe(40);
      const artifacts = new Set(tasks.map((task) => task?.artifacts));
      const shown = { lists: artifacts.size, parts: tasks[0]?.artifacts[0]?.parts.length };
      for (const stream of streams) await stream.close();
      for (const room of rooms) room.close();
      expect([budget.held, budget.queue.size]).toEqual([0, 0]);
      return { ...shown, loads: loads() - before };
    };

    expect(await readAll(async () => {})).toEqual({ lists: 1, parts: 32, loads: 0 });
    // The run has moved on when there is room, so the task is loaded as it was.
    expect(await readAll(grow)).toEqual({ lists: 1, parts: 32, loads: 1 });
    await turn.yield(completed());
    turn.return();
    await eventually("the turn is over", () => turn.over);
    await eventually("the run is gone", async () => {
      const calls = faulty.callsOf("getTask").length;
      await manager.getTask(id);
      return faulty.callsOf("getTask").length > calls;
    });
    expect(await readAll(async () => {})).toEqual({ lists: 1, parts: 64, loads: 1 });
  });

  it("ListMessages without a page size gives all messages once, also of the largest size, in answers below 4 MiB", async () => {
    const { manager } = await managerOn(open, {
      async *processMessage() {
        yield completed();
      },
    });
    const contextId = "c".repeat(256);
    const scope = callerOf("", "");
    const sized = (bytes: number) => {
      const made = message("x".repeat(Math.max(1, bytes - 400)), { contextId });
      const missing = Math.max(0, bytes - toBinary(MessageSchema, made).byteLength);
      (made.parts[0] as (typeof made.parts)[0]).content = {
        case: "text",
        value: "x".repeat(Math.max(1, bytes - 400) + missing),
      };
      return made;
    };
    const sizes = [10, eventBytesMaxDefault, 10, eventBytesMaxDefault, eventBytesMaxDefault, 2_000_000, 2_000_000, 10];
    const ids: string[] = [];
    for (const bytes of [...sizes, ...Array.from({ length: 60 }, () => 80_000)]) {
      const next = sized(bytes);
      ids.push(next.messageId);
      await manager.sendMessage(request(next, { now: true }), scope);
    }
    const listed: string[] = [];
    let answers = 0;
    for (let pageToken = ""; ; answers++) {
      const page = await manager.conversations.listMessages(
        create(ListMessagesRequestSchema, { contextId, pageToken }),
        scope,
      );
      expect(page.messages.length).toBeGreaterThan(0);
      expect(toBinary(ListMessagesResponseSchema, page).byteLength).toBeLessThanOrEqual(4 * 1024 * 1024);
      listed.push(...page.messages.map(({ messageId }) => messageId));
      pageToken = page.nextPageToken;
      if (pageToken === "") break;
    }
    expect(listed).toEqual(ids);
    expect(answers).toBeGreaterThan(6);
  }, 60_000);
});
