import { connect as connectHttp2, type IncomingHttpHeaders } from "node:http2";
import { create, toBinary } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { SendMessageRequestSchema } from "../../gen/lf/a2a/v1/a2a_pb.ts";
import { framed } from "../../src/transport/grpc/frames.ts";
import { eventsOf, type RawServer, startRawServer, userMessage } from "./listener/raw-server.ts";

/** What clients of other projects send, and what they need in the answer. */

let raw: RawServer;
beforeAll(async () => {
  raw = await startRawServer();
});
afterAll(() => raw[Symbol.asyncDispose]());

const a2a = "/lf.a2a.v1.A2AService";
const json = { "content-type": "application/json" };
const post = (path: string, headers: Record<string, string>, body: string | Uint8Array) =>
  raw.http2(path, { method: "POST", headers, body });

/** The id of a task that is not over when its id is known. */
async function runningTask(text: string): Promise<string> {
  const body = { message: userMessage(text), configuration: { returnImmediately: true } };
  const answer = await post("/message:send", json, JSON.stringify(body));
  const { task } = answer.json as unknown as { readonly task: { readonly id: string } };
  return task.id;
}

describe("a body of null over HTTP+JSON", () => {
  test("counts as none where none is needed", async () => {
    const watched = await runningTask("count 5 100");
    expect((await post(`/tasks/${watched}:subscribe`, json, "null")).body).toContain("TASK_STATE_COMPLETED");
    const id = await runningTask("ask what?");
    expect((await post(`/tasks/${id}:cancel`, json, "null")).json).toMatchObject({
      id,
      status: { state: "TASK_STATE_CANCELED" },
    });
  });

  test("is refused where one is needed, with the missing field named", async () => {
    const { status, body } = await post("/message:send", json, "null");
    expect([status, body]).toEqual([400, expect.stringContaining('"field":"message"')]);
  });
});

describe("an error of JSON-RPC", () => {
  const subscription = '{"jsonrpc":"2.0","id":7,"method":"SubscribeToTask","params":{"id":"nowhere"}}';

  test.each<[string, string, number, unknown]>([
    ["of a stream", subscription, -32001, 7],
    ["of a stream of version 0.3", subscription.replace("SubscribeToTask", "tasks/resubscribe"), -32001, 7],
    ["for an unknown method", '{"jsonrpc":"2.0","id":7,"method":"Nope"}', -32601, 7],
    ["for no request", '{"id":7}', -32600, 7],
    ["for no JSON", "{", -32700, null],
  ])("%s is an event where Accept has event streams alone", async (_name, body, code, id) => {
    const accept = "text/event-stream";
    const answer = await post("/", { ...json, accept, ...version(body) }, body);
    expect([answer.status, answer.headers["content-type"]]).toEqual([200, "text/event-stream"]);
    const { events } = eventsOf(answer.body);
    expect(events.map(({ data = "" }) => JSON.parse(data))).toMatchObject([{ id, error: { code } }]);
  });

  test.each([
    "application/json, text/event-stream",
    "text/event-stream, application/json;q=0.1",
    "text/event-stream, */*",
    "*/*",
    "",
  ])("is JSON where Accept is %j", async (accept) => {
    const answer = await post("/", { ...json, accept }, subscription);
    expect([answer.status, answer.headers["content-type"]]).toEqual([200, "application/json"]);
    expect(answer.json).toMatchObject({ id: 7, error: { code: -32001 } });
  });

  /** The raw server takes a call without a version as one of 1.0. */
  const version = (body: string) => (body.includes("tasks/") ? { "a2a-version": "0.3" } : {});
});

describe("a gRPC request", () => {
  const message = toBinary(SendMessageRequestSchema, create(SendMessageRequestSchema));

  test.each([
    "application/grpc",
    "application/grpc+proto",
    "application/grpc-web+proto",
    "application/grpc+json",
  ])("in an unknown encoding is told the known ones: %s", async (type) => {
    const headers = { "content-type": type, te: "trailers", "grpc-encoding": "snappy" };
    for (const path of [`${a2a}/SendMessage`, `${a2a}/SendStreamingMessage`, "/grpc.health.v1.Health/Check"]) {
      const answer = await post(path, headers, framed([message]));
      expect(answer.headers["grpc-accept-encoding"], path).toBe("identity,gzip,br");
      expect(answer.headers["grpc-status"] ?? /grpc-status: (\d+)/.exec(answer.body)?.[1], path).toBe("12");
    }
  });

  test.each([
    "/",
    "/nope",
    "/tasks",
    "/message:send",
    "/tasks/1:cancel",
    "/openapi.json",
    `${a2a}/Nope`,
  ])("to %s, where no method is, is unimplemented", async (path) => {
    for (const type of ["application/grpc", "application/grpc+proto", "application/grpc-web"]) {
      const answer = await post(path, { "content-type": type, te: "trailers" }, framed([message]));
      expect([answer.status, answer.headers["content-type"], answer.headers["grpc-status"], answer.body]).toEqual([
        200,
        type,
        "12",
        "",
      ]);
    }
  });

  test.each([
    ["gRPC", `${a2a}/SendMessage`, "application/grpc", {}],
    ["gRPC with compression", `${a2a}/SendMessage`, "application/grpc", { "grpc-encoding": "gzip" }],
    ["gRPC in JSON", `${a2a}/SendStreamingMessage`, "application/grpc+json", {}],
    ["gRPC-Web", `${a2a}/SendMessage`, "application/grpc-web+proto", {}],
    ["Connect's stream", `${a2a}/SendStreamingMessage`, "application/connect+proto", {}],
    ["health", "/grpc.health.v1.Health/Check", "application/grpc", {}],
    ["reflection", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "application/grpc", {}],
  ])("with a length beyond the limit is refused before its bytes come: %s", async (_name, path, type, headers) => {
    const session = connectHttp2(raw.server.url.origin);
    try {
      const request = session.request({ ":method": "POST", ":path": path, "content-type": type, ...headers });
      // The prefix comes in two pieces, and nothing after it: the request never ends.
      request.write(Buffer.of(0, 0x7f));
      request.write(Buffer.of(0xff, 0xff, 0xff));
      let told: IncomingHttpHeaders = {};
      const chunks: Buffer[] = [];
      await new Promise<void>((resolve, reject) => {
        request.on("response", (head) => {
          told = { ...told, ...head };
        });
        request.on("trailers", (trailers) => {
          told = { ...told, ...trailers };
        });
        request.on("data", (chunk: Buffer) => chunks.push(chunk));
        request.once("end", resolve);
        request.once("error", reject);
      });
      const body = Buffer.concat(chunks).toString("latin1");
      const code = told["grpc-status"] ?? /grpc-status: (\d+)|"code":"(\w+)"/.exec(body)?.slice(1).join("");
      expect(code).toMatch(/^(?:8|resource_exhausted)$/);
    } finally {
      session.destroy();
    }
  });
});
