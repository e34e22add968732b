import { text as textOf } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { eventSequenceUri } from "../../../src/transport/calls/event-sequence.ts";
import { callSettings } from "../../../src/transport/connect/connect-routes.ts";
import { jsonRpcHandler } from "../../../src/transport/json-rpc/json-rpc-handler.ts";
import { createListener } from "../../../src/transport/listener/listener.ts";
import { firstOf, respond } from "../../../src/transport/listener/request-handler.ts";
import { eventsOf, type RawServer, startRawServer, userMessage } from "../listener/raw-server.ts";

let raw: RawServer;
beforeAll(async () => {
  raw = await startRawServer();
});
afterAll(() => raw[Symbol.asyncDispose]());

interface Response {
  readonly jsonrpc: string;
  readonly id: unknown;
  readonly result?: Record<string, never>;
  readonly error?: {
    readonly code: number;
    readonly message: string;
    readonly data?: readonly Record<string, unknown>[];
  };
}

const headers = { "content-type": "application/json" };

async function rpc(body: unknown, path = "/") {
  const {
    status,
    headers: received,
    body: text,
  } = await raw.http1(path, { method: "POST", headers, body: typeof body === "string" ? body : JSON.stringify(body) });
  return { status, headers: received, body: text, response: (text === "" ? undefined : JSON.parse(text)) as Response };
}

const request = (method: string, params?: object, id: unknown = 1) => ({
  jsonrpc: "2.0",
  id,
  method,
  ...(params !== undefined && { params }),
});
const send = (content: string, init: object = {}) => request("SendMessage", { message: userMessage(content), ...init });

async function sentTask(content: string, init: object = {}): Promise<string> {
  const { response } = await rpc(send(content, init));
  return (response.result as unknown as { readonly task: { readonly id: string } }).task.id;
}

describe("a call", () => {
  test.each(["http1", "http2"] as const)("is answered in an envelope over %s", async (http) => {
    const {
      status,
      headers: received,
      json,
    } = await raw[http]("/", { method: "POST", headers, body: JSON.stringify(send("hello")) });
    expect([status, received["content-type"]]).toEqual([200, "application/json"]);
    expect(json).toEqual({
      jsonrpc: "2.0",
      id: 1,
      result: { task: expect.objectContaining({ status: expect.objectContaining({ state: "TASK_STATE_COMPLETED" }) }) },
    });
  });

  test.each([1, 0, -1.5, 12_345_678_901, "a", "", "1", null])("has its id echoed with its type: %j", async (id) => {
    const { response } = await rpc(request("ListTasks", {}, id));
    expect([response.id, "result" in response]).toEqual([id, true]);
  });

  test.each([
    "9007199254740993",
    "12345678901234567890",
    "-9223372036854775808",
    "1.5",
    "1e400",
  ])("has a number beyond JavaScript's echoed as written: %s", async (id) => {
    const call = (inner: string) =>
      `{"jsonrpc":"2.0","id":${inner},"method":"SendMessage","params":{"message":{},"id":12345678901234567891}}`;
    const bodies = [call(id), `[${call("1")},${call(id)}]`, `{"jsonrpc":"2.0","id":${id}}`];
    for (const body of bodies) expect((await rpc(body)).body).toContain(`"id":${id},"error"`);
    const stream = `{"jsonrpc":"2.0","id":${id},"method":"SendStreamingMessage","params":{"message":${JSON.stringify(userMessage("stream 1"))}}}`;
    expect((await raw.http1("/", { method: "POST", headers, body: stream })).body).toContain(`"id":${id},"result"`);
  });

  test("without params, with empty ones and with null ones is the same", async () => {
    for (const params of [undefined, {}, null]) {
      const { response } = await rpc({
        jsonrpc: "2.0",
        id: 1,
        method: "GetExtendedAgentCard",
        ...(params !== undefined && { params }),
      });
      expect(response.error).toMatchObject({ code: -32004, data: [{ reason: "UNSUPPORTED_OPERATION" }] });
      expect(
        (await rpc({ jsonrpc: "2.0", id: 1, method: "ListTasks", ...(params !== undefined && { params }) })).response
          .result,
      ).toHaveProperty("nextPageToken");
    }
  });

  test("of our own services goes by the service's name", async () => {
    const id = await sentTask("hello");
    const { response } = await rpc(request("taskmanager.v1.TaskManagerService/TaskExists", { taskId: id }));
    expect(response.result).toEqual({ exists: true });
  });

  test("is served in both types of JSON", async () => {
    const answer = await raw.http1("/", {
      method: "POST",
      headers: { "content-type": "application/a2a+json" },
      body: JSON.stringify(send("hello")),
    });
    expect([answer.status, answer.headers["content-type"]]).toEqual([200, "application/json"]);
  });

  test("leaves what else there is at its path to others", async () => {
    const answer = await raw.http1("/");
    expect([answer.status, answer.body]).toEqual([200, expect.stringContaining("A2A Task Manager")]);
    expect((await raw.http1("/nothing", { method: "POST", headers, body: "{}" })).status).toBe(404);
  });
});

