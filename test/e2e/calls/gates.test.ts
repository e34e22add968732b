import { createRouterTransport } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { demoProcessor } from "../../../src/agent/demo-processor.ts";
import type { MessageProcessor } from "../../../src/agent/message-processor.ts";
import { createTaskManager, type TaskManager } from "../../../src/manager/task-manager.ts";
import { createMemoryStorage } from "../../../src/storage/memory/storage.ts";
import type { AgentCardInit } from "../../../src/transport/agent-card/capabilities.ts";
import { a2aRoutes, type RoutesOptions } from "../../../src/transport/connect/connect-routes.ts";
import { bindings, clientsOf, toldError } from "../bindings.ts";
import { type Served, served } from "../served.ts";
import { userMessage } from "./call-fixtures.ts";
import { operations, reasons } from "./operations.ts";

function agentWith(capabilities: AgentCardInit["capabilities"]): MessageProcessor {
  const { card, ...agent } = demoProcessor;
  return { ...agent, card: { ...card, ...(capabilities && { capabilities }) } as AgentCardInit };
}

const must = "urn:example:must:v1";
const may = "urn:example:may:v1";

/**
 * What each operation is refused with, where everything that a card can declare is off or on. The rest answers: with a
 * result, or that there is no such task.
 */
const answered = {
  SendMessage: undefined,
  SendStreamingMessage: undefined,
  GetTask: "TASK_NOT_FOUND",
  ListTasks: undefined,
  CancelTask: "TASK_NOT_FOUND",
  SubscribeToTask: "TASK_NOT_FOUND",
};
const noPush = {
  CreateTaskPushNotificationConfig: "PUSH_NOTIFICATION_NOT_SUPPORTED",
  GetTaskPushNotificationConfig: "PUSH_NOTIFICATION_NOT_SUPPORTED",
  ListTaskPushNotificationConfigs: "PUSH_NOTIFICATION_NOT_SUPPORTED",
  DeleteTaskPushNotificationConfig: "PUSH_NOTIFICATION_NOT_SUPPORTED",
};
const noStreams = { SendStreamingMessage: "UNSUPPORTED_OPERATION", SubscribeToTask: "UNSUPPORTED_OPERATION" };

const table: readonly {
  readonly name: string;
  readonly capabilities: AgentCardInit["capabilities"];
  readonly expected: Record<string, string | undefined>;
}[] = [
  {
    name: "nothing is declared",
    capabilities: undefined,
    expected: { ...answered, ...noPush, GetExtendedAgentCard: "UNSUPPORTED_OPERATION" },
  },
  {
    name: "streaming is declared false (R8)",
    capabilities: { streaming: false },
    expected: { ...answered, ...noPush, ...noStreams, GetExtendedAgentCard: "UNSUPPORTED_OPERATION" },
  },
  {
    name: "push notifications are declared false (R7) and the extended card too (R9)",
    capabilities: { pushNotifications: false, extendedAgentCard: false },
    expected: { ...answered, ...noPush, GetExtendedAgentCard: "UNSUPPORTED_OPERATION" },
  },
  {
    name: "an extended card is declared, but there is none (R9)",
    capabilities: { extendedAgentCard: true },
    expected: { ...answered, ...noPush, GetExtendedAgentCard: "EXTENDED_AGENT_CARD_NOT_CONFIGURED" },
  },
  {
    name: "an extension is required that clients don't name (R10)",
    capabilities: { extendedAgentCard: true, extensions: [{ uri: must, required: true }] },
    expected: {
      ...Object.fromEntries(Object.keys(operations).map((name) => [name, "EXTENSION_SUPPORT_REQUIRED"])),
      ...noPush,
    },
  },
];

describe.each(table)("where $name", ({ capabilities, expected }) => {
  let server: Served;
  beforeAll(async () => {
    server = await served({ processor: agentWith(capabilities) });
  });
  afterAll(() => server[Symbol.asyncDispose]());

  test.each(bindings)("operations are refused or answered over $name", async ({ connect }) => {
    expect(await reasons(connect(server.url.origin), toldError)).toEqual(expected);
  });
});

