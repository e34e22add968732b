import { MessageSchema, Role, TaskSchema, TaskState } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { jsonFieldPath } from "../../../src/transport/proto-json/json-path.ts";
import { eventually } from "../../runner/eventually.ts";
import {
  type Call,
  collected,
  everyJson,
  histories,
  sent,
  shape,
  stateOf,
  states,
  textParts,
  userMessage,
} from "./call-fixtures.ts";

const invalid = (...fields: readonly string[]) => ({
  code: "InvalidArgument",
  reason: "INVALID_REQUEST",
  fields: fields.map(jsonFieldPath),
});
const notFound = { code: "NotFound", reason: "TASK_NOT_FOUND" };
const unsupported = { code: "FailedPrecondition", reason: "UNSUPPORTED_OPERATION" };
const noPush = { code: "FailedPrecondition", reason: "PUSH_NOTIFICATION_NOT_SUPPORTED" };

export const goodCalls: readonly Call[] = [
  {
    name: "a message is answered with the completed task",
    call: async ({ a2a }) => {
      const { payload } = await a2a.sendMessage({ message: userMessage("hello") });
      if (payload.case !== "task") throw new Error("no task");
      return { state: stateOf(payload.value), texts: textParts(payload.value), task: shape(TaskSchema, payload.value) };
    },
    expected: { ok: { state: "COMPLETED" } },
  },
  {
    name: "a bare message answers without a task",
    call: async ({ a2a }) => {
      const { payload } = await a2a.sendMessage({ message: userMessage("reply please") });
      return { kind: payload.case, taskId: payload.case === "message" ? payload.value.taskId : "?" };
    },
    expected: { ok: { kind: "message", taskId: "" } },
  },
  {
    name: "return_immediately answers while the task runs, and it ends all the same",
    call: async (clients) => {
      const { payload } = await clients.a2a.sendMessage({
        message: userMessage("count 3 20"),
        configuration: { returnImmediately: true },
      });
      if (payload.case !== "task") throw new Error("no task");
      const running =
        payload.value.status?.state === TaskState.SUBMITTED || payload.value.status?.state === TaskState.WORKING;
      const events = await collected(clients.tasks.watchTask({ taskId: payload.value.id, afterSequence: 0n }));
      return {
        running,
        last: states(events.flatMap(({ payload: watched }) => (watched.case === "event" ? [watched.value] : []))).at(
          -1,
        ),
      };
    },
    expected: { ok: { running: true, last: "statusUpdate COMPLETED" } },
  },
  {
    name: "a stream begins with the task and ends with its last status",
    call: async ({ a2a }) => states(await collected(a2a.sendStreamingMessage({ message: userMessage("stream 5") }))),
    expected: {
      ok: ["task SUBMITTED", "statusUpdate WORKING", ...Array(5).fill("artifactUpdate"), "statusUpdate COMPLETED"],
    },
  },
  {
    name: "a streamed bare message is the only event",
    call: async ({ a2a }) =>
      states(await collected(a2a.sendStreamingMessage({ message: userMessage("reply please") }))),
    expected: { ok: ["message"] },
  },
  {
    name: "a question is answered by a second message",
    call: async (clients) => {
      const asked = await sent(clients, "ask what?");
      const answered = await sent(clients, "this", { taskId: asked.id });
      return { asked: stateOf(asked), answered: stateOf(answered), history: histories(answered).length };
    },
    expected: { ok: { asked: "INPUT_REQUIRED", answered: "COMPLETED", history: 3 } },
  },
  {
    name: "authorization is asked for and given",
    call: async (clients) => {
      const asked = await sent(clients, "auth sign in");
      const why = asked.status?.message?.parts.map(({ content }) => content.value);
      return [stateOf(asked), why, stateOf(await sent(clients, "here", { taskId: asked.id }))];
    },
    expected: { ok: ["AUTH_REQUIRED", ["sign in"], "COMPLETED"] },
  },
  {
    name: "an agent fails and rejects",
    call: async (clients) => [stateOf(await sent(clients, "fail now")), stateOf(await sent(clients, "reject this"))],
    expected: { ok: ["FAILED", "REJECTED"] },
  },
  {
    name: "GetTask shows what was sent and made, and as much history as asked for",
    call: async (clients) => {
      const { id } = await sent(clients, "hello");
      const all = await clients.a2a.getTask({ id });
      const none = await clients.a2a.getTask({ id, historyLength: 0 });
      return { all: histories(all), none: histories(none), texts: textParts(all) };
    },
    expected: { ok: { all: ["USER hello"], none: [] } },
  },
  {
    name: "every kind of part, with all that goes with it, is kept as it was sent, and so is metadata of every kind of JSON",
    call: async (clients) => {
      const about = { mediaType: "text/plain", filename: "f", metadata: everyJson };
      const contents = [
        { case: "text", value: "" },
        { case: "raw", value: new Uint8Array([0, 255]) },
        { case: "url", value: "https://example.org/x" },
        { case: "data", value: { kind: { case: "nullValue", value: 0 } } },
      ] as const;
      const { id } = await sent(clients, "", {
        parts: contents.map((content) => ({ content, ...about })),
        metadata: everyJson,
      });
      const [kept] = (await clients.a2a.getTask({ id })).history;
      return kept && shape(MessageSchema, kept);
    },
    expected: {
      ok: {
        parts: [{ text: "" }, { raw: "AP8=" }, { url: "https://example.org/x" }, { data: null }].map((content) => ({
          ...content,
          mediaType: "text/plain",
          filename: "f",
          metadata: everyJson,
        })),
        metadata: everyJson,
      },
    },
  },
  {
    name: "a message sent twice is one task",
    call: async (clients) => {
      const init = { messageId: crypto.randomUUID() };
      const first = await sent(clients, "hello", init);
      const second = await sent(clients, "hello", init);
      return first.id === second.id;
    },
    expected: { ok: true },
  },
  {
    name: "a running task is canceled",
    call: async (clients) => {
      const { payload } = await clients.a2a.sendMessage({
        message: userMessage("count 1000 1000"),
        configuration: { returnImmediately: true },
      });
      if (payload.case !== "task") throw new Error("no task");
      const canceled = await clients.a2a.cancelTask({ id: payload.value.id });
      return [stateOf(canceled), stateOf(await clients.a2a.getTask({ id: payload.value.id }))];
    },
    expected: { ok: ["CANCELED", "CANCELED"] },
  },
  {
    name: "tasks are listed in pages, newest first, without artifacts unless asked for",
    call: async (clients, run) => {
      const contextId = `list-${run}`;
      for (const text of ["one", "two", "three"]) {
        await sent(clients, text, { contextId });
        const doneMs = Date.now();
        await eventually("the next task has a later time", () => Date.now() > doneMs, { intervalMs: 1 });
      }
      const first = await clients.a2a.listTasks({ contextId, pageSize: 2, historyLength: 1 });
      const second = await clients.a2a.listTasks({
        contextId,
        pageSize: 2,
        historyLength: 1,
        pageToken: first.nextPageToken,
      });
      const full = await clients.a2a.listTasks({ contextId, includeArtifacts: true });
      return {
        pages: [first, second].map((page) => page.tasks.map((task) => histories(task).join())),
        sizes: [first.pageSize, first.totalSize, second.totalSize, second.nextPageToken],
        artifacts: [first.tasks.map((task) => task.artifacts.length), full.tasks.map((task) => task.artifacts.length)],
      };
    },
    expected: {
      ok: {
        pages: [["USER three", "USER two"], ["USER one"]],
        sizes: [2, 3, 3, ""],
        artifacts: [
          [0, 0],
          [1, 1, 1],
        ],
      },
    },
  },
  {
    name: "a subscription shows the task and what follows",
    call: async (clients) => {
      const { payload } = await clients.a2a.sendMessage({
        message: userMessage("count 3 30"),
        configuration: { returnImmediately: true },
      });
      if (payload.case !== "task") throw new Error("no task");
      const events = states(await collected(clients.a2a.subscribeToTask({ id: payload.value.id })));
      return [events[0]?.startsWith("task "), events.at(-1)];
    },
    expected: { ok: [true, "statusUpdate COMPLETED"] },
  },
  {
    name: "a watch goes on after its cursor, with increasing sequences",
    call: async (clients) => {
      const { id } = await sent(clients, "stream 4");
      const all = await collected(clients.tasks.watchTask({ taskId: id, afterSequence: 0n }));
      const cursor = all[3]?.sequence ?? 0n;
      const rest = await collected(clients.tasks.watchTask({ taskId: id, afterSequence: cursor }));
      return {
        count: all.length,
        same:
          JSON.stringify(rest.map(({ sequence }) => String(sequence))) ===
          JSON.stringify(all.slice(4).map(({ sequence }) => String(sequence))),
      };
    },
    expected: { ok: { count: 7, same: true } },
  },
  {
    name: "the past of a task can be read",
    call: async (clients) => {
      const { id } = await sent(clients, "hello");
      const { task, head } = await clients.tasks.getTaskAt({ taskId: id, sequence: 1n });
      return [stateOf(task), head > 1n];
    },
    expected: { ok: ["SUBMITTED", true] },
  },
  {
    name: "a task is found, removed, and gone",
    call: async (clients) => {
      const { id } = await sent(clients, "hello");
      const before = await clients.tasks.taskExists({ taskId: id });
      const removed = await clients.tasks.deleteTask({ taskId: id });
      const after = await clients.tasks.taskExists({ taskId: id });
      const again = await clients.tasks.deleteTask({ taskId: id });
      return [before.exists, removed.deleted, after.exists, again.deleted];
    },
    expected: { ok: [true, true, false, false] },
  },
  {
    name: "a conversation is kept, listed, counted, accessed and removed",
    call: async (clients, run) => {
      const tenant = `conversation-${run}`;
      const contextId = "c";
      await sent(clients, "one", { contextId }, tenant);
      await sent(clients, "two", { contextId }, tenant);
      const { conversation } = await clients.conversations.getConversation({ tenant, contextId });
      const listed = await clients.conversations.listConversations({ tenant });
      const { messages } = await clients.conversations.listMessages({ tenant, contextId });
      const newest = await clients.conversations.listMessages({ tenant, contextId, limit: 1 });
      const page = await clients.conversations.listMessages({ tenant, contextId, pageSize: 1 });
      const stats = await clients.conversations.getConversationStats({ tenant });
      await clients.conversations.updateConversationAccess({ tenant, contextId });
      const { deleted } = await clients.conversations.deleteConversation({ tenant, contextId });
      return {
        ids: conversation?.messageIds.length === messages.length,
        listed: listed.conversations.map((each) => each.contextId),
        texts: messages.filter(({ role }) => role === Role.USER).map(({ parts }) => parts[0]?.content.value),
        newest: newest.messages.length,
        page: [page.messages.length, page.nextPageToken !== ""],
        total: Number(stats.totalConversations),
        deleted,
      };
    },
    expected: {
      ok: { ids: true, listed: ["c"], texts: ["one", "two"], newest: 1, page: [1, true], total: 1, deleted: true },
    },
  },
  {
    name: "tenants don't see each other",
    call: async (clients, run) => {
      const { id } = await sent(clients, "secret", {}, `a-${run}`);
      const { exists } = await clients.tasks.taskExists({ tenant: `b-${run}`, taskId: id });
      return exists;
    },
    expected: { ok: false },
  },
];

