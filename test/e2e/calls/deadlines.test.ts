import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TaskState } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { demoProcessor } from "../../../src/agent/demo-processor.ts";
import { createServer, type Server } from "../../../src/server/server.ts";
import { createMemoryStorage } from "../../../src/storage/memory/storage.ts";
import { FaultyStorage } from "../../storage/faulty-storage.ts";
import { bindings, toldError } from "../bindings.ts";
import { userMessage } from "./call-fixtures.ts";

/** Deadlines as the server keeps them: sent as headers alone, so that no client has one of its own. */

let faulty: FaultyStorage;
let server: Server;

beforeAll(async () => {
  faulty = new FaultyStorage(createMemoryStorage());
  server = await createServer({ processor: demoProcessor, storage: faulty.storage, listener: { port: 0 } });
  await server.listen();
});

afterAll(async () => {
  faulty.heal();
  faulty.release();
  await server[Symbol.asyncDispose]();
});

const within = (ms: number) => ({ headers: { "grpc-timeout": `${ms}m`, "connect-timeout-ms": String(ms) } });
const exceeded = { code: "DeadlineExceeded" };

async function read<T>(events: AsyncIterable<T>) {
  const seen: T[] = [];
  try {
    for await (const event of events) seen.push(event);
    return { seen, end: "ended" as const };
  } catch (error) {
    return { seen, end: toldError(error) };
  }
}

describe.each(bindings.filter(({ hasDeadlines }) => hasDeadlines))("a deadline over $name", ({ connect }) => {
  it("the deadline ends the wait of a send, and its task goes on", async () => {
    const { a2a } = connect(server.url.origin);
    const contextId = crypto.randomUUID();
    expect(
      await a2a.sendMessage({ message: userMessage("count 1 60000", { contextId }) }, within(100)).catch(toldError),
    ).toMatchObject(exceeded);
    const [task] = (await a2a.listTasks({ contextId })).tasks;
    expect([TaskState.SUBMITTED, TaskState.WORKING]).toContain(task?.status?.state);
    expect((await a2a.cancelTask({ id: task?.id ?? "" })).status?.state).toBe(TaskState.CANCELED);
  });

  it("the deadline ends a stream, and its task goes on", async () => {
    const { a2a, tasks } = connect(server.url.origin);
    const contextId = crypto.randomUUID();
    // Authorization may come some other way, so the stream stays open.
    expect(
      (await read(a2a.sendStreamingMessage({ message: userMessage("auth me", { contextId }) }, within(100)))).end,
    ).toMatchObject(exceeded);
    const [task] = (await a2a.listTasks({ contextId })).tasks;
    const id = task?.id ?? "";
    expect((await read(a2a.subscribeToTask({ id }, within(100)))).end).toMatchObject(exceeded);
    expect((await read(tasks.watchTask({ taskId: id, afterSequence: 0n }, within(100)))).end).toMatchObject(exceeded);
    const { payload } = await a2a.sendMessage({ message: userMessage("granted", { taskId: id }) });
    expect(payload.case === "task" && payload.value.status?.state).toBe(TaskState.COMPLETED);
  });

  it("the deadline ends a call that waits for a storage that doesn't answer", async () => {
    const { a2a, tasks } = connect(server.url.origin);
    const { payload } = await a2a.sendMessage({ message: userMessage("ask what?") });
    const id = payload.case === "task" ? payload.value.id : "";
    faulty.fail({ methods: ["getTask", "readTask", "listTasks"], fault: "held" });
    try {
      expect(await a2a.getTask({ id }, within(50)).catch(toldError)).toMatchObject(exceeded);
      expect(await a2a.listTasks({}, within(50)).catch(toldError)).toMatchObject(exceeded);
      expect((await read(tasks.watchTask({ taskId: id, afterSequence: 0n }, within(50)))).end).toMatchObject(exceeded);
    } finally {
      faulty.heal();
      faulty.release();
    }
  });

  it("a deadline that has passed when the call arrives fails the call, and nothing is begun", async () => {
    const { a2a, tasks } = connect(server.url.origin);
    const contextId = crypto.randomUUID();
    const message = () => userMessage("auth me", { contextId });
    expect(await a2a.sendMessage({ message: message() }, within(0)).catch(toldError)).toMatchObject(exceeded);
    expect(await read(a2a.sendStreamingMessage({ message: message() }, within(0)))).toMatchObject({
      seen: [],
      end: exceeded,
    });
    expect((await a2a.listTasks({ contextId })).tasks).toEqual([]);
    const { payload } = await a2a.sendMessage({ message: message() });
    const id = payload.case === "task" ? payload.value.id : "";
    expect(await read(a2a.subscribeToTask({ id }, within(0)))).toMatchObject({ seen: [], end: exceeded });
    expect(await read(tasks.watchTask({ taskId: id, afterSequence: 0n }, within(0)))).toMatchObject({
      seen: [],
      end: exceeded,
    });
  });

  it("a deadline further ahead than timers reach never ends the call", async () => {
    const { a2a } = connect(server.url.origin);
    const headers = { "grpc-timeout": "99999999H", "connect-timeout-ms": "9999999999" };
    const { payload } = await a2a.sendMessage({ message: userMessage("count 1 50") }, { headers });
    expect(payload.case === "task" && payload.value.status?.state).toBe(TaskState.COMPLETED);
  });

  it("an invalid deadline is refused", async () => {
    const { a2a } = connect(server.url.origin);
    const headers = { "grpc-timeout": "soon", "connect-timeout-ms": "soon" };
    expect(await a2a.sendMessage({ message: userMessage("hello") }, { headers }).catch(toldError)).toMatchObject({
      code: "InvalidArgument",
      reason: "INVALID_REQUEST",
    });
  });
});
