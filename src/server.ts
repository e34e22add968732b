import type { MessageProcessor } from "./manager/message-processor.ts";
import type { ManagerOptions } from "./manager/options.ts";
import { createTaskManager, type TaskManager } from "./manager/task-manager.ts";
import { type Logger, silentLogger } from "./runtime/logger.ts";
import type { Storage } from "./storage/storage.ts";
import { connectHandler } from "./transport/connect-handler.ts";
import { healthPages } from "./transport/health-pages.ts";
import { createPort, type Port, type PortHandler, type PortOptions } from "./transport/port.ts";
import { answer, errorJson, firstOf, type RequestHandler } from "./transport/request-handler.ts";
import { a2aRoutes } from "./transport/routes.ts";

export interface ServerOptions extends ManagerOptions {
  readonly processor: MessageProcessor;
  /** Stays the caller's: disposing the server doesn't dispose it. */
  readonly storage: Storage;
  /** Default 127.0.0.1: reached from this machine alone. */
  readonly host?: string;
  /** Default 8080; 0: any free one. */
  readonly port?: number;
  /** Certificate chain and private key, PEM. With them the port speaks TLS only. */
  readonly tls?: NonNullable<PortOptions["tls"]>;
  readonly logger?: Logger;
  /** How long calls may go on once the server drains, milliseconds. Default 10 s. */
  readonly drainTimeoutMs?: number;
}

/** One port, all bindings. */
export interface Server extends AsyncDisposable {
  /** Where it is reached; the port is the real one once `listen` has resolved. */
  readonly url: URL;
  readonly manager: TaskManager;
  /** Rejects with Node's error, such as EADDRINUSE. */
  listen(): Promise<void>;
  /** Takes no new calls, tells running turns to stop, lets calls end within the limit, then cuts what is left. */
  drain(): Promise<void>;
}

/** Makes a server that doesn't listen yet. */
export async function createServer(options: ServerOptions): Promise<Server> {
  const { processor, storage, host = "127.0.0.1", port = 8080, tls, logger = silentLogger, drainTimeoutMs = 10_000, ...managerOptions } = options;
  const manager = await createTaskManager(processor, storage, managerOptions, { logger });
  const { maxEventBytes } = managerOptions;
  // In this order: each answers a request or passes it on.
  const handlers: readonly RequestHandler[] = [
    healthPages(manager.readiness),
    connectHandler(a2aRoutes(manager, { logger, ...(maxEventBytes !== undefined && { eventBytesMax: maxEventBytes }) }), logger),
  ];
  const listener = createPort({ handler: firstOf(handlers, notFound), host, port, logger, ...(tls && { tls }) });
  return new OneServer(manager, listener, new URL(`${tls ? "https" : "http"}://${host.includes(":") ? `[${host}]` : host}:${port}`), drainTimeoutMs);
}

class OneServer implements Server {
  readonly manager: TaskManager;
  readonly #listener: Port;
  readonly #drainTimeoutMs: number;
  #url: URL;
  #draining: Promise<void> | undefined;

  constructor(manager: TaskManager, listener: Port, url: URL, drainTimeoutMs: number) {
    this.manager = manager;
    this.#listener = listener;
    this.#url = url;
    this.#drainTimeoutMs = drainTimeoutMs;
  }

  get url(): URL {
    return this.#url;
  }

  async listen(): Promise<void> {
    const { port } = await this.#listener.listen();
    const url = new URL(this.#url);
    url.port = String(port);
    this.#url = url;
  }

  drain(): Promise<void> {
    this.#draining ??= this.#drain();
    return this.#draining;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.drain();
  }

  /** The turns end first, or within their grace time: a call that waits for one is then answered, or told that the server goes down. */
  async #drain(): Promise<void> {
    const closed = this.#listener.close(this.#drainTimeoutMs);
    await this.manager[Symbol.asyncDispose]();
    await closed;
  }
}

/** Everything that nobody answers. A browser that comes by is told where it is. */
const notFound: PortHandler = (request, response) => {
  if (request.url === "/" && (request.method === "GET" || request.method === "HEAD")) {
    const text = "A2A Task Manager: gRPC, gRPC-Web and Connect at /lf.a2a.v1.A2AService/\n";
    answer(request, response, { status: 200, type: "text/plain; charset=utf-8" }, text);
  } else {
    answer(request, response, { status: 404 }, errorJson(404, "NOT_FOUND", "No such resource"));
  }
};