test("a path of its own is served with and without a slash at its end, and no other", async () => {
  const settings = callSettings(raw.server.manager, { a2aVersion: "lenient" });
  const handler = jsonRpcHandler([], { ...settings, path: "/agent" });
  const port = createListener({
    handler: firstOf([handler], (asked, response) => respond(asked, response, { status: 404 }, "")),
    host: "127.0.0.1",
    port: 0,
    logger: settings.logger,
    limits: {},
  });
  const { port: number } = await port.listen();
  try {
    const paths = ["/agent", "/agent/", "/agent?x=1", "/agent//", "/agents", "/"];
    const call = (path: string) =>
      fetch(`http://127.0.0.1:${number}${path}`, { method: "POST", headers, body: JSON.stringify(request("Nothing")) });
    expect(await Promise.all(paths.map(async (path) => (await call(path)).status))).toEqual([
      200, 200, 200, 404, 404, 404,
    ]);
  } finally {
    await port.close(0);
  }
});

describe("codes", () => {
  const invalid = (name: string, body: unknown, code: number, id: unknown = null) => [name, body, code, id] as const;

  test.each([
    invalid("JSON that is cut off", '{"jsonrpc":"2.0",', -32700),
    invalid("no JSON", "hello", -32700),
    invalid("an empty body", "", -32700),
    invalid("a member twice", '{"jsonrpc":"2.0","id":1,"id":2,"method":"ListTasks"}', -32700),
    invalid("a text", '"hello"', -32600),
    invalid("null", "null", -32600),
    invalid("an empty batch", "[]", -32600),
    invalid("no version", { id: 5, method: "ListTasks" }, -32600, 5),
    invalid("version 1.0", { jsonrpc: "1.0", id: "a", method: "ListTasks" }, -32600, "a"),
    invalid("a version that is a number", { jsonrpc: 2, id: 5, method: "ListTasks" }, -32600, 5),
    invalid("no method", { jsonrpc: "2.0", id: 5 }, -32600, 5),
    invalid("a method that is a number", { jsonrpc: "2.0", id: 5, method: 1 }, -32600, 5),
    invalid("an id that is an object", { jsonrpc: "2.0", id: {}, method: "ListTasks" }, -32600),
    invalid("an id that is a boolean", { jsonrpc: "2.0", id: true, method: "ListTasks" }, -32600),
    invalid("params that are a text", { jsonrpc: "2.0", id: 5, method: "ListTasks", params: "x" }, -32600, 5),
    invalid("params by position", request("GetTask", ["t"]), -32602, 1),
    invalid("an unknown method", request("Nothing"), -32601, 1),
    invalid("a method in small letters", request("getTask", { id: "t" }), -32601, 1),
    invalid("a method of every object", request("constructor"), -32601, 1),
    invalid("another service's method by its plain name", request("TaskExists", { taskId: "t" }), -32601, 1),
    invalid("params of the wrong type", request("GetTask", { id: 5 }), -32602, 1),
    invalid("params without what is required", request("GetTask", {}), -32602, 1),
    invalid("an enum's name that doesn't exist", request("ListTasks", { status: "RUNNING" }), -32602, 1),
    invalid("an unknown task", request("GetTask", { id: "nowhere" }), -32001, 1),
    invalid("push notifications", request("GetTaskPushNotificationConfig", { taskId: "t", id: "c" }), -32003, 1),
    invalid("an extended card", request("GetExtendedAgentCard"), -32004, 1),
  ])("%s", async (_name, body, code, id) => {
    const { status, headers: received, response } = await rpc(body);
    expect([status, received["content-type"]]).toEqual([200, "application/json"]);
    expect(response).toEqual({
      jsonrpc: "2.0",
      id,
      error: { code, message: expect.any(String), ...(response.error?.data && { data: response.error.data }) },
    });
    expect((response.error?.data ?? []).every((detail) => typeof detail["@type"] === "string")).toBe(true);
  });

  test.each([
    ["{", "Invalid JSON payload"],
    [{ id: 5, method: "ListTasks" }, "Request payload validation error"],
    [request("Nothing"), "Method not found"],
    [request("GetTask", ["t"]), "Invalid parameters"],
  ])("begin their messages as the specification words them (R164): %j is %s", async (body, words) => {
    expect((await rpc(body)).response.error?.message.split(":")[0]).toBe(words);
  });

  test("quote an unknown method of any length in a few bytes", async () => {
    const { response } = await rpc(request("x".repeat(1_000_000)));
    expect(response.error?.code).toBe(-32601);
    expect(JSON.stringify(response).length).toBeLessThan(2_000);
  });

  test("a task that can't be canceled, and one that takes no more messages", async () => {
    const id = await sentTask("hello");
    expect((await rpc(request("CancelTask", { id }))).response.error).toMatchObject({
      code: -32002,
      data: [{ reason: "TASK_NOT_CANCELABLE" }],
    });
    expect(
      (await rpc(request("SendMessage", { message: userMessage("x", { taskId: id }) }))).response.error?.code,
    ).toBe(-32004);
  });

  test("a media type that the agent doesn't take, and one of HTTP", async () => {
    const message = { ...userMessage(""), parts: [{ raw: "AQI=", mediaType: "image/png" }] };
    expect((await rpc(request("SendMessage", { message }))).response.error?.code).toBe(-32005);
    const { json } = await raw.http1("/", {
      method: "POST",
      headers: { "content-type": "text/plain" },
      body: JSON.stringify(send("hello")),
    });
    expect(json).toMatchObject({ id: null, error: { code: -32005, data: [{ reason: "CONTENT_TYPE_NOT_SUPPORTED" }] } });
  });

  test("each field at fault is named", async () => {
    const { response } = await rpc(
      request("SendMessage", { message: { parts: [{}] }, configuration: { historyLength: -1 } }),
    );
    expect(response.error?.data?.[1]).toMatchObject({
      "@type": "type.googleapis.com/google.rpc.BadRequest",
      fieldViolations: [
        "message.messageId",
        "message.role",
        "message.parts[0].content",
        "configuration.historyLength",
      ].map((field) => ({ field })),
    });
  });

  test("what is too large, and the server goes on", async () => {
    const { response } = await rpc(`"${"x".repeat(16 * 1024 * 1024)}"`);
    expect(response).toMatchObject({ id: null, error: { code: -32602, data: [{ reason: "TOO_LARGE" }] } });
    expect((await rpc(request("ListTasks"))).response.result).toBeDefined();
  });

  test.each([
    ["tasks/send", "SendMessage"],
    ["tasks/sendSubscribe", "SendStreamingMessage"],
  ])("%s of A2A 0.2 is told what it became", async (method, successor) => {
    const { response } = await rpc(request(method, { id: "t", message: { role: "user", parts: [] } }));
    expect(response.error).toMatchObject({
      code: -32601,
      message: expect.stringContaining(`"${successor}"`),
      data: [{ metadata: { method, successor } }],
    });
  });
});

