import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type RawRequest, type RawServer, startRawServer, userMessage } from "../listener/raw-server.ts";

let raw: RawServer;
beforeAll(async () => {
  raw = await startRawServer();
});
afterAll(() => raw[Symbol.asyncDispose]());

const json = "application/json";
const a2aJson = "application/a2a+json";
const post = (body: unknown, headers: Record<string, string> = {}): RawRequest => ({
  method: "POST",
  headers: { "content-type": json, ...headers },
  body: typeof body === "string" ? body : JSON.stringify(body),
});

async function sentTask(text = "hello", init: object = {}): Promise<string> {
  const { json: answer } = await raw.http1("/message:send", post({ message: userMessage(text, init) }));
  return (answer as unknown as { readonly task: { readonly id: string } }).task.id;
}

const told = (answer: { readonly json: unknown }) =>
  (answer.json as { readonly error: Record<string, never> }).error as Record<string, unknown>;
const fieldsOf = (answer: { readonly json: unknown }) =>
  (told(answer).details as { readonly fieldViolations?: { readonly field: string }[] }[]).flatMap(
    ({ fieldViolations = [] }) => fieldViolations.map(({ field }) => field),
  );

describe.each(["http1", "http2"] as const)("over %s", (http) => {
  const call: RawServer["http1"] = (path, request) => raw[http](path, request);

  test("a message is sent, and its task read, listed and not canceled any more", async () => {
    const { status, json: sent } = await call("/message:send", post({ message: userMessage("hello") }));
    const { task } = sent as unknown as { readonly task: { readonly id: string; readonly contextId: string } };
    expect([status, task]).toEqual([
      200,
      expect.objectContaining({ status: expect.objectContaining({ state: "TASK_STATE_COMPLETED" }) }),
    ]);
    expect((await call(`/tasks/${task.id}?historyLength=0`)).json).not.toHaveProperty("history");
    const listed = await call(`/tasks?contextId=${task.contextId}&includeArtifacts=true`);
    expect(listed.json).toMatchObject({
      tasks: [{ id: task.id, artifacts: [{ artifactId: "echo" }] }],
      nextPageToken: "",
      pageSize: 50,
      totalSize: 1,
    });
    const { tasks } = (await call(`/tasks?contextId=${task.contextId}`)).json as unknown as {
      readonly tasks: readonly object[];
    };
    for (const each of tasks) expect(each).not.toHaveProperty("artifacts");
    const canceled = await call(`/tasks/${task.id}:cancel`, { method: "POST" });
    expect([canceled.status, told(canceled)]).toMatchObject([400, { code: 400, status: "FAILED_PRECONDITION" }]);
  });

  test("an error has its envelope, with details that name their types", async () => {
    const { status, headers, json: body } = await call("/tasks/nowhere");
    expect([status, headers["content-type"]]).toEqual([404, a2aJson]);
    expect(body).toEqual({
      error: {
        code: 404,
        status: "NOT_FOUND",
        message: 'No task "nowhere"',
        details: [
          {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            reason: "TASK_NOT_FOUND",
            domain: "a2a-protocol.org",
            metadata: { taskId: "nowhere" },
          },
        ],
      },
    });
  });

  test("HEAD is GET without a body", async () => {
    const id = await sentTask();
    const [head, get] = [await call(`/tasks/${id}`, { method: "HEAD" }), await call(`/tasks/${id}`)];
    expect([head.status, head.body, head.headers["content-length"]]).toEqual([200, "", get.headers["content-length"]]);
    expect((await call("/tasks/nowhere", { method: "HEAD" })).status).toBe(404);
    expect((await call("/message:send", { method: "HEAD" })).status).toBe(405);
  });
});