export const badCalls: readonly Call[] = [
  { name: "no message", call: ({ a2a }) => a2a.sendMessage({}), expected: invalid("message") },
  {
    name: "no parts",
    call: ({ a2a }) => a2a.sendMessage({ message: userMessage("", { parts: [] }) }),
    expected: invalid("message.parts"),
  },
  {
    name: "a part without content",
    call: ({ a2a }) => a2a.sendMessage({ message: userMessage("", { parts: [{ filename: "f" }] }) }),
    expected: invalid("message.parts[0].content"),
  },
  {
    name: "several faults at once, each named",
    call: ({ a2a }) => a2a.sendMessage({ message: { parts: [{}] }, configuration: { historyLength: -1 } }),
    expected: invalid("message.message_id", "message.role", "message.parts[0].content", "configuration.history_length"),
  },
  {
    name: "a message to an unknown task",
    call: ({ a2a }) => a2a.sendMessage({ message: userMessage("x", { taskId: "nowhere" }) }),
    expected: notFound,
  },
  { name: "an unknown task", call: ({ a2a }) => a2a.getTask({ id: "nowhere" }), expected: notFound },
  { name: "an empty task id", call: ({ a2a }) => a2a.getTask({ id: "" }), expected: invalid("id") },
  {
    name: "another tenant's task",
    call: async (clients, run) => clients.a2a.getTask({ tenant: `b-${run}`, id: (await sent(clients, "x")).id }),
    makes: 1,
    expected: notFound,
  },
  {
    name: "a foreign context",
    call: async (clients) =>
      clients.a2a.sendMessage({
        message: userMessage("x", { taskId: (await sent(clients, "ask")).id, contextId: "other" }),
      }),
    makes: 1,
    expected: invalid("message.context_id"),
  },
  {
    name: "a message to a terminal task",
    call: async (clients) =>
      clients.a2a.sendMessage({ message: userMessage("x", { taskId: (await sent(clients, "hello")).id }) }),
    makes: 1,
    expected: unsupported,
  },
  {
    name: "a streamed message to a terminal task",
    call: async (clients) =>
      collected(
        clients.a2a.sendStreamingMessage({ message: userMessage("x", { taskId: (await sent(clients, "hello")).id }) }),
      ),
    makes: 1,
    expected: unsupported,
  },
  {
    name: "a streamed message without a message",
    call: ({ a2a }) => collected(a2a.sendStreamingMessage({})),
    expected: invalid("message"),
  },
  {
    name: "a forged page token",
    call: ({ a2a }) => a2a.listTasks({ pageToken: "bm90IGEgdG9rZW4" }),
    expected: invalid("page_token"),
  },
  {
    name: "a page token of another filter",
    call: async (clients, run) => {
      const contextId = `tokens-${run}`;
      for (const text of ["one", "two"]) await sent(clients, text, { contextId });
      const { nextPageToken } = await clients.a2a.listTasks({ contextId, pageSize: 1 });
      return clients.a2a.listTasks({ pageSize: 1, pageToken: nextPageToken });
    },
    makes: 2,
    expected: invalid("page_token"),
  },
  { name: "page size 0", call: ({ a2a }) => a2a.listTasks({ pageSize: 0 }), expected: invalid("page_size") },
  { name: "page size 101", call: ({ a2a }) => a2a.listTasks({ pageSize: 101 }), expected: invalid("page_size") },
  {
    name: "a negative history of a list",
    call: ({ a2a }) => a2a.listTasks({ historyLength: -1 }),
    expected: invalid("history_length"),
  },
  {
    name: "a negative history",
    call: async (clients) => clients.a2a.getTask({ id: (await sent(clients, "x")).id, historyLength: -5 }),
    makes: 1,
    expected: invalid("history_length"),
  },
  { name: "an id of 257 bytes", call: ({ a2a }) => a2a.getTask({ id: "x".repeat(257) }), expected: invalid("id") },
  {
    name: "a context id of 257 bytes in 129 characters",
    call: ({ a2a }) => a2a.sendMessage({ message: userMessage("x", { contextId: `${"é".repeat(128)}x` }) }),
    expected: invalid("message.context_id"),
  },
  {
    name: "an oversized message",
    call: ({ a2a }) => a2a.sendMessage({ message: userMessage("x".repeat(4 * 1024 * 1024)) }),
    expected: { code: "ResourceExhausted", reason: "TOO_LARGE" },
  },
  {
    name: "a media type that the agent doesn't take",
    call: ({ a2a }) =>
      a2a.sendMessage({
        message: userMessage("", {
          parts: [{ content: { case: "raw", value: new Uint8Array(3) }, mediaType: "image/png" }],
        }),
      }),
    expected: { code: "InvalidArgument", reason: "CONTENT_TYPE_NOT_SUPPORTED" },
  },
  { name: "cancel of an unknown task", call: ({ a2a }) => a2a.cancelTask({ id: "nowhere" }), expected: notFound },
  {
    name: "cancel of a terminal task",
    call: async (clients) => clients.a2a.cancelTask({ id: (await sent(clients, "hello")).id }),
    makes: 1,
    expected: { code: "FailedPrecondition", reason: "TASK_NOT_CANCELABLE" },
  },
  {
    name: "a subscription to an unknown task",
    call: ({ a2a }) => collected(a2a.subscribeToTask({ id: "nowhere" })),
    expected: notFound,
  },
  {
    name: "a subscription to a terminal task",
    call: async (clients) => collected(clients.a2a.subscribeToTask({ id: (await sent(clients, "hello")).id })),
    makes: 1,
    expected: unsupported,
  },
  {
    name: "creating a push config",
    call: ({ a2a }) => a2a.createTaskPushNotificationConfig({ taskId: "t", url: "https://example.org" }),
    expected: noPush,
  },
  {
    name: "getting a push config",
    call: ({ a2a }) => a2a.getTaskPushNotificationConfig({ taskId: "t", id: "c" }),
    expected: noPush,
  },
  {
    name: "listing push configs",
    call: ({ a2a }) => a2a.listTaskPushNotificationConfigs({ taskId: "t" }),
    expected: noPush,
  },
  {
    name: "deleting a push config",
    call: ({ a2a }) => a2a.deleteTaskPushNotificationConfig({ taskId: "t", id: "c" }),
    expected: noPush,
  },
  {
    name: "a push config within a message",
    call: ({ a2a }) =>
      a2a.sendMessage({
        message: userMessage("x"),
        configuration: { taskPushNotificationConfig: { url: "https://example.org" } },
      }),
    expected: noPush,
  },
  { name: "an extended card", call: ({ a2a }) => a2a.getExtendedAgentCard({}), expected: unsupported },
  {
    name: "a cursor above the head",
    call: async (clients) =>
      collected(clients.tasks.watchTask({ taskId: (await sent(clients, "hello")).id, afterSequence: 10_000n })),
    makes: 1,
    expected: { code: "OutOfRange", reason: "OUT_OF_RANGE" },
  },
  {
    name: "a watch of an unknown task",
    call: ({ tasks }) => collected(tasks.watchTask({ taskId: "nowhere" })),
    expected: notFound,
  },
  {
    name: "sequence 0 of a task",
    call: async (clients) => clients.tasks.getTaskAt({ taskId: (await sent(clients, "hello")).id, sequence: 0n }),
    makes: 1,
    expected: { code: "OutOfRange", reason: "OUT_OF_RANGE" },
  },
  {
    name: "removing a task that runs",
    call: async (clients) => clients.tasks.deleteTask({ taskId: (await sent(clients, "ask")).id }),
    makes: 1,
    expected: { code: "FailedPrecondition", reason: "STILL_RUNNING" },
  },
  {
    name: "a conversation that isn't there",
    call: ({ conversations }) => conversations.getConversation({ contextId: "nowhere" }),
    expected: { code: "NotFound", reason: "CONVERSATION_NOT_FOUND" },
  },
  {
    name: "messages of a conversation that isn't there",
    call: ({ conversations }) => conversations.listMessages({ contextId: "nowhere" }),
    expected: { code: "NotFound", reason: "CONVERSATION_NOT_FOUND" },
  },
  {
    name: "0 newest messages",
    call: ({ conversations }) => conversations.listMessages({ contextId: "c", limit: 0 }),
    expected: invalid("limit"),
  },
  {
    name: "-2 newest messages",
    call: ({ conversations }) => conversations.listMessages({ contextId: "c", limit: -2 }),
    expected: invalid("limit"),
  },
  {
    name: "a negative age",
    call: ({ conversations }) => conversations.cleanupExpiredConversations({ maxAgeMs: -1n }),
    expected: invalid("max_age_ms"),
  },
];
