import type { ConnectRouter } from "@connectrpc/connect";
import { file_google_rpc_error_details } from "../../gen/google/rpc/error_details_pb.ts";
import { ServerReflection } from "../../gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as AlphaServerReflection } from "../../gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { Health } from "../../gen/health/v1/health_pb.ts";
import type { MessageProcessor } from "../agent/message-processor.ts";
import { closed } from "../domain/task-error.ts";
import type { ManagerOptions } from "../manager/options.ts";
import { createTaskManager, type TaskManager } from "../manager/task-manager.ts";
import { systemClock } from "../runtime/clock.ts";
import { type Logger, silentLogger } from "../runtime/logger.ts";
import type { Storage } from "../storage/storage.ts";
import { AgentCards } from "../transport/agent-card/agent-cards.ts";
import type { AgentCardInit } from "../transport/agent-card/capabilities.ts";
import { type CardKeyText, readCardKey } from "../transport/agent-card/card-key.ts";
import type { ServedBinding } from "../transport/agent-card/complete-card.ts";
import { type BindingName, bindingNames } from "../transport/binding-names.ts";
import type { VersionMode } from "../transport/calls/a2a-version.ts";
import { connectHandler } from "../transport/connect/connect-handler.ts";
import { callSettings, connectProtocols, connectRoutes } from "../transport/connect/connect-routes.ts";
import { connectErrorOf } from "../transport/errors/errors.ts";
import { grpcHandler } from "../transport/grpc/grpc-handler.ts";
import { httpJsonHandler } from "../transport/http-json/http-json-handler.ts";
import { openApiHandler } from "../transport/http-json/openapi.ts";
import { type JsonRpcOptions, jsonRpcHandler } from "../transport/json-rpc/json-rpc-handler.ts";
import { withV03Members } from "../transport/json-rpc-v03/card-v03.ts";
import { dialectV03, isV03 } from "../transport/json-rpc-v03/dialect-v03.ts";
import { createListener, type Listener, type ListenerOptions } from "../transport/listener/listener.ts";
import { firstOf, type RequestHandler } from "../transport/listener/request-handler.ts";
import { allowOrigins } from "../transport/pages/cors.ts";
import { healthPages } from "../transport/pages/health-pages.ts";
import { isLoopback } from "../transport/pages/loopback.ts";
import { notFound } from "../transport/pages/not-found.ts";
import { checkOrigin } from "../transport/pages/origin-check.ts";
import { healthService } from "../transport/services/health-service.ts";
import { questionBytesMax, reflectionServices } from "../transport/services/reflection-service.ts";
import { servedServices } from "../transport/services/services.ts";
import { withCard } from "./with-card.ts";

export interface ServerOptions extends ManagerOptions {
  readonly processor: MessageProcessor;
  /** Stays the caller's: disposing the server doesn't dispose it. */
  readonly storage: Storage;
  /** Default 127.0.0.1: reached from this machine alone. */
  readonly host?: string;
  /** Default 8080; 0: any free one. */
  readonly port?: number;
  /** Certificate chain and private key, PEM. With them the port speaks TLS only. */
  readonly tls?: NonNullable<ListenerOptions["tls"]>;
  readonly logger?: Logger;
  /**
   * Origins whose pages may call from a browser, such as `https://example.com`; `*`: all. Default: none, others are
   * answered 403.
   */
  readonly corsOrigins?: readonly string[];
  /** A connection of this age, milliseconds, takes no more calls: GOAWAY. Default 0: any age. */
  readonly maxConnectionAgeMs?: number;
  /** Calls that are open on it then are cut after this long, milliseconds. Default 5 min. */
  readonly maxConnectionAgeGraceMs?: number;
  /** Which ways to call are offered. Default: all. */
  readonly bindings?: readonly BindingName[];
  /** Silence on a stream after which a sign of life goes out, milliseconds. Default 25 s. */
  readonly heartbeatMs?: number;
  /**
   * How long calls may go on once the server drains, milliseconds; then they are answered UNAVAILABLE. Default 10 s.
   */
  readonly drainTimeoutMs?: number;
  /**
   * What a call of the A2A contract means that names no version: 0.3, which is refused ("strict"), or 1.0 ("lenient").
   * Default "strict".
   */
  readonly a2aVersion?: VersionMode;
  /** The agent's card, instead of the processor's. What it leaves out is filled in. */
  readonly card?: AgentCardInit;
  /** The extended card; it needs `allowAnonymous`. */
  readonly extendedCard?: AgentCardInit;
  /**
   * Anybody who reaches the port may have what is for authenticated callers: nothing asks callers who they are yet.
   * Without it a server on a loopback address answers only to names that mean this machine, and to that of `publicUrl`.
   * Default false.
   */
  readonly allowAnonymous?: boolean;
  /**
   * Where clients reach the server, as its card says: its origin, and a path if a proxy puts one before it. Default:
   * the address it listens on.
   */
  readonly publicUrl?: URL;
  /** Each signs the cards. Default: none does. */
  readonly cardKeys?: readonly CardKeyText[];
  /** Where verifiers find the public keys, for the signatures' `jku`. */
  readonly cardKeysUrl?: URL;
}