describe("versions", () => {
  test.each([
    ["SomethingNew", "2.0", -32009],
    ["message/send", "0.2.5", -32009],
    ["message/send", "none", -32009],
    ["SomethingNew", "1.0", -32601],
    ["tasks/send", "0.2", -32601],
  ])("a method that isn't here, %s of version %s, is answered with %d (R137)", async (method, version, code) => {
    const { json } = await raw.http1("/", {
      method: "POST",
      headers: { ...headers, "A2A-Version": version },
      body: JSON.stringify(request(method)),
    });
    expect(json).toMatchObject({ id: 1, error: { code } });
  });
});

describe("extensions", () => {
  const asking = { ...headers, "A2A-Extensions": `urn:x:unknown, ${eventSequenceUri}` };

  test.each([
    ["a result", request("ListTasks")],
    ["an error", request("GetTask", { id: "nowhere" })],
    ["a refused stream", request("SubscribeToTask", { id: "nowhere" })],
    ["a notification", { jsonrpc: "2.0", method: "ListTasks" }],
    ["a batch", [request("ListTasks"), request("ListTasks", {}, 2)]],
    ["a batch that begins with what is no call", [{ foo: 1 }, request("Nothing"), request("ListTasks")]],
    ["a batch of notifications", [{ jsonrpc: "2.0", method: "ListTasks" }]],
  ])("that are active are told with %s (R145)", async (_name, body) => {
    const answer = await raw.http1("/", { method: "POST", headers: asking, body: JSON.stringify(body) });
    expect(answer.headers["a2a-extensions"]).toBe(eventSequenceUri);
  });
});

