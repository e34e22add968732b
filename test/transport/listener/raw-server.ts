import { request as http1Request, type IncomingHttpHeaders, type IncomingMessage } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import { text } from "node:stream/consumers";
import { demoProcessor } from "../../../src/agent/demo-processor.ts";
import { createServer, type Server } from "../../../src/server/server.ts";
import type { ServerOptions } from "../../../src/server/server-options.ts";
import { createMemoryStorage } from "../../../src/storage/memory/storage.ts";

export interface RawAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  /** The body as JSON; throws if it is none. */
  readonly json: Record<string, never> & never[];
}

export interface RawRequest {
  readonly method?: string;
  readonly headers?: Record<string, string | string[]>;
  readonly body?: string | Uint8Array;
}

/**
 * A server with the demo agent on a storage of its own, and requests to it that are sent as they are: paths aren't
 * normalized, no headers are added. So it is a lenient one: none of these requests is about its version.
 */
export interface RawServer extends AsyncDisposable {
  readonly server: Server;
  http1(path: string, request?: RawRequest): Promise<RawAnswer>;
  http2(path: string, request?: RawRequest): Promise<RawAnswer>;
  /** The answer as soon as its head is there; the body is the caller's to read. */
  open(path: string, request?: RawRequest): Promise<IncomingMessage>;
}

export async function startRawServer(options: Partial<ServerOptions> = {}): Promise<RawServer> {
  const storage = createMemoryStorage();
  const server = await createServer({
    processor: demoProcessor,
    storage,
    listener: { port: 0 },
    ...options,
    calls: { a2aVersion: "lenient", ...options.calls },
  });
  await server.listen();
  const open = (path: string, { method = "GET", headers = {}, body }: RawRequest = {}) =>
    new Promise<IncomingMessage>((resolve, reject) => {
      const request = http1Request(
        { host: "127.0.0.1", port: server.url.port, path, method, headers, agent: false },
        resolve,
      );
      request.on("error", reject);
      request.end(body);
    });
  return {
    server,
    open,
    async http1(path, request) {
      const response = await open(path, request);
      return answerOf(response.statusCode ?? 0, response.headers, await text(response));
    },
    async http2(path, { method = "GET", headers = {}, body } = {}) {
      const session = connectHttp2(server.url.origin, { maxSessionMemory: 64 });
      try {
        const stream = session.request({ ":method": method, ":path": path, ...headers });
        const head = new Promise<IncomingHttpHeaders>((resolve, reject) => {
          stream.once("response", resolve);
          stream.once("error", reject);
        });
        let trailers: IncomingHttpHeaders = {};
        stream.once("trailers", (received) => {
          trailers = received;
        });
        stream.end(body);
        const received = await head;
        const content = await text(stream);
        return answerOf(Number(received[":status"]), { ...received, ...trailers }, content);
      } finally {
        session.close();
      }
    },
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await storage[Symbol.asyncDispose]();
    },
  };
}

function answerOf(status: number, headers: IncomingHttpHeaders, body: string): RawAnswer {
  return {
    status,
    headers,
    body,
    get json() {
      return JSON.parse(body);
    },
  };
}

export function userMessage(content: string, init: object = {}) {
  return { messageId: crypto.randomUUID(), role: "ROLE_USER", parts: [{ text: content }], ...init };
}

/** The events of a stream's body, and its comments. */
export function eventsOf(body: string): {
  readonly events: readonly Record<string, string>[];
  readonly comments: number;
} {
  const blocks = body.split("\n\n").filter((block) => block !== "");
  const events = blocks.filter((block) => !block.startsWith(":"));
  return {
    events: events.map((block) =>
      Object.fromEntries(
        block.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]),
      ),
    ),
    comments: blocks.length - events.length,
  };
}
