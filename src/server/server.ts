import type { TaskManager } from "../manager/task-manager.ts";
import { createListener, type Listener, type ListenerOptions } from "../transport/listener/listener.ts";
import { isLoopback } from "../transport/pages/loopback.ts";
import { createHandler, type DrainTimes, drainTimes, type Handler } from "./handler.ts";
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
   * Drains the server: it reports "not ready" (`/readyz`, gRPC health), rejects new work, and lets running turns end
   * within `turnsMs`, `drainTurnsMs` by default. Then it aborts those that are left, answers waiting calls, ends
   * streams after the last committed event, and closes the port. Calls that are open after the drain timeout end with
   * UNAVAILABLE. Only the first call counts.
   */
  drain(turnsMs?: number): Promise<void>;
}

/**
 * Creates a server that doesn't listen yet: a listener around one handler. Throws what `createHandler` throws.
 */
export async function createServer({ listener = {}, ...options }: ServerOptions): Promise<Server> {
  const { host = "127.0.0.1", port = 8080, tls } = listener;
  const { origins, allowAnonymous = false, logger } = options;
  const localNamesOnly = origins?.localNamesOnly ?? (isLoopback(host) && !allowAnonymous);
  const handler = await createHandler({ ...options, origins: { ...origins, localNamesOnly } });
  const url = new URL(`${tls ? "https" : "http"}://${host.includes(":") ? `[${host}]` : host}:${port}`);
  return new ListeningServer(
    handler,
    createListener({
      handler: handler.node,
      host,
      port,
      limits: limitsOf(listener),
      ...(logger && { logger }),
      ...(tls && { tls }),
    }),
    url,
    drainTimes(options),
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
  readonly #drainTimes: DrainTimes;
  #url: URL;
  #draining: Promise<void> | undefined;

  constructor(handler: Handler, listener: Listener, url: URL, drainTimes: DrainTimes) {
    this.#handler = handler;
    this.#listener = listener;
    this.#url = url;
    this.#drainTimes = drainTimes;
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

  drain(turnsMs = this.#drainTimes.drainTurnsMs): Promise<void> {
    this.#draining ??= this.#drain(turnsMs);
    return this.#draining;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.drain();
  }

  async #drain(turnsMs: number): Promise<void> {
    // The port stays open meanwhile, so that new clients and load balancers learn that and why the server ends.
    await this.manager.drain(turnsMs);
    const begunMs = performance.now();
    await this.#handler.drain();
    const leftMs = Math.max(0, this.#drainTimes.drainTimeoutMs - (performance.now() - begunMs));
    await this.#listener.close(leftMs + lastAnswersMs);
    await this.#handler[Symbol.asyncDispose]();
  }
}
