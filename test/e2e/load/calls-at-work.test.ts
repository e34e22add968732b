import { createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Health, HealthCheckResponse_ServingStatus as Status } from "../../../gen/health/v1/health_pb.ts";
import { Role, TaskState } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import type { MessageProcessor, TaskContext } from "../../../src/agent/message-processor.ts";
import { createServer, type Server } from "../../../src/server/server.ts";
import { createMemoryStorage } from "../../../src/storage/memory/storage.ts";
import type { Storage } from "../../../src/storage/storage.ts";
import { eventually } from "../../runner/eventually.ts";
import { FaultyStorage } from "../../storage/faulty-storage.ts";
import { bindings, clientsOf } from "../bindings.ts";

/**
 * Calls that wait for the storage are bounded, on a connection and in the process. The rest wait. Calls that only wait
 * for an agent do not count.
 */

/** Ends when it is canceled. */
const begun: TaskContext[] = [];
const processor: MessageProcessor = {
  async *processMessage(context) {
    begun.push(context);
    await new Promise((resolve) => context.signal.addEventListener("abort", resolve, { once: true }));
  },
};

let memory: Storage;
let faulty: FaultyStorage;
let server: Server;
beforeEach(async () => {
  begun.length = 0;
  memory = createMemoryStorage();
  faulty = new FaultyStorage(memory);
  const manager = { maxRunningTasks: 1_000 };
  server = await createServer({ processor, storage: faulty.storage, manager, listener: { port: 0 } });
  await server.listen();
});
afterEach(async () => {
  faulty.heal();
  faulty.release();
  await server[Symbol.asyncDispose]();
  await memory[Symbol.asyncDispose]();
});

const userMessage = () => ({
  messageId: crypto.randomUUID(),
  role: Role.USER,
  parts: [{ content: { case: "text" as const, value: "hello" } }],
});

/** Clients that share one connection. A transport of HTTP/2 has one. */
const onOneConnection = (make: typeof createGrpcTransport = createGrpcTransport) => {
  let transport: Transport | undefined;
  return clientsOf((interceptors) => {
    transport ??= make({ baseUrl: server.url.href, interceptors });
    return transport;
  });
};

const settle = async (calls: readonly Promise<unknown>[]) =>
  (await Promise.allSettled(calls)).map(({ status }) => status);

const times = <T>(count: number, make: (index: number) => T): T[] =>
  Array.from({ length: count }, (_, index) => make(index));

test("1,000 sends that wait for an agent on one connection can all be canceled over it", async () => {
  const { a2a } = onOneConnection();
  const sends = times(1_000, () => a2a.sendMessage({ message: userMessage() }));
  await eventually("every turn", () => begun.length === 1_000, { timeoutMs: 30_000 });
  const canceled = await Promise.all(begun.map(({ taskId }) => a2a.cancelTask({ id: taskId })));
  expect(new Set(canceled.map(({ status }) => status?.state))).toEqual(new Set([TaskState.CANCELED]));
  const sent = await Promise.all(sends);
  const states = sent.map(({ payload }) => (payload.case === "task" ? payload.value.status?.state : payload.case));
  expect(new Set(states)).toEqual(new Set([TaskState.CANCELED]));
});