describe("media types", () => {
  test.each([
    ["nothing said", {}, a2aJson],
    ["anything", { accept: "*/*" }, a2aJson],
    ["plain JSON", { accept: json }, json],
    ["A2A's", { accept: a2aJson }, a2aJson],
    ["both, plain preferred", { accept: `${a2aJson};q=0.5, ${json}` }, json],
    ["both alike", { accept: `${json}, ${a2aJson}` }, json],
    ["a wildcard below", { accept: "text/html, application/*;q=0.1" }, a2aJson],
    ["not A2A's", { accept: `${a2aJson};q=0, */*` }, json],
    ["only the body's type", { "content-type": json }, json],
    ["in capitals", { accept: "Application/JSON" }, json],
    ["with a charset", { accept: "application/json; charset=UTF-8" }, json],
    ["with a charset, not this type", { accept: `${a2aJson};q=0, ${json};charset=utf-8` }, json],
    ["an empty header", { accept: "" }, a2aJson],
  ])("the answer is in what was asked for: %s", async (_name, headers, type) => {
    const answer = await raw.http1("/tasks", { headers });
    expect([answer.status, answer.headers["content-type"], answer.headers.vary]).toEqual([200, type, "accept"]);
    expect((await raw.http1("/tasks/nowhere", { headers })).headers["content-type"]).toBe(type);
  });

  test.each([
    "text/html",
    "application/xml;q=1",
    "garbage",
    `${json};charset=latin1`,
    `${json};q=0, ${a2aJson};q=0`,
  ])("nothing fits %s", async (accept) => {
    const answer = await raw.http1("/tasks", { headers: { accept } });
    expect([answer.status, told(answer).code, answer.headers["content-type"]]).toEqual([406, 406, a2aJson]);
  });

  test.each([
    json,
    a2aJson,
    "application/json; charset=utf-8",
    'Application/A2A+JSON;charset="UTF-8"',
  ])("a body is read as %s", async (type) => {
    expect(
      (await raw.http1("/message:send", post({ message: userMessage("hello") }, { "content-type": type }))).status,
    ).toBe(200);
  });

  test.each([
    "text/plain",
    "application/x-www-form-urlencoded",
    "application/json; charset=latin1",
    "application/jsonp",
    "multipart/form-data",
  ])("a body is refused as %s", async (type) => {
    const answer = await raw.http1("/message:send", post({ message: userMessage("hello") }, { "content-type": type }));
    expect([answer.status, told(answer).details]).toMatchObject([
      400,
      [{ reason: "CONTENT_TYPE_NOT_SUPPORTED", domain: "a2a-protocol.org" }],
    ]);
  });

  test("a body without a type is refused", async () => {
    const answer = await raw.http1("/message:send", { method: "POST", body: "{}" });
    expect(told(answer).details).toMatchObject([{ reason: "CONTENT_TYPE_NOT_SUPPORTED" }]);
  });
});

describe("bodies", () => {
  test.each([
    ["cut off", "{", []],
    ["no JSON", "hello", []],
    ["a list", "[]", []],
    ["null", "null", ["message"]],
    ["a member twice", '{"message":{"messageId":"a","messageId":"b"}}', []],
    ["two contents in one part", '{"message":{"parts":[{"text":"a","url":"b"}]}}', ["message.parts[0]"]],
    ["a wrong type", '{"message":{"parts":{}}}', ["message.parts"]],
    ["0.3's role", '{"message":{"messageId":"m","role":"user","parts":[{"text":"a"}]}}', ["message.role"]],
    ["an unknown number of a role", '{"message":{"messageId":"m","role":7,"parts":[{"text":"a"}]}}', ["message.role"]],
    ["nothing", "", ["message"]],
  ])("are refused, each fault by its field, every detail by its type (R175): %s", async (_name, body, fields) => {
    const answer = await raw.http1("/message:send", post(body));
    expect([answer.status, told(answer).status, fieldsOf(answer)]).toEqual([400, "INVALID_ARGUMENT", fields]);
    expect(told(answer).details).toMatchObject([
      { "@type": "type.googleapis.com/google.rpc.ErrorInfo", reason: "INVALID_REQUEST" },
      ...fields.map(() => ({ "@type": "type.googleapis.com/google.rpc.BadRequest" })),
    ]);
  });

  test("compressed", async () => {
    const body = JSON.stringify({ message: userMessage("hello") });
    const request = (bytes: Uint8Array, encoding: string): RawRequest => ({
      method: "POST",
      headers: { "content-type": json, "content-encoding": encoding },
      body: bytes,
    });
    expect((await raw.http1("/message:send", request(gzipSync(body), "gzip"))).status).toBe(200);
    expect((await raw.http1("/message:send", request(Buffer.from(body), "gzip"))).status).toBe(400);
    expect(told(await raw.http1("/message:send", request(Buffer.from(body), "zip"))).details).toMatchObject([
      { reason: "CONTENT_TYPE_NOT_SUPPORTED" },
    ]);
    const bomb = await raw.http1("/message:send", request(gzipSync(Buffer.alloc(64 * 1024 * 1024, " ")), "gzip"));
    expect([bomb.status, told(bomb).details]).toMatchObject([413, [{ reason: "TOO_LARGE" }]]);
  });

  test.each(["http1", "http2"] as const)("beyond what is read, over %s, and the server goes on", async (http) => {
    const answer = await raw[http]("/message:send", post("x".repeat(16 * 1024 * 1024)));
    expect([answer.status, told(answer).status]).toEqual([413, "RESOURCE_EXHAUSTED"]);
    expect((await raw[http]("/tasks")).status).toBe(200);
  });

  test("beyond what is read, without saying how long it is", async () => {
    const chunk = new Uint8Array(1024 * 1024);
    const body = ReadableStream.from(Array.from({ length: 16 }, () => chunk));
    const request = { method: "POST", headers: { "content-type": json }, body, duplex: "half" } as RequestInit;
    expect((await fetch(new URL("/message:send", raw.server.url), request)).status).toBe(413);
  });

  test("on GET and DELETE nobody looks at them", async () => {
    expect(
      (await raw.http1("/tasks", { headers: { "content-type": "text/plain", "content-length": "1" }, body: "x" }))
        .status,
    ).toBe(200);
    const deleted = await raw.http1("/taskmanager/v1/tasks/nowhere", {
      method: "DELETE",
      headers: { "content-length": "1" },
      body: "x",
    });
    expect([deleted.status, deleted.json]).toEqual([200, { deleted: false }]);
  });
});

