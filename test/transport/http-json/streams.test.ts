import { once } from "node:events";
import { connect as connectHttp2, constants } from "node:http2";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { eventsOf, type RawRequest, type RawServer, startRawServer, userMessage } from "../listener/raw-server.ts";

let raw: RawServer;
beforeAll(async () => {
  raw = await startRawServer();
});
afterAll(() => raw[Symbol.asyncDispose]());

const post = (body: object, headers: Record<string, string> = {}): RawRequest => ({
  method: "POST",
  headers: { "content-type": "application/json", ...headers },
  body: JSON.stringify(body),
});

const parsed = (body: string) => eventsOf(body).events.map(({ data = "" }) => JSON.parse(data));

async function startedTask(content: string): Promise<string> {
  const { json } = await raw.http1(
    "/message:send",
    post({ message: userMessage(content), configuration: { returnImmediately: true } }),
  );
  return (json as unknown as { readonly task: { readonly id: string } }).task.id;
}

async function stateOf(id: string): Promise<string> {
  const { json } = await raw.http1(`/tasks/${id}`);
  return (json as unknown as { readonly status: { readonly state: string } }).status.state;
}

describe.each(["http1", "http2"] as const)("a stream over %s", (http) => {
  test("is one line of JSON for each event, in an answer that proxies pass on", async () => {
    const { status, headers, body } = await raw[http](
      "/message:stream",
      post({ message: userMessage("stream 5") }, { accept: "text/event-stream" }),
    );
    expect(status).toBe(200);
    expect(headers).toMatchObject({
      "content-type": "text/event-stream",
      "cache-control": "no-store, no-transform",
      "x-accel-buffering": "no",
    });
    expect(body.split("\n\n").every((block) => block === "" || /^data: \{.*\}$/.test(block))).toBe(true);
    const events = parsed(body);
    expect(events.map((event) => Object.keys(event).join())).toEqual([
      "task",
      "statusUpdate",
      ...Array(5).fill("artifactUpdate"),
      "statusUpdate",
    ]);
    expect(events.at(-1)).toMatchObject({ statusUpdate: { status: { state: "TASK_STATE_COMPLETED" } } });
  });

  test("of a bare message is one event", async () => {
    const { body } = await raw[http]("/message:stream", post({ message: userMessage("reply hi") }));
    expect(parsed(body)).toMatchObject([{ message: { role: "ROLE_AGENT", parts: [{ text: "hi" }] } }]);
  });

  test.each<[string, RawRequest]>([
    ["GET", {}],
    ["POST without a body", { method: "POST" }],
    ["POST without a body but with its type", { method: "POST", headers: { "content-type": "application/json" } }],
    ["POST with a body", { method: "POST", headers: { "content-type": "application/json" }, body: "{}" }],
  ])("of a running task by %s", async (_name, request) => {
    const id = await startedTask("count 3 20");
    const { body } = await raw[http](`/tasks/${id}:subscribe`, request);
    const events = parsed(body);
    expect(events[0]).toMatchObject({ task: { id } });
    expect(events.at(-1)).toMatchObject({ statusUpdate: { status: { state: "TASK_STATE_COMPLETED" } } });
  });

  test("that is refused is an ordinary error", async () => {
    const done = await startedTask("hello");
    await expect.poll(() => stateOf(done)).toBe("TASK_STATE_COMPLETED");
    for (const [path, request, expected] of [
      ["/tasks/nowhere:subscribe", {}, [404, "TASK_NOT_FOUND", "application/a2a+json"]],
      [`/tasks/${done}:subscribe`, { method: "POST" }, [400, "UNSUPPORTED_OPERATION", "application/a2a+json"]],
      // A client that accepts only events gets the refusal in the content type of its request.
      ["/message:stream", post({}), [400, "INVALID_REQUEST", "application/json"]],
      [
        "/message:stream",
        post({ message: userMessage("x", { taskId: done }) }),
        [400, "UNSUPPORTED_OPERATION", "application/json"],
      ],
      [
        "/message:stream",
        post({ message: userMessage("x") }, { accept: "text/html" }),
        [406, undefined, "application/a2a+json"],
      ],
    ] as const) {
      const answer = await raw[http](path, {
        ...request,
        headers: { accept: "text/event-stream", ...("headers" in request ? request.headers : {}) },
      });
      const { error } = answer.json as unknown as {
        readonly error: { readonly details: readonly { readonly reason: string }[] };
      };
      expect([answer.status, error.details[0]?.reason, answer.headers["content-type"]]).toEqual(expected);
    }
  });

  test("is asked for by HEAD without being read", async () => {
    const id = await startedTask("ask");
    const { status, headers, body } = await raw[http](`/tasks/${id}:subscribe`, { method: "HEAD" });
    expect([status, headers["content-type"], body]).toEqual([200, "text/event-stream", ""]);
  });
});