/** What the card lists, the preferred one first. */
const cardBindings: readonly (ServedBinding & { readonly name: BindingName })[] = [
  { name: "grpc", protocolBinding: "GRPC" },
  { name: "http+json", protocolBinding: "HTTP+JSON" },
  { name: "json-rpc", protocolBinding: "JSONRPC", path: "/" },
  { name: "json-rpc", protocolBinding: "JSONRPC", path: "/", protocolVersion: "0.3" },
];

/** One port, all bindings. */
export interface Server extends AsyncDisposable {
  /** Where it is reached; the port is the real one once `listen` has resolved. */
  readonly url: URL;
  readonly manager: TaskManager;
  /** Rejects with Node's error, such as EADDRINUSE. */
  listen(): Promise<void>;
  /**
   * Says that it goes down (`/readyz`, gRPC health), refuses new work, tells running turns to stop; once they have
   * ended, whoever waits is answered, streams end behind what was committed, and the port closes. Past the limit all
   * that is open is answered UNAVAILABLE.
   */
  drain(): Promise<void>;
}

/**
 * Makes a server that doesn't listen yet. Throws TaskError INVALID_REQUEST for a card that can't be published and a key
 * that can't sign.
 */
export async function createServer(options: ServerOptions): Promise<Server> {
  const {
    processor,
    storage,
    host = "127.0.0.1",
    port = 8080,
    tls,
    logger = silentLogger,
    drainTimeoutMs = 10_000,
    ...others
  } = options;
  const { card, extendedCard, allowAnonymous = false, publicUrl, cardKeys = [], cardKeysUrl, ...more } = others;
  const {
    bindings,
    a2aVersion,
    heartbeatMs,
    corsOrigins = [],
    maxConnectionAgeMs,
    maxConnectionAgeGraceMs,
    ...managerOptions
  } = more;
  const agent = card === undefined ? processor : withCard(processor, card);
  const keys = await Promise.all(cardKeys.map((key, index) => readCardKey(key, `cardKeys[${index}]`)));
  const served = cardBindings.filter(({ name }) => (bindings ?? bindingNames).includes(name));
  // Where none of A2A's own bindings is offered there is nothing that a card could list.
  const given = { card: agent.card, extendedCard, allowAnonymous, publicUrl, keysUrl: cardKeysUrl, logger };
  const cards =
    served.length === 0 ? undefined : new AgentCards({ ...given, served, keys, withOlderMembers: withV03Members });
  const manager = await createTaskManager(agent, storage, managerOptions, { logger });
  const { maxEventBytes } = managerOptions;
  const ending: Ending = { watches: new AbortController(), calls: new AbortController() };
  const settings = callSettings(manager, {
    logger,
    a2aVersion,
    shutdownSignal: ending.calls.signal,
    ...(bindings && { bindings }),
    ...(extendedCard && cards && { extendedCard: () => cards.extended() }),
    ...(heartbeatMs !== undefined && { heartbeatMs }),
    ...(maxEventBytes !== undefined && { eventBytesMax: maxEventBytes }),
  });
  const services = servedServices(manager, settings);
  const v03 = dialectV03(services, settings.gate);
  const routes = (router: ConnectRouter) => {
    connectRoutes(services, settings)(router);
    const served = services.map(({ service }) => service);
    const reflection = reflectionServices(
      [...served, Health, ServerReflection, AlphaServerReflection],
      [file_google_rpc_error_details],
    );
    const watching = {
      ...connectProtocols(settings),
      shutdownSignal: ending.watches.signal,
      readMaxBytes: questionBytesMax,
    };
    const names = served.map(({ typeName }) => typeName);
    router.service(Health, healthService(manager.readiness, names), watching);
    router.service(ServerReflection, reflection.v1, watching);
    router.service(AlphaServerReflection, reflection.v1alpha, watching);
  };
  const dialectOf: JsonRpcOptions["dialectOf"] = (...request) => (isV03(...request) ? v03 : undefined);
  // In this order: each answers a request or passes it on.
  const handlers: readonly RequestHandler[] = [
    ...(corsOrigins.length > 0 ? [allowOrigins(corsOrigins)] : []),
    healthPages(manager.readiness),
    checkOrigin({ corsOrigins, publicUrl, isLocal: isLoopback(host) && !allowAnonymous }),
    ...(cards ? [cards.page] : []),
    ...(settings.bindings.has("grpc") ? [grpcHandler(services, settings)] : []),
    ...(Object.values(connectProtocols(settings)).includes(true) ? [connectHandler(routes, logger)] : []),
    ...(settings.bindings.has("json-rpc") ? [jsonRpcHandler(services, { ...settings, dialectOf })] : []),
    ...(settings.bindings.has("http+json") ? [openApiHandler(publicUrl), httpJsonHandler(services, settings)] : []),
  ];
  const limits = {
    ...(maxConnectionAgeMs !== undefined && { ageMs: maxConnectionAgeMs }),
    ...(maxConnectionAgeGraceMs !== undefined && { ageGraceMs: maxConnectionAgeGraceMs }),
  };
  const listener = createListener({
    handler: firstOf(handlers, notFound(settings.bindings)),
    host,
    port,
    logger,
    limits,
    ...(tls && { tls }),
  });
  const url = new URL(`${tls ? "https" : "http"}://${host.includes(":") ? `[${host}]` : host}:${port}`);
  return new OneServer(manager, listener, url, ending, drainTimeoutMs, async (listening) => cards?.publish(listening));
}

