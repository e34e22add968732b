import { Code, ConnectError, createClient, type Interceptor, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-web";
import { ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { Health } from "../../gen/health/v1/health_pb.ts";
import { A2AService, Role, type StreamResponse, TaskState } from "../../gen/lf/a2a/v1/a2a_pb.ts";
import { TaskManagerService } from "../../gen/taskmanager/v1/task_manager_pb.ts";

/**
 * Runs in the browser: a page's calls, by connect-web, and by fetch alone. What they come to goes back to the test as
 * JSON.
 */

const interceptors: Interceptor[] = [
  (next) => (request) => {
    request.header.set("A2A-Version", "1.0");
    return next(request);
  },
];

const transports: Readonly<Record<string, (baseUrl: string) => Transport>> = {
  "gRPC-Web": (baseUrl) => createGrpcWebTransport({ baseUrl, interceptors }),
  "Connect JSON": (baseUrl) => createConnectTransport({ baseUrl, interceptors, useBinaryFormat: false }),
  "Connect binary": (baseUrl) => createConnectTransport({ baseUrl, interceptors, useBinaryFormat: true }),
};

const stateNames = new Map<number, string>(Object.entries(TaskState).map(([name, number]) => [number, name]));

function kindOf({ payload }: StreamResponse): string {
  const state = payload.case === "statusUpdate" || payload.case === "task" ? payload.value.status?.state : undefined;
  return state === undefined ? String(payload.case) : `${payload.case} ${stateNames.get(state)}`;
}

function told(error: unknown) {
  const { code, rawMessage, ...connectError } = ConnectError.from(error);
  const [info] = ConnectError.from(error).findDetails(ErrorInfoSchema);
  return { code: Code[code], reason: info?.reason, message: rawMessage, name: connectError.name };
}

function message(text: string, taskId = "") {
  return {
    messageId: crypto.randomUUID(),
    taskId,
    role: Role.USER,
    parts: [{ content: { case: "text" as const, value: text } }],
  };
}

export async function callBy(name: string, baseUrl: string) {
  const transport = transports[name]?.(baseUrl);
  if (transport === undefined) throw new Error(`No transport ${name}`);
  const a2a = createClient(A2AService, transport);
  const tasks = createClient(TaskManagerService, transport);

  const { payload } = await a2a.sendMessage({ message: message("hello") });
  const streamed: string[] = [];
  let id = "";
  for await (const event of a2a.sendStreamingMessage({ message: message("stream 3") })) {
    streamed.push(kindOf(event));
    if (event.payload.case === "task") id = event.payload.value.id;
  }
  // By cursor, broken off and resumed.
  const watched: string[] = [];
  let cursor = 0n;
  for (const limit of [3, Number.POSITIVE_INFINITY]) {
    let events = 0;
    for await (const response of tasks.watchTask({ taskId: id, afterSequence: cursor })) {
      cursor = response.sequence;
      if (response.payload.case === "event") watched.push(kindOf(response.payload.value));
      if (++events === limit) break;
    }
  }
  return {
    sent: payload.case === "task" ? stateNames.get(payload.value.status?.state ?? 0) : payload.case,
    streamed,
    watched,
    health: (await createClient(Health, transport).check({})).status,
    refused: await a2a.getTask({ id: "nothing" }).catch(told),
    refusedStream: await all(a2a.subscribeToTask({ id })).catch(told),
    late: await a2a
      .sendMessage(
        { message: message("count 1 60000") },
        { headers: { "grpc-timeout": "50m", "connect-timeout-ms": "50" } },
      )
      .catch(told),
  };
}

async function all(events: AsyncIterable<unknown>): Promise<number> {
  let count = 0;
  for await (const _ of events) count++;
  return count;
}

/** Without any library, as a page of somebody who has none. */
export async function callByFetch(baseUrl: string) {
  const post = (method: string, body: object) =>
    fetch(`${baseUrl}/lf.a2a.v1.A2AService/${method}`, {
      method: "POST",
      headers: { "content-type": "application/json", "a2a-version": "1.0" },
      body: JSON.stringify(body),
    });
  // A2A's HTTP+JSON, on the same port.
  const rest = await fetch(`${baseUrl}/message:send`, {
    method: "POST",
    headers: { "content-type": "application/a2a+json", "a2a-version": "1.0" },
    body: JSON.stringify({
      message: { messageId: crypto.randomUUID(), role: "ROLE_USER", parts: [{ text: "hello" }] },
    }),
  });
  const sent = await post("SendMessage", {
    message: { messageId: crypto.randomUUID(), role: "ROLE_USER", parts: [{ text: "hello" }] },
  });
  const refused = await post("GetTask", { id: "nothing" });
  return {
    rest: { status: rest.status, body: await rest.json() },
    sent: { status: sent.status, body: await sent.json() },
    refused: { status: refused.status, body: await refused.json() },
  };
}

Object.assign(globalThis, { callBy, callByFetch });