test("a watch by GET goes on after its cursor", async () => {
  const id = await startedTask("stream 4");
  await expect.poll(() => stateOf(id)).toBe("TASK_STATE_COMPLETED");
  const all = parsed((await raw.http1(`/taskmanager/v1/tasks/${id}:watch?afterSequence=0`)).body);
  const rest = parsed((await raw.http1(`/taskmanager/v1/tasks/${id}:watch?afterSequence=${all[2].sequence}`)).body);
  expect(rest).toEqual(all.slice(3));
});

test("each event is with the client before the next one exists", async () => {
  const response = await raw.open("/message:stream", post({ message: userMessage("ask what?") }));
  let received = "";
  for await (const chunk of response) {
    received += chunk;
    if (received.includes("INPUT_REQUIRED")) break;
  }
  expect(received.startsWith('data: {"task":')).toBe(true);
});

test("a hang-up never touches the task", async () => {
  const response = await raw.open("/message:stream", post({ message: userMessage("count 20 20") }));
  const [first] = (await once(response, "data")) as [Buffer];
  const [{ task }] = parsed(String(first));
  response.destroy();
  await expect.poll(() => stateOf(task.id), { timeout: 20_000 }).toBe("TASK_STATE_COMPLETED");
});

test.each([
  "http1",
  "http2",
] as const)("a client that doesn't read and goes away leaves nothing behind, over %s", async (http) => {
  await using own = await startRawServer();
  const timers = () => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
  const before = timers();
  const request = post({ message: userMessage("stream 50000 400") });
  if (http === "http1") {
    const response = await own.open("/message:stream", request);
    await once(response, "readable");
    response.destroy();
  } else {
    const session = connectHttp2(own.server.url.origin);
    const stream = session.request({ ":method": "POST", ":path": "/message:stream", ...request.headers });
    stream.end(request.body);
    await once(stream, "response");
    stream.close(constants.NGHTTP2_CANCEL);
    session.close();
  }
  await expect.poll(timers, { timeout: 20_000 }).toBeLessThanOrEqual(before);
});

test("silence is filled with comments", async () => {
  await using quiet = await startRawServer({ calls: { heartbeatMs: 20 } });
  const response = await quiet.open("/message:stream", post({ message: userMessage("ask what?") }));
  await text(response);
  const { json } = await quiet.http1("/tasks");
  const { tasks } = json as unknown as { readonly tasks: readonly { readonly id: string }[] };
  const silent = await quiet.open(`/tasks/${tasks[0]?.id}:subscribe`);
  let received = "";
  for await (const chunk of silent) {
    received += chunk;
    if (eventsOf(received).comments >= 3) break;
  }
  expect(eventsOf(received).events).toHaveLength(1);
});

test("a server that goes down ends its streams with an error as the last event", async () => {
  const going = await startRawServer();
  const asked = await going.http1("/message:send", post({ message: userMessage("ask what?") }));
  const { id } = (asked.json as unknown as { readonly task: { readonly id: string } }).task;
  const response = await going.open(`/tasks/${id}:subscribe`);
  const [first] = (await once(response, "data")) as [Buffer];
  const rest = text(response);
  await going[Symbol.asyncDispose]();
  const { events } = eventsOf(String(first) + (await rest));
  expect(events.map(({ event = "message" }) => event)).toEqual(["message", "error"]);
  expect(JSON.parse(events[1]?.data ?? "")).toMatchObject({
    error: { code: 503, status: "UNAVAILABLE", details: [{ reason: "UNAVAILABLE" }] },
  });
});
