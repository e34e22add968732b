import type { TaskManager } from "../manager/task-manager.ts";
import { createListener, type Listener, type ListenerOptions } from "../transport/listener/listener.ts";
import { isLoopback } from "../transport/pages/loopback.ts";
import { createHandler, type Handler } from "./handler.ts";
import type { ServerListenerOptions, ServerOptions } from "./server-options.ts";

/** One port, all bindings. */
export interface Server extends AsyncDisposable {
  /** Where the server is reached. The port is the real one once `listen` has resolved. */
  readonly url: URL;
  readonly manager: TaskManager;
  /** Rejects with Node's error, such as EADDRINUSE. */
  listen(): Promise<void>;
  /**
   * Connections that begin from now on get this certificate; open ones go on. Throws Node's error for what can't be
   * used, and changes nothing then. Only for a server that was created with a certificate.
   */
  replaceTls(tls: NonNullable<ServerListenerOptions["tls"]>): void;
  /**
   * Drains the server: it reports "not ready" (`/readyz`, gRPC health), rejects new work and signals running turns to
   * end. Then waiting calls are answered, streams end after the last committed event, and the port closes. Calls that
   * are open after the drain timeout end with UNAVAILABLE.
   */
  drain(): Promise<void>;
}

/**
 * Creates a server that doesn't listen yet: a listener around one handler. Throws what `createHandler` throws.
 */
export async function createServer({ listener = {}, ...options }: ServerOptions): Promise<Server> {
  const { host = "127.0.0.1", port = 8080, tls } = listener;
  const { origins, allowAnonymous = false, drainTimeoutMs = 10_000, logger } = options;
  const localNamesOnly = origins?.localNamesOnly ?? (isLoopback(host) && !allowAnonymous);
  const handler = await createHandler({ ...options, drainTimeoutMs, origins: { ...origins, localNamesOnly } });
  const url = new URL(`${tls ? "https" : "http"}://${host.includes(":") ? `[${host}]` : host}:${port}`);
  return new ListeningServer(
    handler,
    createListener({
      handler: handler.handle,
      host,
      port,
      limits: limitsOf(listener),
      ...(logger && { logger }),
      ...(tls && { tls }),
    }),
    url,
    drainTimeoutMs,
  );
}

function limitsOf({
  maxConnectionAgeMs,
  maxConnectionAgeGraceMs,
}: ServerListenerOptions): NonNullable<ListenerOptions["limits"]> {
  return {
    ...(maxConnectionAgeMs !== undefined && { ageMs: maxConnectionAgeMs }),
    ...(maxConnectionAgeGraceMs !== undefined && { ageGraceMs: maxConnectionAgeGraceMs }),
  };
}

/** Time for the last answers to reach clients that read, after the time for calls is over. */
const lastAnswersMs = 1_000;

class ListeningServer implements Server {
  readonly #handler: Handler;
  readonly #listener: Listener;
  readonly #drainTimeoutMs: number;
  #url: URL;
  #draining: Promise<void> | undefined;

  constructor(handler: Handler, listener: Listener, url: URL, drainTimeoutMs: number) {
    this.#handler = handler;
    this.#listener = listener;
    this.#url = url;
    this.#drainTimeoutMs = drainTimeoutMs;
  }

  get url(): URL {
    return this.#url;
  }

  get manager(): TaskManager {
    return this.#handler.manager;
  }

  async listen(): Promise<void> {
    const { port } = await this.#listener.listen();
    const url = new URL(this.#url);
    url.port = String(port);
    this.#url = url;
    await this.#handler.publish(url);
  }

  replaceTls(tls: NonNullable<ServerListenerOptions["tls"]>): void {
    this.#listener.replaceTls(tls);
  }

  drain(): Promise<void> {
    this.#draining ??= this.#drain();
    return this.#draining;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.drain();
  }

  async #drain(): Promise<void> {
    const begunMs = performance.now();
    // The port stays open meanwhile, so that new clients and load balancers learn that and why the server ends.
    await this.#handler.drain();
    const leftMs = Math.max(0, this.#drainTimeoutMs - (performance.now() - begunMs));
    await this.#listener.close(leftMs + lastAnswersMs);
    await this.#handler[Symbol.asyncDispose]();
  }
}