describe.each([
  ["gRPC", createGrpcTransport],
  [
    "Connect",
    (options: Parameters<typeof createGrpcTransport>[0]) => createConnectTransport({ ...options, httpVersion: "2" }),
  ],
] as const)("over %s", (_, make) => {
  test("100 calls of a connection wait for the storage, and the rest for them, in order", async () => {
    const { a2a, tasks } = onOneConnection(make);
    faulty.fail({ methods: "taskExists", fault: "held" });
    const calls = times(150, (index) => tasks.taskExists({ taskId: `task-${index}` }));
    await eventually("calls in the storage", () => faulty.held === 100);
    // Another client's calls, and those that never wait, go on.
    const other = onOneConnection(make);
    expect((await other.a2a.listTasks({})).tasks).toEqual([]);
    await expect(a2a.cancelTask({ id: "none" })).rejects.toThrow("none");
    const health = createClient(Health, make({ baseUrl: server.url.href }));
    expect((await health.check({})).status).toBe(Status.SERVING);
    expect((await fetch(new URL("/readyz", server.url))).status).toBe(200);
    expect(faulty.held).toBe(100);
    faulty.release(30);
    await eventually("the next calls", () => faulty.held === 100);
    faulty.heal();
    faulty.release();
    expect(new Set(await settle(calls))).toEqual(new Set(["fulfilled"]));
    const asked = faulty.calls.flatMap(({ method, args }) => (method === "taskExists" ? [args[0]] : []));
    expect(asked).toMatchObject(times(150, (index) => ({ taskId: `task-${index}` })));
  });

  test("sends and streams that wait for an agent leave their places to others", async () => {
    const { a2a, tasks } = onOneConnection(make);
    const left = new AbortController();
    const sends = times(100, () => a2a.sendMessage({ message: userMessage() }, { signal: left.signal }));
    const streams = times(100, () =>
      drained(a2a.sendStreamingMessage({ message: userMessage() }, { signal: left.signal })),
    );
    await eventually("every turn", () => begun.length === 200);
    const [first] = begun;
    const watches = times(100, () =>
      drained(tasks.watchTask({ taskId: first?.taskId ?? "", afterSequence: 1n }, { signal: left.signal })),
    );
    expect((await tasks.taskExists({ taskId: first?.taskId ?? "" })).exists).toBe(true);
    left.abort();
    expect(new Set(await settle([...sends, ...streams, ...watches]))).toEqual(new Set(["rejected"]));
  });

  test("a call that is reset while it waits never begins", async () => {
    const { a2a, tasks } = onOneConnection(make);
    faulty.fail({ methods: "taskExists", fault: "held" });
    const first = times(100, () => tasks.taskExists({ taskId: "one" }));
    await eventually("calls in the storage", () => faulty.held === 100);
    const left = new AbortController();
    const sends = times(50, () => a2a.sendMessage({ message: userMessage() }, { signal: left.signal }));
    await arrived(a2a);
    left.abort();
    await settle(sends);
    await arrived(a2a);
    faulty.heal();
    faulty.release();
    expect(new Set(await settle(first))).toEqual(new Set(["fulfilled"]));
    expect((await a2a.listTasks({})).tasks).toEqual([]);
    expect(begun).toEqual([]);
  });

  test("a call counts until the storage has answered, although its client has left", async () => {
    const { a2a, tasks } = onOneConnection(make);
    faulty.fail({ methods: "taskExists", fault: "held" });
    const left = new AbortController();
    const first = times(100, () => tasks.taskExists({ taskId: "one" }, { signal: left.signal }));
    await eventually("calls in the storage", () => faulty.held === 100);
    left.abort();
    await settle(first);
    const others = times(50, () => tasks.taskExists({ taskId: "two" }));
    await arrived(a2a);
    expect(faulty.held).toBe(100);
    faulty.heal();
    faulty.release();
    expect(new Set(await settle(others))).toEqual(new Set(["fulfilled"]));
  });
});

test("1,000 calls of all connections wait for the storage", async () => {
  faulty.fail({ methods: "taskExists", fault: "held" });
  const connections = times(11, () => onOneConnection());
  const calls = connections.flatMap(({ tasks }) => times(100, () => tasks.taskExists({ taskId: "task" })));
  await eventually("calls in the storage", () => faulty.held === 1_000, { timeoutMs: 30_000 });
  await Promise.all(connections.map(({ a2a }) => arrived(a2a)));
  expect(faulty.held).toBe(1_000);
  faulty.heal();
  faulty.release();
  expect(new Set(await settle(calls))).toEqual(new Set(["fulfilled"]));
});

test("over every binding a call waits while 1,000 others work, and a request to cancel doesn't", async () => {
  faulty.fail({ methods: "taskExists", fault: "held" });
  const working = times(10, () => onOneConnection()).flatMap(({ tasks }) =>
    times(100, () => tasks.taskExists({ taskId: "task" })),
  );
  await eventually("calls in the storage", () => faulty.held === 1_000, { timeoutMs: 30_000 });
  const lists: Promise<unknown>[] = [];
  for (const { connect } of bindings) {
    const { a2a } = connect(server.url.href);
    lists.push(a2a.listTasks({}));
    await arrived(a2a);
  }
  expect(faulty.calls.filter(({ method }) => method === "listTasks")).toEqual([]);
  faulty.heal();
  faulty.release();
  expect(await settle(lists)).toEqual(bindings.map(() => "fulfilled"));
  await settle(working);
  expect(faulty.calls.filter(({ method }) => method === "listTasks")).toHaveLength(bindings.length);
});

/** Resolves when the calls that the connection has sent before have arrived: a call that never waits is answered. */
async function arrived({ cancelTask }: Pick<ReturnType<typeof onOneConnection>["a2a"], "cancelTask">): Promise<void> {
  await expect(cancelTask({ id: "none" })).rejects.toThrow("none");
}

async function drained(events: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of events);
}