describe("notifications", () => {
  test("are carried out, and not answered", async () => {
    const contextId = crypto.randomUUID();
    const {
      status,
      body,
      headers: received,
    } = await rpc({ jsonrpc: "2.0", method: "SendMessage", params: { message: userMessage("hello", { contextId }) } });
    expect([status, body, received["content-type"]]).toEqual([204, "", undefined]);
    expect((await rpc(request("ListTasks", { contextId }))).response.result).toMatchObject({ totalSize: 1 });
  });

  test("of streams are carried out too", async () => {
    const contextId = crypto.randomUUID();
    const { status, body } = await rpc({
      jsonrpc: "2.0",
      method: "SendStreamingMessage",
      params: { message: userMessage("hello", { contextId }) },
    });
    expect([status, body]).toEqual([204, ""]);
    await expect
      .poll(
        async () => (await rpc(request("ListTasks", { contextId, status: "TASK_STATE_COMPLETED" }))).response.result,
      )
      .toMatchObject({ totalSize: 1 });
  });

  test.each([
    ["an unknown method", { jsonrpc: "2.0", method: "Nothing" }],
    ["params that are refused", { jsonrpc: "2.0", method: "GetTask", params: {} }],
  ])("that fail aren't answered either: %s", async (_name, body) => {
    expect((await rpc(body)).status).toBe(204);
  });
});

