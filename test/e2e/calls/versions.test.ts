import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { demoProcessor } from "../../../src/agent/demo-processor.ts";
import { bindings, toldError } from "../bindings.ts";
import { type Served, served } from "../served.ts";
import { operations, reasons } from "./operations.ts";

let strict: Served;
let lenient: Served;

beforeAll(async () => {
  strict = await served({ processor: demoProcessor });
  lenient = await served({ processor: demoProcessor, calls: { a2aVersion: "lenient" } });
});

afterAll(async () => {
  await strict[Symbol.asyncDispose]();
  await lenient[Symbol.asyncDispose]();
});

const refusedAll = Object.fromEntries(Object.keys(operations).map((name) => [name, "VERSION_NOT_SUPPORTED"]));

describe.each(bindings)("over $name", ({ connect }) => {
  test("without a version every operation is refused, which is the default (R138, R196)", async () => {
    expect(await reasons(connect(strict.url.origin, {}), toldError)).toEqual(refusedAll);
  });

  test("another version is refused, lenient or not (R137)", async () => {
    for (const { url } of [strict, lenient])
      expect(await reasons(connect(url.origin, { "A2A-Version": "1.1" }), toldError)).toEqual(refusedAll);
  });

  test("the error is the contract's own and says what is spoken", async () => {
    const told = await connect(strict.url.origin, {})
      .a2a.listTasks({})
      .then(() => undefined, toldError);
    expect(told).toMatchObject({
      code: "FailedPrecondition",
      reason: "VERSION_NOT_SUPPORTED",
      domain: "a2a-protocol.org",
    });
    expect(told?.message).toContain("this server speaks 1.0");
  });

  test("the patch number doesn't count (R139)", async () => {
    expect(await connect(strict.url.origin, { "A2A-Version": "1.0.1" }).a2a.listTasks({})).toMatchObject({
      pageSize: 50,
    });
  });

  test("a lenient server takes a request without a version as one of 1.0", async () => {
    expect(await connect(lenient.url.origin, {}).a2a.listTasks({})).toMatchObject({ pageSize: 50 });
  });

  test("our own services know no such version", async () => {
    const { tasks, conversations } = connect(strict.url.origin, {});
    expect((await tasks.taskExists({ taskId: "nowhere" })).exists).toBe(false);
    expect((await conversations.listConversations({})).conversations).toEqual([]);
  });
});

describe("over HTTP", () => {
  async function post(query: string, headers: Record<string, string>, body = "{}") {
    const url = new URL(`/lf.a2a.v1.A2AService/ListTasks${query}`, strict.url);
    const response = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body,
    });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  }

  test("the version may come in the query (R140)", async () => {
    expect(await post("?A2A-Version=1.0", {})).toMatchObject({ status: 200 });
    expect(await post("?A2A-Version=1.0", { "A2A-Version": "0.3" })).toMatchObject({
      status: 400,
      body: { code: "failed_precondition" },
    });
  });

  test("of HTTP+JSON too, and header and query must agree", async () => {
    const status = async (query: string, headers: Record<string, string> = {}) => {
      const response = await fetch(new URL(`/tasks${query}`, strict.url), { headers });
      await response.arrayBuffer();
      return response.status;
    };
    expect(
      await Promise.all([
        status("?A2A-Version=1.0"),
        status("?A2A-Version=1.0.4&pageSize=1"),
        status("", { "A2A-Version": "1.0" }),
      ]),
    ).toEqual([200, 200, 200]);
    expect(
      await Promise.all([status(""), status("?A2A-Version=0.3"), status("?A2A-Version=1.0", { "A2A-Version": "0.3" })]),
    ).toEqual([400, 400, 400]);
  });

  test("it is looked at before the body is read: another version may have other bodies", async () => {
    expect(await post("", {}, '{"pageSize":"of another kind"}')).toMatchObject({
      status: 400,
      body: { code: "failed_precondition" },
    });
    expect(await post("?A2A-Version=1.0", {}, '{"pageSize":"of another kind"}')).toMatchObject({
      status: 400,
      body: { code: "invalid_argument" },
    });
  });
});

describe("over JSON-RPC", () => {
  const params = () => ({
    message: {
      kind: "message",
      messageId: crypto.randomUUID(),
      role: "user",
      parts: [{ kind: "text", text: "hello" }],
    },
  });

  async function rpc(method: string, query: string, headers: Record<string, string>) {
    const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method, params: params() });
    const response = await fetch(new URL(`/${query}`, strict.url), {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body,
    });
    return (await response.json()) as { readonly result?: object; readonly error?: { readonly code: number } };
  }

  test.each([
    ["nothing", "", {}],
    ["an empty header", "", { "A2A-Version": "" }],
    ["the header", "", { "A2A-Version": "0.3" }],
    ["a patch number", "", { "A2A-Version": "0.3.0" }],
    ["the query", "?a2a-version=0.3", {}],
  ] as const)("a request of 0.3 is served as such, its version told by %s", async (_name, query, headers) => {
    expect(await rpc("message/send", query, headers)).toMatchObject({
      result: { kind: "task", status: { state: "completed" } },
    });
  });

  test.each([
    ["a version that is none", "", { "A2A-Version": "latest" }],
    ["versions that contradict each other", "?A2A-Version=0.3", { "A2A-Version": "1.0" }],
    ["no version with a method of 1.0", "", {}],
  ] as const)("%s is refused", async (_name, query, headers) => {
    expect(await rpc("SendMessage", query, headers)).toMatchObject({ error: { code: -32009 } });
  });
});