describe("paths and queries", () => {
  test("an id is whatever was sent, encoded", async () => {
    for (const id of ["a/b", "a:cancel", "100%", "😀", "..", "a b+c", "ü"]) {
      const answer = await raw.http1(`/tasks/${encodeURIComponent(id).replaceAll(".", "%2e")}`);
      expect([answer.status, told(answer).message]).toEqual([404, `No task "${id}"`]);
    }
  });

  test.each(["/tasks/%zz", "/tasks/%", "/tasks/%ff", "/%zz/tasks"])("a path that encodes nothing: %s", async (path) => {
    expect((await raw.http1(path)).status).toBe(400);
  });

  test.each([
    "contextId=%zz",
    "contextId=%",
    "contextId=%ff",
    "contextId=a&unknown=%C3",
    "%c0%80=a",
  ])("a query that encodes nothing: %s", async (query) => {
    const answer = await raw.http1(`/tasks?${query}`);
    expect([answer.status, told(answer).message]).toEqual([
      400,
      expect.stringContaining("The query has a percent sign"),
    ]);
  });

  test.each([
    ["POST", "/openapi.json", "GET, HEAD"],
    ["POST", "/tasks/t", "GET, HEAD"],
    ["GET", "/message:send", "POST"],
    ["DELETE", "/tasks/t:cancel", "POST"],
    ["PUT", "/tasks/t:subscribe", "GET, HEAD, POST"],
    ["OPTIONS", "/tasks", "GET, HEAD"],
  ])("%s %s is told the verbs there are", async (method, path, allow) => {
    const answer = await raw.http1(path, { method });
    expect([answer.status, told(answer).code]).toEqual([405, 405]);
    expect(String(answer.headers.allow).split(", ").toSorted()).toEqual(allow.split(", "));
  });

  test.each(["/nothing", "/tasks/a/b/c/d", "/v2/tasks/x/y", "//"])("nothing is served at %s", async (path) => {
    const answer = await raw.http1(path);
    expect([answer.status, told(answer)]).toEqual([
      404,
      { code: 404, status: "NOT_FOUND", message: "No such resource", details: [] },
    ]);
  });

  test("an unknown status filter is refused, an unknown parameter is not", async () => {
    const answer = await raw.http1("/tasks?status=RUNNING&pageSize=150&historyLength=-1");
    expect([answer.status, fieldsOf(answer)]).toEqual([400, ["status"]]);
    expect(fieldsOf(await raw.http1("/tasks?pageSize=150&historyLength=-1"))).toEqual(["pageSize", "historyLength"]);
    expect(
      (await raw.http1("/tasks?status=TASK_STATE_WORKING&future=1&statusTimestampAfter=2026-01-01T00:00:00Z")).status,
    ).toBe(200);
  });

  test("a tenant in the path, the query or the body is the same tenant", async () => {
    const sent = await raw.http1("/acme/message:send", post({ message: userMessage("hello") }));
    const { id } = (sent.json as unknown as { readonly task: { readonly id: string } }).task;
    for (const path of [`/acme/tasks/${id}`, `/tasks/${id}?tenant=acme`, `/acme/tasks/${id}?tenant=acme`])
      expect((await raw.http1(path)).status).toBe(200);
    expect((await raw.http1(`/tasks/${id}`)).status).toBe(404);
    expect((await raw.http1(`/tasks/${id}:cancel?tenant=acme`, { method: "POST" })).status).toBe(400);
    expect((await raw.http1(`/tasks/${id}:cancel`, post({ tenant: "acme" }))).status).toBe(400);
    const differing = await raw.http1(`/acme/tasks/${id}?tenant=other`);
    expect([differing.status, fieldsOf(differing)]).toEqual([400, ["tenant"]]);
  });

  test("the id in the body of a cancel is that of its path, or refused", async () => {
    const id = await sentTask("ask");
    const differing = await raw.http1(`/tasks/${id}:cancel`, post({ id: "other" }));
    expect([differing.status, fieldsOf(differing)]).toEqual([400, ["id"]]);
    expect((await raw.http1(`/tasks/${id}:cancel`, post({ id, metadata: { why: "enough" } }))).json).toMatchObject({
      status: { state: "TASK_STATE_CANCELED" },
    });
  });
});

