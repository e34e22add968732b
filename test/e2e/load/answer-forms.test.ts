import { type ClientHttp2Session, type ClientHttp2Stream, connect } from "node:http2";
import { buffer } from "node:stream/consumers";
import { create, toBinary } from "@bufbuild/protobuf";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { GetTaskRequestSchema, Role, SendMessageRequestSchema, TaskState } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { WatchTaskRequestSchema } from "../../../gen/taskmanager/v1/task_manager_pb.ts";
import { framed } from "../../../src/transport/grpc/frames.ts";
import type { ServerLoad } from "../../../src/transport/load/server-load.ts";
import { eventually } from "../../runner/eventually.ts";
import { type Served, served } from "../served.ts";
import agent from "./fixtures/large-task-agent.ts";

/**
 * Large answers in every form of every binding, to clients that never read: what they hold is counted and bounded, the
 * rest waits, all is given back once they leave, and a client that reads gets a whole answer then.
 */

const seen: { load?: ServerLoad } = {};
vi.mock(import("../../../src/transport/calls/call-hooks.ts"), async (original) => {
  const module = await original();
  return {
    ...module,
    defaultHooks: (limits) => {
      const hooks = module.defaultHooks(limits);
      seen.load = hooks.load;
      return hooks;
    },
  };
});

const mebibyte = 1024 * 1024;
const readers = 12;
const limit = 48 * mebibyte;

let server: Served;
const sessions: ClientHttp2Session[] = [];
beforeEach(async () => {
  const calls = { maxAnswerBytes: limit, maxConnectionAnswerBytes: limit, a2aVersion: "lenient" } as const;
  server = await served({ processor: agent, calls });
});
afterEach(async () => {
  leave();
  await server[Symbol.asyncDispose]();
});

function loadOf(): ServerLoad {
  return seen.load ?? expect.fail("The server made no hooks");
}

/** The id of a task with so many chunks of so many characters. */
async function filled(count: number, size: number): Promise<string> {
  const parts = [{ content: { case: "text" as const, value: `fill ${count} ${size}` } }];
  const message = { messageId: crypto.randomUUID(), role: Role.USER, parts };
  const sent = await server.manager.sendMessage(create(SendMessageRequestSchema, { message }));
  if (sent.kind !== "task") return expect.fail("The agent answered without a task");
  expect(sent.task.status?.state).toBe(TaskState.COMPLETED);
  return sent.task.id;
}

interface Form {
  readonly path: (id: string) => string;
  readonly type?: string;
  /** Undefined for a GET. */
  readonly body?: (id: string) => Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
}

const json = (value: unknown) => Buffer.from(JSON.stringify(value));
const rpc = (method: string, params: unknown) => ({ jsonrpc: "2.0", id: 1, method, params });
const getTask = (id: string) => toBinary(GetTaskRequestSchema, create(GetTaskRequestSchema, { id }));
const watch = (taskId: string) =>
  toBinary(WatchTaskRequestSchema, create(WatchTaskRequestSchema, { taskId, afterSequence: 0n }));
const getPath = () => "/lf.a2a.v1.A2AService/GetTask";
const watchPath = () => "/taskmanager.v1.TaskManagerService/WatchTask";

/** Whether what is held for one task is shared, and which form it has. */
const whole: readonly (readonly [name: string, shares: boolean, form: Form])[] = [
  ["gRPC", true, { path: getPath, type: "application/grpc", body: (id) => framed([getTask(id)]) }],
  ["HTTP+JSON", true, { path: (id) => `/tasks/${id}` }],
  ["JSON-RPC", true, { path: () => "/", type: "application/json", body: (id) => json(rpc("GetTask", { id })) }],
  [
    "a JSON-RPC batch",
    true,
    { path: () => "/", type: "application/json", body: (id) => json([1, 2].map(() => rpc("GetTask", { id }))) },
  ],
  [
    "A2A 0.3",
    false,
    {
      path: () => "/",
      type: "application/json",
      body: (id) => json(rpc("tasks/get", { id })),
      headers: { "a2a-version": "0.3" },
    },
  ],
  [
    "a batch of A2A 0.3",
    false,
    {
      path: () => "/",
      type: "application/json",
      body: (id) => json([1, 2].map(() => rpc("tasks/get", { id }))),
      headers: { "a2a-version": "0.3" },
    },
  ],
  ["Connect", false, { path: getPath, type: "application/proto", body: getTask }],
  ["Connect in JSON", false, { path: getPath, type: "application/json", body: (id) => json({ id }) }],
  ["gRPC-Web", false, { path: getPath, type: "application/grpc-web+proto", body: (id) => framed([getTask(id)]) }],
];

