import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { MessageProcessor, ProcessOptions } from "../../../src/agent/message-processor.ts";
import { completed } from "../../../src/agent/processor-events.ts";
import { eventSequenceUri, sequenceKey } from "../../../src/transport/calls/event-sequence.ts";
import { eventsOf, type RawServer, startRawServer } from "../listener/raw-server.ts";

let raw: RawServer;
beforeAll(async () => {
  raw = await startRawServer();
});
afterAll(() => raw[Symbol.asyncDispose]());

type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };
interface Response {
  readonly id: unknown;
  readonly result?: { readonly [name: string]: never };
  readonly error?: {
    readonly code: number;
    readonly message: string;
    readonly data?: readonly Record<string, never>[];
  };
}

const post = (body: unknown, headers: Record<string, string> = {}) =>
  raw.http1("/", {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify(body),
  });

async function rpc(method: string, params?: Json, headers: Record<string, string> = {}): Promise<Response> {
  const { json } = await post({ jsonrpc: "2.0", id: "i", method, ...(params !== undefined && { params }) }, headers);
  return json as unknown as Response;
}

interface Event {
  readonly kind: string;
  readonly status?: { readonly state: string };
  readonly final?: boolean;
}

/** What the events of a stream hold, each in an answer to the request. */
function resultsOf(body: string, id: number): readonly Event[] {
  return eventsOf(body).events.map(({ data = "" }) => {
    const response = JSON.parse(data) as { readonly jsonrpc: string; readonly id: unknown; readonly result: Event };
    expect([response.jsonrpc, response.id]).toEqual(["2.0", id]);
    return response.result;
  });
}

let ids = 0;
function message(text: string, init: { readonly [name: string]: Json } = {}): { readonly [name: string]: Json } {
  ids += 1;
  return { kind: "message", messageId: `v03-${ids}`, role: "user", parts: [{ kind: "text", text }], ...init };
}

const uuid = expect.stringMatching(/^[0-9a-f-]{36}$/);
const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);

