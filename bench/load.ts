// The process that calls: Connect's own client over gRPC, or A2A's JSON by hand.
import { type Client, createClient, type Interceptor } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { A2AService, Role, type StreamResponse } from "../gen/lf/a2a/v1/a2a_pb.ts";
import { carryOut, cpuUs } from "./child.ts";
import { type JsonBinding, jsonStream, jsonUnary } from "./json-load.ts";
import { quantile } from "./measure.ts";

type A2AClient = Client<typeof A2AService>;

/** One connection per server for calls, as a gRPC client has; more only for thousands of streams. */
const clients = new Map<string, A2AClient>();
let idle: { readonly abort: AbortController; readonly ended: Promise<unknown> } | undefined;

export type LoadBinding = "gRPC" | JsonBinding;
interface UnaryLoad {
  readonly url: string;
  readonly callers: number;
  readonly ms: number;
  readonly text: string;
  readonly binding?: LoadBinding;
}
interface StreamLoad {
  readonly url: string;
  readonly streams: number;
  readonly atOnce: number;
  readonly events: number;
  readonly binding?: LoadBinding;
}

const commands = {
  /** Calls SendMessage from so many callers at once for so long. */
  async unary({ url, callers, ms, text, binding = "gRPC" }: UnaryLoad) {
    const call = callOf(url, binding);
    const latencies: number[] = [];
    const cpuBefore = cpuUs();
    const begin = performance.now();
    const until = begin + ms;
    const caller = async () => {
      for (let now = performance.now(); now < until; ) {
        await call(text);
        const after = performance.now();
        latencies.push(after - now);
        now = after;
      }
    };
    await Promise.all(Array.from({ length: callers }, caller));
    const seconds = (performance.now() - begin) / 1000;
    return {
      calls: latencies.length,
      seconds,
      p50Ms: quantile(latencies, 0.5),
      p99Ms: quantile(latencies, 0.99),
      busy: (cpuUs() - cpuBefore) / 1e6 / seconds,
    };
  },

  /** Reads so many streams of so many events each, some at once. */
  async streams({ url, streams, atOnce, events, binding = "gRPC" }: StreamLoad) {
    const read = readerOf(url, binding);
    const cpuBefore = cpuUs();
    const begin = performance.now();
    let left = streams;
    const reader = async () => {
      while (left-- > 0) {
        const chunks = await read(`stream ${events}`);
        if (chunks !== events) throw new Error(`A stream of ${events} chunks had ${chunks}`);
      }
    };
    await Promise.all(Array.from({ length: atOnce }, reader));
    const seconds = (performance.now() - begin) / 1000;
    return { events: streams * events, seconds, busy: (cpuUs() - cpuBefore) / 1e6 / seconds };
  },

  /** Makes tasks that wait for input, and gives their ids. */
  async askingTasks({ url, count }: { readonly url: string; readonly count: number }) {
    const client = clientOf(url);
    const ids: string[] = [];
    const maker = async () => {
      while (ids.length < count) {
        const place = ids.push("") - 1;
        const { payload } = await client.sendMessage(request("ask"));
        if (payload.case !== "task") throw new Error("No task came back");
        ids[place] = payload.value.id;
      }
    };
    await Promise.all(Array.from({ length: 32 }, maker));
    return ids;
  },

  /** Subscribes to each of the tasks given and reads the first event; the streams stay open until `closeIdle`. */
  async openIdle({ url, taskIds }: { readonly url: string; readonly taskIds: readonly string[] }) {
    const abort = new AbortController();
    const ended: Promise<unknown>[] = [];
    const perConnection = 250;
    for (let from = 0; from < taskIds.length; from += perConnection) {
      const client = newClient(url);
      const streams = taskIds
        .slice(from, from + perConnection)
        .map((id) => client.subscribeToTask({ id }, { signal: abort.signal })[Symbol.asyncIterator]());
      for (const { value, done } of await Promise.all(streams.map((stream) => stream.next()))) {
        if (done || (value as StreamResponse).payload.case !== "task")
          throw new Error("A subscription didn't begin with its task");
      }
      for (const stream of streams) ended.push(stream.next().catch(() => undefined));
    }
    idle = { abort, ended: Promise.all(ended) };
  },

  async closeIdle() {
    idle?.abort.abort();
    await idle?.ended;
    idle = undefined;
  },
};
export type LoadCommands = typeof commands;
carryOut(commands);

/** Calls SendMessage once, and throws for an empty answer. */
function callOf(url: string, binding: LoadBinding): (text: string) => Promise<void> {
  if (binding !== "gRPC") return (text) => jsonUnary(url, binding, text);
  const client = clientOf(url);
  return async (text) => {
    const response = await client.sendMessage(request(text));
    if (response.payload.case === undefined) throw new Error("An empty answer");
  };
}

/** Reads a stream to its end, and counts its artifact updates. */
function readerOf(url: string, binding: LoadBinding): (text: string) => Promise<number> {
  if (binding !== "gRPC") return (text) => jsonStream(url, binding, text);
  const client = clientOf(url);
  return async (text) => {
    let chunks = 0;
    for await (const { payload } of client.sendStreamingMessage(request(text)))
      if (payload.case === "artifactUpdate") chunks++;
    return chunks;
  };
}

function clientOf(url: string): A2AClient {
  let client = clients.get(url);
  if (client === undefined) {
    client = newClient(url);
    clients.set(url, client);
  }
  return client;
}

/** Servers take a client that says nothing for one of version 0.3 (R138). */
const namingVersion: Interceptor = (next) => (call) => {
  call.header.set("A2A-Version", "1.0");
  return next(call);
};

function newClient(url: string): A2AClient {
  return createClient(
    A2AService,
    createGrpcTransport({ baseUrl: url, idleConnectionTimeoutMs: 1000, interceptors: [namingVersion] }),
  );
}

function request(text: string) {
  return {
    message: {
      messageId: crypto.randomUUID(),
      role: Role.USER,
      parts: [{ content: { case: "text" as const, value: text } }],
    },
  };
}