/** What ends calls when the server goes down. */
interface Ending {
  /** Streams that only tell how the server is: nothing more comes. */
  readonly watches: AbortController;
  /** Calls that took too long to end by themselves. */
  readonly calls: AbortController;
}

/** What answers take to go out to a client that reads, once the time for calls is over. */
const lastWordsMs = 1_000;

class OneServer implements Server {
  readonly manager: TaskManager;
  readonly #listener: Listener;
  readonly #ending: Ending;
  readonly #drainTimeoutMs: number;
  readonly #onListening: (url: URL) => Promise<void>;
  #url: URL;
  #draining: Promise<void> | undefined;

  constructor(
    manager: TaskManager,
    listener: Listener,
    url: URL,
    ending: Ending,
    drainTimeoutMs: number,
    onListening: (url: URL) => Promise<void>,
  ) {
    this.manager = manager;
    this.#listener = listener;
    this.#url = url;
    this.#ending = ending;
    this.#drainTimeoutMs = drainTimeoutMs;
    this.#onListening = onListening;
  }

  get url(): URL {
    return this.#url;
  }

  async listen(): Promise<void> {
    const { port } = await this.#listener.listen();
    const url = new URL(this.#url);
    url.port = String(port);
    this.#url = url;
    await this.#onListening(url);
  }

  drain(): Promise<void> {
    this.#draining ??= this.#drain();
    return this.#draining;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.drain();
  }

  async #drain(): Promise<void> {
    const unavailable = connectErrorOf(closed());
    const begunMs = performance.now();
    // In its first step it stops taking work, and everybody who watches is told.
    const ended = this.manager[Symbol.asyncDispose]();
    const cancel = systemClock.after(this.#drainTimeoutMs, () => this.#ending.calls.abort(unavailable));
    // Open all the while, so that those who come are told to go elsewhere, and load balancers can see why.
    await Promise.race([ended, aborted(this.#ending.calls.signal)]);
    this.#ending.watches.abort(unavailable);
    const leftMs = Math.max(0, this.#drainTimeoutMs - (performance.now() - begunMs));
    const gone = this.#listener.close(leftMs + lastWordsMs);
    await Promise.all([ended, gone]);
    cancel();
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
