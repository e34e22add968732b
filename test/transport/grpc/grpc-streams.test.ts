import { once } from "node:events";
import type { ClientHttp2Session, IncomingHttpHeaders } from "node:http2";
import { setImmediate } from "node:timers/promises";
import { create, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, createServiceImplSpec, type HandlerContext, type ServiceImpl } from "@connectrpc/connect";
import { afterEach, describe, expect, test } from "vitest";
import {
  TaskManagerService,
  WatchTaskRequestSchema,
  type WatchTaskResponse,
  WatchTaskResponseSchema,
} from "../../../gen/taskmanager/v1/task_manager_pb.ts";
import { framed } from "../../../src/transport/grpc/frames.ts";
import { grpcHandler } from "../../../src/transport/grpc/grpc-handler.ts";
import { firstOf } from "../../../src/transport/listener/request-handler.ts";
import { type LogLine, loggerTo } from "../../manager/fixtures.ts";
import { testSettings } from "../call-settings.ts";
import { closeAll, http2Client, open } from "../listener/fixtures.ts";

/** Streams of an implementation that does what the test wants, by a client that says when it reads. */

afterEach(closeAll);

type Watch = (context: HandlerContext) => AsyncIterable<WatchTaskResponse>;

async function serve(
  watch: Watch,
): Promise<{ readonly session: ClientHttp2Session; readonly lines: LogLine[]; readonly open: () => number }> {
  const lines: LogLine[] = [];
  const service: Partial<ServiceImpl<typeof TaskManagerService>> = { watchTask: (_, context) => watch(context) };
  const settings = testSettings({ logger: loggerTo(lines), bindings: new Set(["grpc"] as const) });
  const handler = grpcHandler([createServiceImplSpec(TaskManagerService, service)], settings);
  const { number } = await open({ handler: firstOf([handler], (_, response) => response.end()) });
  return { session: http2Client(`http://127.0.0.1:${number}`), lines, open: () => settings.openExchanges.size };
}

function watching(session: ClientHttp2Session) {
  const stream = session.request({
    ":method": "POST",
    ":path": "/taskmanager.v1.TaskManagerService/WatchTask",
    "content-type": "application/grpc",
    te: "trailers",
  });
  stream.on("error", () => undefined);
  stream.end(framed([toBinary(WatchTaskRequestSchema, create(WatchTaskRequestSchema, { taskId: "x" }))]));
  return stream;
}

interface Read {
  readonly headers: IncomingHttpHeaders;
  readonly trailers: IncomingHttpHeaders;
  readonly body: Buffer;
}

async function readAll(session: ClientHttp2Session): Promise<Read> {
  const stream = watching(session);
  let [headers, trailers]: IncomingHttpHeaders[] = [{}, {}];
  const chunks: Buffer[] = [];
  stream.once("response", (given) => {
    headers = given;
  });
  stream.once("trailers", (given) => {
    trailers = given;
  });
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  await once(stream, "close");
  return { headers: headers ?? {}, trailers: trailers ?? {}, body: Buffer.concat(chunks) };
}

const event = (sequence: bigint) => create(WatchTaskResponseSchema, { sequence });
const framedEvent = (sequence: bigint) => framed([toBinary(WatchTaskResponseSchema, event(sequence))]);

describe("a stream", () => {
  test("without an event has headers, what its implementation set among them, and its status in trailers", async () => {
    const { session } = await serve(async function* ({ responseHeader }) {
      responseHeader.set("a2a-extensions", "urn:x");
      yield* [];
    });
    const { headers, trailers, body } = await readAll(session);
    expect(headers).toMatchObject({
      ":status": 200,
      "content-type": "application/grpc+proto",
      "a2a-extensions": "urn:x",
    });
    expect([headers["grpc-status"], trailers["grpc-status"], body.byteLength]).toEqual([undefined, "0", 0]);
  });

  test("that is refused at once keeps the headers that its implementation set", async () => {
    const { session } = await serve(async function* ({ responseHeader }) {
      responseHeader.set("a2a-extensions", "urn:x");
      if (responseHeader.has("a2a-extensions")) throw new ConnectError("no", Code.NotFound);
      yield event(1n);
    });
    expect((await readAll(session)).headers).toMatchObject({
      "a2a-extensions": "urn:x",
      "grpc-status": "5",
      "grpc-message": "no",
    });
  });

  test("that fails tells what came before, then an id that stands in the log beside the cause", async () => {
    const { session, lines } = await serve(async function* () {
      yield event(1n);
      throw new Error("secret");
    });
    const { trailers, body } = await readAll(session);
    expect(body).toEqual(framedEvent(1n));
    expect(trailers["grpc-status"]).toBe("13");
    expect(trailers["grpc-message"]).not.toContain("secret");
    expect(String(trailers["grpc-message"])).toContain((lines[0]?.fields as { errorId: string }).errorId);
  });

  test("whose event can't be encoded fails, and its implementation is told to stop", async () => {
    let stopped = 0;
    const { session } = await serve(async function* () {
      try {
        yield event(1n);
        yield Object.assign(event(2n), { sequence: -1n });
      } finally {
        stopped++;
      }
    });
    const { trailers, body } = await readAll(session);
    expect([trailers["grpc-status"], body, stopped]).toEqual(["13", framedEvent(1n), 1]);
  });

  test("that nobody reads makes its implementation wait, and ends it when its client leaves", async () => {
    const bytes = framedEvent(1n).byteLength;
    let sent = 0;
    const stopped = Promise.withResolvers<unknown>();
    const { session } = await serve(async function* ({ signal }) {
      signal.addEventListener("abort", () => stopped.resolve(signal.reason), { once: true });
      while (!signal.aborted) {
        sent += bytes;
        yield event(1n);
        await setImmediate();
      }
    });
    const stream = watching(session);
    await once(stream, "response");
    // Nothing is read, so the client's window fills up, then what the server may hold.
    let before = -1;
    while (before !== sent) {
      before = sent;
      for (let turn = 0; turn < 100; turn++) await setImmediate();
    }
    expect(sent).toBeLessThan(256 * 1024);
    stream.close(8);
    expect(await stopped.promise).toMatchObject({ code: Code.Canceled });
  });

  test("that has ended lets go of what hung on it", async () => {
    const counts: number[] = [];
    const served = await serve(async function* () {
      counts.push(served.open());
      yield event(1n);
    });
    expect((await readAll(served.session)).trailers["grpc-status"]).toBe("0");
    await expect.poll(served.open).toBe(0);
    expect(counts).toEqual([1]);
  });
});