/** Streams whose events have several MiB. */
const streams: readonly (readonly [name: string, form: Form])[] = [
  ["gRPC", { path: watchPath, type: "application/grpc", body: (id) => framed([watch(id)]) }],
  ["HTTP+JSON", { path: (id) => `/taskmanager/v1/tasks/${id}:watch?afterSequence=0` }],
  [
    "JSON-RPC",
    {
      path: () => "/",
      type: "application/json",
      body: (taskId) => json(rpc("taskmanager.v1.TaskManagerService/WatchTask", { taskId, afterSequence: "0" })),
    },
  ],
  ["Connect", { path: watchPath, type: "application/connect+proto", body: (id) => framed([watch(id)]) }],
  ["gRPC-Web", { path: watchPath, type: "application/grpc-web+proto", body: (id) => framed([watch(id)]) }],
];

/** A call on a connection of its own. Nothing is read of its answer. */
function ask({ path, type, body, headers }: Form, id: string): ClientHttp2Stream {
  const session = connect(server.url.origin).on("error", () => undefined);
  sessions.push(session);
  const stream = session.request({
    ":method": body === undefined ? "GET" : "POST",
    ":path": path(id),
    ...(type !== undefined && { "content-type": type }),
    ...(type === "application/grpc" && { te: "trailers" }),
    "a2a-version": "1.0",
    ...headers,
  });
  stream.on("error", () => undefined);
  stream.end(body?.(id));
  return stream;
}

function leave(): void {
  for (const session of sessions.splice(0)) session.destroy();
}

const held = () => [loadOf().answers.held, loadOf().unreadBytes, loadOf().answers.queue.size, loadOf().calls];
const nothing = () => eventually("all room is given back", () => held().every((each) => each === 0));

test.each(whole)("a large task over %s is counted, bounded and given back", async (_, shares, form) => {
  const count = 64;
  const size = 64 * 1024;
  const id = await filled(count, size);
  await nothing();
  const load = loadOf();
  const asked = Array.from({ length: readers }, () => ask(form, id));
  await eventually("all calls hold room or wait for it", () => {
    const isHeld = load.answers.held > (shares ? count * size : limit / 2);
    return isHeld && load.answers.queue.size > 0 === !shares && load.unreadBytes > 0;
  });
  expect(load.answers.held).toBeLessThanOrEqual(limit);
  // Some leave while they wait, others in the middle of their answers.
  for (const stream of asked.slice(0, 6)) stream.close();
  expect(load.answers.held).toBeLessThanOrEqual(limit);
  leave();
  await nothing();
  const answer = await buffer(ask(form, id));
  expect(answer.byteLength).toBeGreaterThan(count * size);
  await nothing();
});

test.each(streams)("large events over %s wait for their readers, one for each at most", async (_, form) => {
  const size = 4 * mebibyte - 80 * 1024;
  const id = await filled(3, size);
  await nothing();
  const load = loadOf();
  const asked = Array.from({ length: readers + 4 }, () => ask(form, id));
  // One that opens its stream late needs room for the whole task, and those behind it wait as well.
  await eventually(
    "those that find room hold one event each, and the others wait",
    () => load.answers.held >= size && load.answers.queue.size > 0 && load.unreadBytes > 0,
  );
  expect(load.answers.held).toBeLessThanOrEqual(limit);
  expect(load.unreadBytes).toBeLessThan(asked.length * 256 * 1024);
  for (const stream of asked.slice(0, 8)) stream.close();
  leave();
  await nothing();
  const answer = await buffer(ask(form, id));
  expect(answer.byteLength).toBeGreaterThan(3 * size);
  await nothing();
});
