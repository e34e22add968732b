import { Agent, request as http1Request } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import { gzipSync } from "node:zlib";
import { Client, credentials, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { demoProcessor } from "../../../src/agent/demo-processor.ts";
import { createServer, type Server } from "../../../src/server/server.ts";
import { createMemoryStorage } from "../../../src/storage/memory/storage.ts";
import type { Storage } from "../../../src/storage/storage.ts";

/** Requests that no proper client sends: the bytes are made by hand. */

const path = "/lf.a2a.v1.A2AService/SendMessage";
const streamPath = "/lf.a2a.v1.A2AService/SendStreamingMessage";
/** A field with a length beyond the end of the message. */
const malformed = Buffer.from([0x12, 0xff, 0x01, 0x00]);

let storage: Storage;
let server: Server;

beforeAll(async () => {
  storage = createMemoryStorage();
  server = await createServer({ processor: demoProcessor, storage, listener: { port: 0 } });
  await server.listen();
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await storage[Symbol.asyncDispose]();
});

async function post(
  to: string,
  contentType: string,
  body: Uint8Array<ArrayBuffer> | string,
  headers: Record<string, string> = {},
) {
  const response = await fetch(new URL(to, server.url), {
    method: "POST",
    headers: { "content-type": contentType, "A2A-Version": "1.0", ...headers },
    body,
  });
  return { status: response.status, headers: response.headers, body: Buffer.from(await response.arrayBuffer()) };
}

function framed(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const frame = new Uint8Array(5 + bytes.byteLength);
  new DataView(frame.buffer).setUint32(1, bytes.byteLength);
  frame.set(bytes, 5);
  return frame;
}

/** Status and trailers of a gRPC call with a hand-made body. */
async function grpc(
  to: string,
  contentType: string,
  body: Uint8Array,
): Promise<{ readonly http: number; readonly status: string; readonly message: string }> {
  const session = connectHttp2(server.url.origin);
  try {
    return await new Promise((resolve, reject) => {
      session.on("error", reject);
      const stream = session.request({
        ":method": "POST",
        ":path": to,
        "content-type": contentType,
        "a2a-version": "1.0",
        te: "trailers",
      });
      let http = 0;
      let told: Record<string, unknown> = {};
      stream.on("response", (headers) => {
        http = headers[":status"] ?? 0;
        told = { ...told, ...headers };
      });
      stream.on("trailers", (trailers) => {
        told = { ...told, ...trailers };
      });
      stream.on("error", reject);
      stream.on("close", () =>
        resolve({
          http,
          status: String(told["grpc-status"]),
          message: decodeURIComponent(String(told["grpc-message"] ?? "")),
        }),
      );
      stream.resume();
      stream.end(body);
    });
  } finally {
    session.close();
  }
}

const errorInfo = "google.rpc.ErrorInfo";

describe("requests that can't be read are the client's fault, and store nothing", () => {
  test.each([path, streamPath])("malformed protobuf over gRPC: %s", async (to) => {
    expect(await grpc(to, "application/grpc+proto", framed(malformed))).toMatchObject({ http: 200, status: "3" });
  });

  test("malformed protobuf over gRPC-Web", async () => {
    const { status: http, headers, body } = await post(path, "application/grpc-web+proto", framed(malformed));
    expect(http).toBe(200);
    expect(headers.get("grpc-status") ?? /grpc-status: ?(\d+)/.exec(body.toString("latin1"))?.[1]).toBe("3");
  });

  test("malformed protobuf over Connect", async () => {
    const { status, body } = await post(path, "application/proto", malformed);
    const told = JSON.parse(body.toString());
    expect([status, told.code, told.details[0].type]).toEqual([400, "invalid_argument", errorInfo]);
  });

  test.each([
    ["malformed JSON", "{"],
    ["JSON of another shape", '{"message":5}'],
    ["a text that is no JSON", "hello"],
    ["two contents in one part", '{"message":{"parts":[{"text":"a","url":"b"}]}}'],
    ["an empty body", ""],
  ])("%s over Connect", async (_name, text) => {
    const { status, body } = await post(path, "application/json", text);
    const told = JSON.parse(body.toString());
    expect([status, told.code, told.details[0].type]).toEqual([400, "invalid_argument", errorInfo]);
  });

  test.each([
    "text/plain",
    "application/xml",
    "application/grpc-web-text+thing",
    "",
  ])('content type "%s"', async (contentType) => {
    const { status, body } = await post(path, contentType, "{}");
    expect([status, JSON.parse(body.toString())]).toMatchObject([
      415,
      { error: { code: 415, status: "UNSUPPORTED_MEDIA_TYPE" } },
    ]);
  });

  test("a frame that is cut off over gRPC", async () => {
    expect(await grpc(path, "application/grpc", framed(malformed).subarray(0, 7))).toMatchObject({ status: "3" });
  });

  test.each([
    ["Connect", "application/json", (bytes: number) => "x".repeat(bytes)],
    ["gRPC-Web", "application/grpc-web", (bytes: number) => framed(new Uint8Array(bytes))],
  ])("a request far beyond what is read over %s, and the connection lives on", async (_name, contentType, body) => {
    const { status, headers, body: answer } = await post(path, contentType, body(16 * 1024 * 1024));
    expect(`${status} ${headers.get("grpc-status") ?? ""} ${answer.toString("latin1")}`).toMatch(
      /resource_exhausted|grpc-status: ?8|^200 8/,
    );
    expect((await post(path, "application/json", "{}")).status).toBe(400);
  });

  test("a request far beyond what is read, and the next one on the same HTTP/1.1 connection is answered", async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const call = (body: string) =>
      new Promise<number | undefined>((resolve, reject) => {
        const options = {
          agent,
          host: server.url.hostname,
          port: server.url.port,
          path,
          method: "POST",
          headers: { "content-type": "application/json", "A2A-Version": "1.0" },
        };
        const request = http1Request(options, (response) => {
          response.resume();
          response.once("end", () => resolve(response.statusCode));
        });
        request.once("error", reject);
        request.end(body);
      });
    expect(await call("x".repeat(16 * 1024 * 1024))).toBe(429);
    expect(await call("{}")).toBe(400);
    agent.destroy();
  });

  test("a request far beyond what is read over gRPC", async () => {
    const client = new Client(server.url.host, credentials.createInsecure());
    const metadata = new Metadata();
    metadata.set("A2A-Version", "1.0");
    const error = await new Promise<ServiceError | null>((resolve) => {
      client.makeUnaryRequest(
        path,
        (bytes: Buffer) => bytes,
        (bytes) => bytes,
        Buffer.alloc(16 * 1024 * 1024),
        metadata,
        (failure) => resolve(failure),
      );
    });
    client.close();
    expect(error?.code).toBe(status.RESOURCE_EXHAUSTED);
  });

  test("GET of a method that isn't safe", async () => {
    const response = await fetch(new URL(path, server.url));
    expect([response.status, response.headers.get("allow"), await response.json()]).toMatchObject([
      405,
      "POST",
      { error: { code: 405 } },
    ]);
  });

  test("a method that doesn't exist", async () => {
    expect((await post("/lf.a2a.v1.A2AService/Nothing", "application/json", "{}")).status).toBe(404);
    expect(await grpc("/lf.a2a.v1.A2AService/Nothing", "application/grpc", framed(malformed))).toMatchObject({
      http: 200,
      status: String(status.UNIMPLEMENTED),
      message: "No such method",
    });
    const client = new Client(server.url.host, credentials.createInsecure());
    const error = await new Promise<ServiceError | null>((resolve) => {
      const asIs = (bytes: Buffer) => bytes;
      client.makeUnaryRequest("/no.such.Service/Nothing", asIs, asIs, Buffer.alloc(0), (failure) => resolve(failure));
    });
    client.close();
    expect([error?.code, error?.details]).toEqual([status.UNIMPLEMENTED, "No such method"]);
  });

  const listPath = "/lf.a2a.v1.A2AService/ListTasks";
  const unknownStatus = Buffer.from('{"status":"TASK_STATE_RUNNING","future":1}');

  test.each([
    ["plain", new Uint8Array(unknownStatus), {}],
    ["compressed", new Uint8Array(gzipSync(unknownStatus)), { "content-encoding": "gzip" }],
  ])("an enum's name that doesn't exist over Connect JSON, %s", async (_name, body, headers) => {
    const { status, body: answer } = await post(listPath, "application/json", body, headers);
    const told = JSON.parse(answer.toString());
    expect([status, told.code, told.message]).toEqual([
      400,
      "invalid_argument",
      expect.stringMatching(/^status: is "TASK_STATE_RUNNING"/),
    ]);
    expect(told.details.map(({ type }: { type: string }) => type)).toEqual([errorInfo, "google.rpc.BadRequest"]);
  });

  test("an enum's name that doesn't exist over gRPC and gRPC-Web in JSON, and in a stream of Connect", async () => {
    expect(await grpc(listPath, "application/grpc+json", framed(unknownStatus))).toMatchObject({
      status: "3",
      message: expect.stringContaining("status: is"),
    });
    const { headers, body } = await post(listPath, "application/grpc-web+json", framed(unknownStatus));
    expect(`${headers.get("grpc-message")} ${body.toString("latin1")}`).toMatch(/status(:|%3A)(%20| )is/);
    const streamed = await post(
      streamPath,
      "application/connect+json",
      framed(Buffer.from('{"message":{"role":"user"}}')),
    );
    expect(streamed.body.toString()).toContain("message.role: is");
  });

  test("an unknown field is ignored all the same", async () => {
    expect((await post(listPath, "application/json", '{"future":1,"status":"TASK_STATE_WORKING"}')).status).toBe(200);
  });

  test("nothing was stored", async () => {
    expect(await storage.getConversationStats()).toEqual({ totalConversations: 0, totalMessages: 0 });
  });
});