describe("batches", () => {
  test("are answered together, without what asks for no answer", async () => {
    const {
      status,
      headers: received,
      body,
    } = await rpc([
      request("GetTask", { id: "nowhere" }, "a"),
      { jsonrpc: "2.0", method: "ListTasks" },
      send("hello"),
      { foo: 1 },
      request("Nothing", {}, 7),
      3,
    ]);
    expect([status, received["content-type"]]).toEqual([200, "application/json"]);
    const responses = JSON.parse(body) as Response[];
    expect(responses.map(({ id, error }) => [id, error?.code])).toEqual([
      ["a", -32001],
      [1, undefined],
      [null, -32600],
      [7, -32601],
      [null, -32600],
    ]);
  });

  test("of notifications alone aren't answered", async () => {
    const { status, body } = await rpc([{ jsonrpc: "2.0", method: "ListTasks" }]);
    expect([status, body]).toEqual([204, ""]);
  });

  test("can't have a stream among them: that call is refused, the others aren't", async () => {
    const { body } = await rpc([
      request("SendStreamingMessage", { message: userMessage("hello") }, 1),
      request("ListTasks", {}, 2),
    ]);
    expect((JSON.parse(body) as Response[]).map(({ id, error }) => [id, error?.code])).toEqual([
      [1, -32600],
      [2, undefined],
    ]);
  });

  test("have a bound", async () => {
    const calls = (count: number) =>
      Array.from({ length: count }, (_, id) => request("GetTask", { id: "nowhere" }, id));
    expect(JSON.parse((await rpc(calls(50))).body)).toHaveLength(50);
    expect((await rpc(calls(51))).response).toMatchObject({ id: null, error: { code: -32600 } });
  });
});

describe("streams", () => {
  const parsed = (body: string) => eventsOf(body).events.map(({ data = "" }) => JSON.parse(data) as Response);

  test.each(["http1", "http2"] as const)("have a whole response in each event, over %s", async (http) => {
    const body = JSON.stringify(request("SendStreamingMessage", { message: userMessage("stream 3") }, "s"));
    const answer = await raw[http]("/", { method: "POST", headers: { ...headers, accept: "text/event-stream" }, body });
    expect([answer.status, answer.headers["content-type"]]).toEqual([200, "text/event-stream"]);
    const events = parsed(answer.body);
    expect(events.map(({ jsonrpc, id, result }) => [jsonrpc, id, Object.keys(result ?? {}).join()])).toEqual(
      ["task", "statusUpdate", "artifactUpdate", "artifactUpdate", "artifactUpdate", "statusUpdate"].map((kind) => [
        "2.0",
        "s",
        kind,
      ]),
    );
  });

  test("that are refused are plain answers", async () => {
    for (const [body, code] of [
      [request("SendStreamingMessage", {}), -32602],
      [request("SubscribeToTask", { id: "nowhere" }), -32001],
      [request("SubscribeToTask", { id: await sentTask("hello") }), -32004],
    ] as const) {
      const { status, headers: received, response } = await rpc(body);
      expect([status, received["content-type"], response.error?.code]).toEqual([200, "application/json", code]);
    }
  });

  test("fill silence with comments", async () => {
    await using quiet = await startRawServer({ calls: { heartbeatMs: 20 } });
    const call = (body: object) => ({ method: "POST", headers, body: JSON.stringify(body) });
    const asked = (await quiet.http1("/", call(send("ask what?")))).json as unknown as {
      readonly result: { readonly task: { readonly id: string } };
    };
    let received = "";
    for await (const chunk of await quiet.open("/", call(request("SubscribeToTask", { id: asked.result.task.id })))) {
      received += chunk;
      if (eventsOf(received).comments >= 3) break;
    }
    expect(eventsOf(received).events).toHaveLength(1);
  });

  test("end with an error as their last event when the server goes down", async () => {
    const going = await startRawServer();
    const call = (body: object) => ({ method: "POST", headers, body: JSON.stringify(body) });
    const asked = (await going.http1("/", call(send("ask what?")))).json as unknown as {
      readonly result: { readonly task: { readonly id: string } };
    };
    const response = await going.open("/", call(request("SubscribeToTask", { id: asked.result.task.id }, "s")));
    const body = textOf(response);
    await going[Symbol.asyncDispose]();
    const events = parsed(await body);
    expect(events.map(({ id, error }) => [id, error?.code])).toEqual([
      ["s", undefined],
      ["s", -32603],
    ]);
  });
});