test("too much to do is said with when to come back", async () => {
  await using busy = await startRawServer({ manager: { maxRunningTasks: 1, maxQueuedTasks: 0 } });
  const request = () => post({ message: userMessage("count 1 60000"), configuration: { returnImmediately: true } });
  expect((await busy.http1("/message:send", request())).status).toBe(200);
  const refused = await busy.http1("/message:send", request());
  expect([refused.status, told(refused).details, refused.headers["retry-after"]]).toMatchObject([
    429,
    [{ reason: "TOO_MANY" }],
    expect.stringMatching(/^\d+$/),
  ]);
});

test("what an answer depends on is said whole", async () => {
  await using open = await startRawServer({ origins: { allowed: ["https://example.com", "https://example.org"] } });
  for (const path of ["/tasks", "/tasks/nowhere"]) {
    const { headers } = await open.http1(path, { headers: { origin: "https://example.com" } });
    expect([headers["access-control-allow-origin"], headers.vary]).toEqual(["https://example.com", "Origin, accept"]);
  }
});

describe("our own services", () => {
  test("conversations and past states by path", async () => {
    const id = await sentTask("hello", { contextId: "own/1" });
    expect((await raw.http1("/taskmanager/v1/conversations/own%2F1")).json).toMatchObject({
      conversation: { contextId: "own/1" },
    });
    expect((await raw.http1("/taskmanager/v1/conversations/own%2F1/messages?limit=1")).json).toMatchObject({
      messages: [{}],
      nextPageToken: "",
    });
    expect((await raw.http1("/taskmanager/v1/conversations/own%2F1:access", { method: "POST" })).json).toEqual({});
    expect((await raw.http1("/taskmanager/v1/conversations:stats?tenant=nobody")).json).toEqual({
      totalConversations: "0",
      totalMessages: "0",
    });
    expect((await raw.http1(`/taskmanager/v1/tasks/${id}/states/1`)).json).toMatchObject({
      task: { id },
      head: expect.stringMatching(/^\d+$/),
    });
    expect((await raw.http1(`/taskmanager/v1/tasks/${id}:exists`)).json).toEqual({ exists: true });
    expect((await raw.http1("/taskmanager/v1/conversations:cleanup", post({ maxAgeMs: "3600000" }))).json).toEqual({
      removed: 0,
    });
    expect((await raw.http1(`/taskmanager/v1/tasks/${id}`, { method: "DELETE" })).json).toEqual({ deleted: true });
  });
});
