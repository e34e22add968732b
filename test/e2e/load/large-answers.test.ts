import { type ClientHttp2Session, type ClientHttp2Stream, connect } from "node:http2";
import { connect as connectSocket, type Socket } from "node:net";
import { join } from "node:path";
import { create, type DescMessage, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { GetTaskRequestSchema } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { WatchTaskRequestSchema } from "../../../gen/taskmanager/v1/task_manager_pb.ts";
import { framed } from "../../../src/transport/grpc/frames.ts";
import { eventually } from "../../runner/eventually.ts";
import { temporaryFolder } from "../../storage/temporary-folder.ts";
import { startServer } from "../serve-process.ts";

const mebibyte = 1024 * 1024;
const agent = join(import.meta.dirname, "fixtures/large-task-agent.ts");

test.for([
  { entries: "4 MiB", count: 16, size: 4 * mebibyte - 80 * 1024 },
  { entries: "100 bytes", count: 600_000, size: 70 },
])("200 watchers, 60 GetTask and 200 sockets that never read one 64 MiB task of $entries each don't end a server of 1 GB", {
  timeout: 120_000,
}, async ({ count, size }) => {
  const folder = temporaryFolder();
  const server = await startServer(["--storage", `sqlite:${join(folder, "tasks.db")}`, "--processor", agent], {
    NODE_OPTIONS: "--max-old-space-size=1024",
  });
  const ended = server.exited.then((code) => {
    throw new Error(`The server ended with ${code}: ${server.stderr().slice(-2000)}`);
  });
  ended.catch(() => undefined);
  /** The result, unless the server ends before. */
  const survived = <T>(result: Promise<T>): Promise<T> => Promise.race([ended, result]);
  const sessions: ClientHttp2Session[] = [];
  const sockets: Socket[] = [];
  const session = () => {
    const made = connect(server.url);
    made.on("error", () => undefined);
    sessions.push(made);
    return made;
  };
  try {
    const id = await survived(filledTask(server.url, `fill ${count} ${size}`));
    const taskBytes = count * size;

    const watching = Array.from({ length: 4 }, session);
    const watchers = Array.from({ length: 200 }, (_, place) =>
      call(
        watching[place % 4] as ClientHttp2Session,
        "taskmanager.v1.TaskManagerService/WatchTask",
        WatchTaskRequestSchema,
        { taskId: id },
      ),
    );
    for (let each = 0; each < 200; each++) sockets.push(neverReading(server.url, `/tasks/${id}`));
    const getting = Array.from({ length: 4 }, session);
    const gets = Array.from({ length: 60 }, (_, place) =>
      read(
        call(getting[place % 4] as ClientHttp2Session, "lf.a2a.v1.A2AService/GetTask", GetTaskRequestSchema, { id }),
      ),
    );
    const others = async () => {
      for (let each = 0; each < 20; each++)
        expect(await send(server.url, "fill 1 1")).toMatchObject({ state: "TASK_STATE_COMPLETED" });
    };
    await survived(Promise.all([...watchers.map(begun), others()]));
    const whole = await survived(Promise.all([...gets, read(watchers[0]), read(watchers.at(-1))]));
    for (const { status, bytes } of whole) {
      expect(status).toBe("0");
      expect(bytes).toBeGreaterThan(taskBytes);
    }
    expect((await fetch(new URL("/readyz", server.url))).status).toBe(200);
  } finally {
    for (const each of sessions) each.destroy();
    for (const each of sockets) each.destroy();
  }
  expect(await server.end("SIGTERM")).toBe(0);
});

/** The id of a task that a message filled, once it is completed. */
async function filledTask(url: URL, text: string): Promise<string> {
  const { id } = await send(url, text, true);
  await eventually(
    "the task is completed",
    async () => {
      const response = await fetch(new URL("/tasks?pageSize=1", url), { headers: { "A2A-Version": "1.0" } });
      const { tasks } = (await response.json()) as { tasks: { status: { state: string } }[] };
      return tasks[0]?.status.state === "TASK_STATE_COMPLETED";
    },
    { timeoutMs: 60_000, intervalMs: 100 },
  );
  return id;
}

async function send(url: URL, text: string, returnImmediately = false): Promise<{ id: string; state: string }> {
  const response = await fetch(new URL("/message:send", url), {
    method: "POST",
    headers: { "content-type": "application/json", "A2A-Version": "1.0" },
    body: JSON.stringify({
      message: { messageId: crypto.randomUUID(), role: "ROLE_USER", parts: [{ text }] },
      configuration: { returnImmediately },
    }),
  });
  const { task } = (await response.json()) as { task: { id: string; status: { state: string } } };
  return { id: task.id, state: task.status.state };
}

function call<Desc extends DescMessage>(
  session: ClientHttp2Session,
  path: string,
  schema: Desc,
  request: MessageInitShape<Desc>,
): ClientHttp2Stream {
  const stream = session.request({
    ":method": "POST",
    ":path": `/${path}`,
    "content-type": "application/grpc",
    te: "trailers",
    "a2a-version": "1.0",
  });
  stream.on("error", () => undefined);
  stream.end(framed([toBinary(schema, create(schema, request))]));
  return stream;
}

/** Resolves when an answer has begun, or will never. */
function begun(stream: ClientHttp2Stream): Promise<void> {
  return new Promise((resolve) => {
    stream.once("readable", () => resolve()).once("close", () => resolve());
  });
}

/** Reads an answer to its end. */
async function read(
  stream: ClientHttp2Stream | undefined,
): Promise<{ readonly bytes: number; readonly status: string }> {
  if (stream === undefined) return expect.fail("No such stream");
  let status = "";
  let bytes = 0;
  const note = (headers: Record<string, unknown>) => {
    status = String(headers["grpc-status"] ?? status);
  };
  stream.on("response", note);
  stream.on("trailers", note);
  stream.on("data", (chunk: Uint8Array) => {
    bytes += chunk.byteLength;
  });
  await new Promise<void>((resolve) => {
    stream.once("close", () => resolve());
  });
  return { bytes, status };
}

/** A connection that sends a request and reads none of the answer. */
function neverReading({ hostname, port, host }: URL, path: string): Socket {
  const socket = connectSocket({ host: hostname, port: Number(port) });
  socket.on("error", () => undefined);
  socket.write(`GET ${path} HTTP/1.1\r\nhost: ${host}\r\nA2A-Version: 1.0\r\n\r\n`);
  return socket;
}