describe("a version 0.3 client", () => {
  test("is answered with the bare task, in the older form", async () => {
    const { result } = await rpc("message/send", { message: message("hello") });
    expect(result).toEqual({
      kind: "task",
      id: uuid,
      contextId: uuid,
      status: { state: "completed", timestamp: time },
      history: [
        {
          kind: "message",
          messageId: expect.any(String),
          contextId: uuid,
          taskId: uuid,
          role: "user",
          parts: [{ kind: "text", text: "hello" }],
        },
      ],
      artifacts: [{ artifactId: "echo", name: "Echo", parts: [{ kind: "text", text: "hello" }] }],
    });
  });

  test("is answered with a bare message", async () => {
    const { result } = await rpc("message/send", { message: message("reply hi") });
    expect(result).toEqual({
      kind: "message",
      messageId: uuid,
      contextId: uuid,
      role: "agent",
      parts: [{ kind: "text", text: "hi" }],
    });
  });

  test.each([
    ["stream 2 5", ["artifact-update", "artifact-update", "status-update completed final"]],
    ["ask what?", ["status-update input-required final"]],
  ])('streams "%s": the task first, the last status marked final', async (text, expected) => {
    const { headers, body } = await post({
      jsonrpc: "2.0",
      id: 7,
      method: "message/stream",
      params: { message: message(text) },
    });
    expect(headers["content-type"]).toMatch(/^text\/event-stream/);
    const [first, ...others] = resultsOf(body, 7);
    expect(first).toMatchObject({ kind: "task", id: uuid });
    const seen = others.map(({ kind, status, final }) =>
      [kind, status?.state, final ? "final" : undefined].filter((word) => word !== undefined).join(" "),
    );
    // The stream may begin before or after the agent is at work.
    expect(seen.filter((event) => event !== "status-update working")).toEqual(expected);
  });

  test("has every kind of part kept, and given back as it came", async () => {
    const parts: Json = [
      { kind: "text", text: "hello", metadata: { a: 1 } },
      { kind: "data", data: { n: [1, null, { deep: "" }] } },
      { kind: "data", data: { value: [1, 2] }, metadata: { data_part_compat: true } },
      { kind: "file", file: { uri: "https://example.com/x", mimeType: "text/plain", name: "x" } },
    ];
    const sent = await rpc("message/send", {
      message: message("", { parts, metadata: { m: 1 }, referenceTaskIds: ["t"], extensions: ["urn:x"] }),
    });
    const { result } = await rpc("tasks/get", { id: (sent.result as unknown as { id: string }).id, historyLength: 0 });
    expect(result?.history).toMatchObject([
      { parts, metadata: { m: 1 }, referenceTaskIds: ["t"], extensions: ["urn:x"] },
    ]);
  });

  test("shares its tasks with version 1.0: read, answered and canceled in either", async () => {
    const asked = (await rpc("message/send", { message: message("ask what?") })).result as unknown as {
      id: string;
      contextId: string;
    };
    const current = await rpc("GetTask", { id: asked.id }, { "A2A-Version": "1.0" });
    expect(current.result).toMatchObject({ id: asked.id, status: { state: "TASK_STATE_INPUT_REQUIRED" } });
    const answered = await rpc("message/send", {
      message: message("this", { taskId: asked.id, contextId: asked.contextId }),
      configuration: { blocking: true },
    });
    expect(answered.result).toMatchObject({ id: asked.id, status: { state: "completed" } });
    const again = (await rpc("message/send", { message: message("ask what?") })).result as unknown as { id: string };
    expect((await rpc("tasks/cancel", { id: again.id })).result).toMatchObject({
      kind: "task",
      status: { state: "canceled" },
    });
    const v1 = { "A2A-Version": "1.0" };
    const send = (taskId?: string) =>
      rpc(
        "SendMessage",
        {
          message: {
            messageId: crypto.randomUUID(),
            role: "ROLE_USER",
            parts: [{ text: "ask" }],
            ...(taskId && { taskId }),
          },
        },
        v1,
      );
    const [first, second] = await Promise.all(
      [send(), send()].map(async (sent) => ((await sent).result as unknown as { task: { id: string } }).task.id),
    );
    expect((await rpc("message/send", { message: message("this", { taskId: first ?? "" }) })).result).toMatchObject({
      id: first,
      status: { state: "completed" },
    });
    expect((await rpc("tasks/cancel", { id: second ?? "" })).result).toMatchObject({
      id: second,
      status: { state: "canceled" },
    });
    const older = await Promise.all(
      ["one", "two"].map(
        async () =>
          ((await rpc("message/send", { message: message("ask what?") })).result as unknown as { id: string }).id,
      ),
    );
    expect((await send(older[0])).result).toMatchObject({
      task: { id: older[0], status: { state: "TASK_STATE_COMPLETED" } },
    });
    expect((await rpc("CancelTask", { id: older[1] ?? "" }, v1)).result).toMatchObject({
      id: older[1],
      status: { state: "TASK_STATE_CANCELED" },
    });
  });

  test("doesn't wait where it sets blocking to false, and resubscribes", async () => {
    const started = await rpc("message/send", {
      message: message("count 3 50"),
      configuration: { blocking: false, acceptedOutputModes: ["text/plain"] },
    });
    const { id, status } = started.result as unknown as { id: string; status: { state: string } };
    expect(["submitted", "working"]).toContain(status.state);
    const { body } = await post({ jsonrpc: "2.0", id: 1, method: "tasks/resubscribe", params: { id } });
    const events = resultsOf(body, 1);
    expect([events[0], events.at(-1)]).toMatchObject([
      { kind: "task", id },
      { kind: "status-update", status: { state: "completed" }, final: true },
    ]);
  });

  const refused: readonly (readonly [string, string, Json, number, string])[] = [
    ["an unknown task", "tasks/get", { id: "nowhere" }, -32001, "TASK_NOT_FOUND"],
    ["a task without an id", "tasks/get", {}, -32602, "INVALID_REQUEST"],
    ["a message of no role", "message/send", { message: message("x", { role: "system" }) }, -32602, "INVALID_REQUEST"],
    [
      "a part of no kind",
      "message/send",
      { message: message("x", { parts: [{ text: "x" }] }) },
      -32602,
      "INVALID_REQUEST",
    ],
    [
      "a file of nothing",
      "message/send",
      { message: message("x", { parts: [{ kind: "file", file: { name: "x" } }] }) },
      -32602,
      "INVALID_REQUEST",
    ],
    ["no message", "message/send", {}, -32602, "INVALID_REQUEST"],
    [
      "a push config",
      "tasks/pushNotificationConfig/set",
      { taskId: "t", pushNotificationConfig: { url: "https://example.com" } },
      -32003,
      "PUSH_NOTIFICATION_NOT_SUPPORTED",
    ],
    [
      "the list of push configs",
      "tasks/pushNotificationConfig/list",
      { id: "t" },
      -32003,
      "PUSH_NOTIFICATION_NOT_SUPPORTED",
    ],
    ["a push config again", "tasks/pushNotificationConfig/get", { id: "t" }, -32003, "PUSH_NOTIFICATION_NOT_SUPPORTED"],
    [
      "to delete a push config",
      "tasks/pushNotificationConfig/delete",
      { id: "t", pushNotificationConfigId: "c" },
      -32003,
      "PUSH_NOTIFICATION_NOT_SUPPORTED",
    ],
    ["the extended card", "agent/getAuthenticatedExtendedCard", {}, -32004, "UNSUPPORTED_OPERATION"],
  ];
  test.each(refused)("is refused %s with its code", async (_, method, params, code, reason) => {
    const { error } = await rpc(method, params);
    expect([error?.code, error?.data?.[0]?.reason]).toEqual([code, reason]);
  });

  test("is told the field at fault by its older name", async () => {
    const { error } = await rpc("message/send", {
      message: message("x", { parts: [{ kind: "text", text: "a" }, { kind: "text" }] }),
    });
    expect(JSON.stringify(error?.data)).toContain("message.parts[1].text");
  });

  test("is refused a stream by a plain answer", async () => {
    const { headers, json } = await post({
      jsonrpc: "2.0",
      id: 1,
      method: "tasks/resubscribe",
      params: { id: "nowhere" },
    });
    expect([headers["content-type"], json]).toMatchObject(["application/json", { error: { code: -32001 } }]);
  });

  test.each(["0.3", "0.3.0", " 0.3 "])("may say its version, %j", async (version) => {
    expect((await rpc("message/send", { message: message("hello") }, { "A2A-Version": version })).result).toMatchObject(
      { kind: "task" },
    );
  });

  test.each([
    ["a result", "message/send", () => ({ message: message("hello") })],
    ["a stream", "message/stream", () => ({ message: message("stream 1") })],
    ["an error", "tasks/get", () => ({ id: "nowhere" })],
  ] as const)("names extensions by the older header, and is told by it which are active, with %s", async (_name, method, params) => {
    const { headers, body } = await post(
      { jsonrpc: "2.0", id: 1, method, params: params() },
      { "X-A2A-Extensions": eventSequenceUri },
    );
    expect(headers["x-a2a-extensions"]).toBe(eventSequenceUri);
    expect(body.includes(sequenceKey)).toBe(method !== "tasks/get");
    const { events } = eventsOf(body);
    for (const { id, data } of method === "message/stream" ? events : [])
      expect(data).toContain(`"${sequenceKey}":"${id}"`);
  });

  test.each([
    ["ask what?", "input-required"],
    ["fail x", "failed"],
    ["reject x", "rejected"],
    ["hello", "completed"],
  ])("is told by `final` that a stream ends: %s", async (text, state) => {
    const { body } = await post({
      jsonrpc: "2.0",
      id: 1,
      method: "message/stream",
      params: { message: message(text) },
    });
    const updates = resultsOf(body, 1).filter(({ kind }) => kind === "status-update");
    expect(updates.at(-1)).toMatchObject({ status: { state }, final: true });
    expect(updates.slice(0, -1).map(({ final }) => final)).toEqual(updates.slice(0, -1).map(() => false));
  });

  test("keeps its stream where a credential is waited for, and is told so", async () => {
    const contextId = crypto.randomUUID();
    const streamed = post({
      jsonrpc: "2.0",
      id: 1,
      method: "message/stream",
      params: { message: message("auth me", { contextId }) },
    });
    const waiting = async () =>
      (await rpc("ListTasks", { contextId, status: "TASK_STATE_AUTH_REQUIRED" }, { "A2A-Version": "1.0" }))
        .result as unknown as { tasks: { id: string }[] };
    await expect.poll(async () => (await waiting()).tasks).toHaveLength(1);
    await rpc("tasks/cancel", { id: (await waiting()).tasks[0]?.id ?? "" });
    const told = resultsOf((await streamed).body, 1).map(({ status, final }) => [status?.state, final]);
    expect(told.slice(-2)).toEqual([
      ["auth-required", false],
      ["canceled", true],
    ]);
  });

  test("has its configuration and metadata known to the agent", async () => {
    const options: ProcessOptions[] = [];
    const processor: MessageProcessor = {
      async *processMessage(context) {
        options.push(context.options);
        yield completed();
      },
    };
    await using own = await startRawServer({ processor });
    const send = async (params: { readonly [name: string]: Json }) => {
      const body = JSON.stringify({
        jsonrpc: "2.0",
        id: 1,
        method: "message/send",
        params: { message: message("x"), ...params },
      });
      expect(
        (await own.http1("/", { method: "POST", headers: { "content-type": "application/json" }, body })).json,
      ).toHaveProperty("result");
    };
    await send({ metadata: { m: 1 } });
    await send({ configuration: { blocking: true, historyLength: 0 } });
    await send({
      configuration: { blocking: null, historyLength: 2, acceptedOutputModes: ["text/plain"] },
      metadata: null,
    });
    await send({ configuration: { blocking: false } });
    await expect
      .poll(() => options.map(({ blocking, historyLength, metadata }) => [blocking, historyLength, metadata]))
      .toEqual([
        [true, undefined, { m: 1 }],
        [true, undefined, undefined],
        [true, 2, undefined],
        [false, undefined, undefined],
      ]);
    expect(options.map(({ acceptedOutputModes }) => acceptedOutputModes)).toEqual([[], [], ["text/plain"], []]);
  });

  test("may say why it cancels", async () => {
    expect((await rpc("tasks/cancel", { id: "nowhere", metadata: 5 })).error).toMatchObject({
      code: -32602,
      message: expect.stringContaining("metadata"),
    });
    const { id } = (await rpc("message/send", { message: message("ask what?") })).result as unknown as { id: string };
    expect((await rpc("tasks/cancel", { id, metadata: { why: "enough" } })).result).toMatchObject({
      status: { state: "canceled" },
    });
  });

  test("is refused by what the card says before its params are looked at", async () => {
    expect((await rpc("tasks/pushNotificationConfig/set", {})).error?.code).toBe(-32003);
  });

  test("has no method of version 1.0, which has none of version 0.3", async () => {
    expect((await rpc("SendMessage", { message: message("hello") }, { "A2A-Version": "0.3" })).error?.code).toBe(
      -32601,
    );
    expect((await rpc("message/send", { message: message("hello") }, { "A2A-Version": "1.0" })).error?.code).toBe(
      -32601,
    );
  });

  test.each(["tasks/send", "tasks/sendSubscribe"])("of version 0.2 is told what %s became", async (method) => {
    expect((await rpc(method, {})).error).toMatchObject({ code: -32601, message: expect.stringContaining("Send") });
  });
});
