import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TaskState } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { demoProcessor } from "../../../src/agent/demo-processor.ts";
import { createServer, type Server } from "../../../src/server/server.ts";
import { createMemoryStorage } from "../../../src/storage/memory/storage.ts";
import { FaultyStorage } from "../../storage/faulty-storage.ts";
import { bindings, type Clients, toldError } from "../bindings.ts";
import { sent, userMessage } from "../calls/call-fixtures.ts";

const faulty = new FaultyStorage(createMemoryStorage());
let server: Server;

beforeAll(async () => {
  server = await createServer({ processor: demoProcessor, storage: faulty.storage, listener: { port: 0 } });
  await server.listen();
});

afterAll(async () => {
  faulty.heal();
  await server[Symbol.asyncDispose]();
  await faulty.storage[Symbol.asyncDispose]();
});

async function drained(events: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of events);
}

/** What is asked while the storage is away: of a task that waits for input, and of its conversation. */
const calls: readonly {
  readonly name: string;
  call(clients: Clients, task: { readonly id: string; readonly contextId: string }): Promise<unknown>;
}[] = [
  { name: "SendMessage", call: ({ a2a }) => a2a.sendMessage({ message: userMessage("hello") }) },
  {
    name: "SendMessage that a bare message answers",
    call: ({ a2a }) => a2a.sendMessage({ message: userMessage("reply hello") }),
  },
  {
    name: "SendMessage to a task",
    call: ({ a2a }, { id }) => a2a.sendMessage({ message: userMessage("an answer", { taskId: id }) }),
  },
  {
    name: "SendStreamingMessage",
    call: ({ a2a }) => drained(a2a.sendStreamingMessage({ message: userMessage("hello") })),
  },
  { name: "GetTask", call: ({ a2a }, { id }) => a2a.getTask({ id }) },
  { name: "ListTasks", call: ({ a2a }) => a2a.listTasks({}) },
  { name: "CancelTask", call: ({ a2a }, { id }) => a2a.cancelTask({ id }) },
  { name: "SubscribeToTask", call: ({ a2a }, { id }) => drained(a2a.subscribeToTask({ id })) },
  { name: "WatchTask", call: ({ tasks }, { id }) => drained(tasks.watchTask({ taskId: id })) },
  { name: "GetTaskAt", call: ({ tasks }, { id }) => tasks.getTaskAt({ taskId: id, sequence: 1n }) },
  { name: "TaskExists", call: ({ tasks }, { id }) => tasks.taskExists({ taskId: id }) },
  { name: "DeleteTask", call: ({ tasks }, { id }) => tasks.deleteTask({ taskId: id }) },
  { name: "GetConversation", call: ({ conversations }, { contextId }) => conversations.getConversation({ contextId }) },
  { name: "ListConversations", call: ({ conversations }) => conversations.listConversations({}) },
  { name: "ListMessages", call: ({ conversations }, { contextId }) => conversations.listMessages({ contextId }) },
  { name: "DeleteMessage", call: ({ conversations }) => conversations.deleteMessage({ messageId: "m" }) },
  {
    name: "UpdateConversationAccess",
    call: ({ conversations }, { contextId }) => conversations.updateConversationAccess({ contextId }),
  },
  {
    name: "DeleteConversation",
    call: ({ conversations }, { contextId }) => conversations.deleteConversation({ contextId }),
  },
  { name: "GetConversationStats", call: ({ conversations }) => conversations.getConversationStats({}) },
  { name: "CleanupExpiredConversations", call: ({ conversations }) => conversations.cleanupExpiredConversations({}) },
];

describe.each(bindings)("while the storage is away, over $name", ({ connect }) => {
  it.each(calls)("$name is told UNAVAILABLE and stores nothing", async ({ call }) => {
    const clients = connect(server.url.origin);
    const asked = await sent(clients, "ask what?");
    const key = { tenant: "", owner: "", taskId: asked.id };
    const found = async () => [await faulty.storage.getConversationStats(), await faulty.storage.getTask(key)] as const;
    const [{ totalConversations, totalMessages }, before] = await found();
    // A fault that is final: the others are tried again for 10 s before the client hears of them, which the manager's
    // own tests show.
    faulty.fail({ fault: "closed" });
    const told = await call(clients, asked).then(() => "answered", toldError);
    faulty.heal();
    expect(told).toMatchObject({ code: "Unavailable", reason: "UNAVAILABLE", message: "The storage is not available" });
    const [stats, after] = await found();
    expect([stats, after]).toEqual([expect.objectContaining({ totalConversations, totalMessages }), before]);
    expect((await clients.a2a.getTask({ id: asked.id })).status?.state).toBe(TaskState.INPUT_REQUIRED);
  });
});