describe("what a gate refuses", () => {
  let server: Served;
  beforeAll(async () => {
    server = await served({ processor: agentWith({ streaming: false }) });
  });
  afterAll(() => server[Symbol.asyncDispose]());

  test.each(bindings)("is refused whatever is asked, over $name: an invalid request, an unknown task", async ({
    connect,
  }) => {
    const { a2a } = connect(server.url.origin);
    const told = async (call: AsyncIterable<unknown>) => {
      try {
        for await (const event of call) return event;
      } catch (error) {
        return toldError(error).reason;
      }
      return undefined;
    };
    expect(await told(a2a.sendStreamingMessage({}))).toBe("UNSUPPORTED_OPERATION");
    expect(await told(a2a.sendStreamingMessage({ message: userMessage("x", { taskId: "nowhere" }) }))).toBe(
      "UNSUPPORTED_OPERATION",
    );
    expect(await told(a2a.subscribeToTask({}))).toBe("UNSUPPORTED_OPERATION");
  });

  test("a refused call leaves nothing behind, and our own streams go on", async () => {
    const [binding] = bindings;
    const { a2a, tasks, conversations } = binding?.connect(server.url.origin) ?? expect.unreachable();
    const before = (await conversations.getConversationStats({})).totalMessages;
    await expect(
      a2a
        .sendStreamingMessage({ message: userMessage("hello") })
        [Symbol.asyncIterator]()
        .next(),
    ).rejects.toThrow();
    expect((await conversations.getConversationStats({})).totalMessages).toBe(before);
    const { payload } = await a2a.sendMessage({ message: userMessage("hello") });
    const watched = [];
    for await (const event of tasks.watchTask({
      taskId: payload.case === "task" ? payload.value.id : "",
      afterSequence: 0n,
    }))
      watched.push(event);
    expect(watched.length).toBeGreaterThan(1);
  });
});

describe("extensions are negotiated (R144–R146)", () => {
  let server: Served;
  beforeAll(async () => {
    server = await served({ processor: agentWith({ extensions: [{ uri: must, required: true }, { uri: may }] }) });
  });
  afterAll(() => server[Symbol.asyncDispose]());

  describe.each(bindings)("over $name", ({ connect }) => {
    test.each([
      { asked: must, active: must },
      { asked: `urn:example:other:v1,${may} , ${must}`, active: `${must}, ${may}` },
      { asked: `${must}, ${may.toUpperCase()}`, active: must },
    ])("$asked", async ({ asked, active }) => {
      const { a2a } = connect(server.url.origin, { "A2A-Version": "1.0", "A2A-Extensions": asked });
      let unary: string | null = null;
      await a2a.listTasks({}, { onHeader: (header) => (unary = header.get("A2A-Extensions")) });
      expect(unary).toBe(active);
      // Before the first event of a stream.
      let headers: string | null | undefined;
      for await (const _ of a2a.sendStreamingMessage(
        { message: userMessage("hello") },
        { onHeader: (header) => (headers = header.get("A2A-Extensions")) },
      )) {
        expect(headers).toBe(active);
      }
      expect(headers).toBe(active);
    });
  });
});

describe("services on a router of the user's own", () => {
  let manager: TaskManager;
  const storage = createMemoryStorage();
  beforeAll(async () => {
    manager = await createTaskManager(agentWith({ streaming: false, extendedAgentCard: true }), storage);
  });
  afterAll(async () => {
    await manager[Symbol.asyncDispose]();
    await storage[Symbol.asyncDispose]();
  });

  const clientsOver = (options: RoutesOptions, headers?: Record<string, string>) =>
    clientsOf(
      (interceptors) => createRouterTransport(a2aRoutes(manager, options), { transport: { interceptors } }),
      headers,
    );

  test("a router of the user's own has the same gates", async () => {
    expect(await reasons(clientsOver({}), toldError)).toEqual({
      ...answered,
      ...noPush,
      ...noStreams,
      GetExtendedAgentCard: "EXTENDED_AGENT_CARD_NOT_CONFIGURED",
    });
    expect((await reasons(clientsOver({}, {}), toldError)).ListTasks).toBe("VERSION_NOT_SUPPORTED");
    expect((await reasons(clientsOver({ a2aVersion: "lenient" }, {}), toldError)).ListTasks).toBe(undefined);
  });

  test("give each caller the extended card that the router's owner has for it (R113)", async () => {
    const extendedCard: RoutesOptions["extendedCard"] = async ({ headers }) => ({
      name: `for ${headers.get("x-user")}`,
      version: "2",
    });
    const { a2a } = clientsOver({ extendedCard }, { "A2A-Version": "1.0", "x-user": "ann" });
    expect(await a2a.getExtendedAgentCard({})).toMatchObject({ name: "for ann", version: "2" });
  });
});
