import type { ConnectRouter, HandlerContext } from "@connectrpc/connect";
import { file_google_rpc_error_details } from "../../gen/google/rpc/error_details_pb.ts";
import { ServerReflection } from "../../gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as AlphaServerReflection } from "../../gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { Health } from "../../gen/health/v1/health_pb.ts";
import { closed } from "../domain/task-error.ts";
import { createTaskManager, type TaskManager } from "../manager/task-manager.ts";
import { systemClock } from "../runtime/clock.ts";
import { silentLogger } from "../runtime/logger.ts";
import { AgentCards, agentCardPath } from "../transport/agent-card/agent-cards.ts";
import { readCardKey } from "../transport/agent-card/card-key.ts";
import type { ServedBinding } from "../transport/agent-card/complete-card.ts";
import { type BindingName, bindingNames } from "../transport/binding-names.ts";
import { streamedMessageBytesMax } from "../transport/calls/call-limits.ts";
import type { CallSettings } from "../transport/calls/call-settings.ts";
import { connectHandler } from "../transport/connect/connect-handler.ts";
import {
  callSettings,
  connectProtocols,
  connectRoutes,
  enterCall,
  withReadMessages,
} from "../transport/connect/connect-routes.ts";
import { takeReadMessage } from "../transport/connect/read-request.ts";
import { below } from "../transport/embedding/below.ts";
import { fetchHandler } from "../transport/embedding/fetch-handler.ts";
import { withReadBody } from "../transport/embedding/read-body.ts";
import { connectErrorOf } from "../transport/errors/errors.ts";
import { grpcHandler } from "../transport/grpc/grpc-handler.ts";
import { httpJsonHandler } from "../transport/http-json/http-json-handler.ts";
import { openApiHandler } from "../transport/http-json/openapi.ts";
import { jsonRpcHandler } from "../transport/json-rpc/json-rpc-handler.ts";
import { withV03Members } from "../transport/json-rpc-v03/card-v03.ts";
import { dialectV03, isV03 } from "../transport/json-rpc-v03/dialect-v03.ts";
import type { ListenerHandler } from "../transport/listener/listener.ts";
import { firstOf, type RequestHandler } from "../transport/listener/request-handler.ts";
import { checkHost } from "../transport/pages/check-host.ts";
import { allowOrigins } from "../transport/pages/cors.ts";
import { healthPages } from "../transport/pages/health-pages.ts";
import { notFoundPage, unknownGrpcMethod } from "../transport/pages/not-found.ts";
import { checkOrigin } from "../transport/pages/origin-check.ts";
import { safeHeaders } from "../transport/pages/safe-headers.ts";
import { connectCompressions } from "../transport/request-bounds/decompress.ts";
import { healthService } from "../transport/services/health-service.ts";
import { reflectionServices } from "../transport/services/reflection-service.ts";
import { type ServedService, servedServices } from "../transport/services/services.ts";
import type { HandlerOptions } from "./server-options.ts";
import { withCard } from "./with-card.ts";

/** The interfaces that the card lists, the preferred one first. */
const cardBindings: readonly (ServedBinding & { readonly name: BindingName })[] = [
  { name: "grpc", protocolBinding: "GRPC" },
  { name: "http+json", protocolBinding: "HTTP+JSON" },
  { name: "json-rpc", protocolBinding: "JSONRPC", path: "/" },
  { name: "json-rpc", protocolBinding: "JSONRPC", path: "/", protocolVersion: "0.3" },
];

/** A task manager with all its bindings, without a port: for HTTP servers of Node's and for hosts that speak fetch. */
export interface Handler extends AsyncDisposable {
  readonly manager: TaskManager;
  /** Answers a request of `node:http` or `node:http2`. Needs no `this`. */
  readonly node: ListenerHandler;
  /**
   * Answers a request of fetch, over every binding but plain gRPC, whose calls get UNIMPLEMENTED: a `Response` has no
   * trailers. Never rejects. Needs no `this`.
   */
  readonly fetch: (request: Request) => Promise<Response>;
  /**
   * Completes, signs and publishes the agent cards. `address` is where clients reach the server; `publicUrl` wins.
   * Requests for a card wait for it. Only the first call counts. A handler with a `publicUrl` publishes by itself.
   */
  publish(address: URL): Promise<void>;
  /**
   * Begins the end: reports "not ready" and rejects new work. Running turns have `turnsMs` to end, `drainTurnsMs` by
   * default; then they are aborted. Resolves once no stream has more to say and no new connection is needed. Calls that
   * are open `drainTimeoutMs` after the turns' time end with UNAVAILABLE. Only the first call counts.
   */
  drain(turnsMs?: number): Promise<void>;
  /** Drains, waits for the manager's last writes, then ends what is still open. */
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Creates a handler. Throws TaskError INVALID_REQUEST for manager options out of range, a card that can't be published,
 * a key that can't sign, and a path prefix that is none.
 */
export async function createHandler(options: HandlerOptions): Promise<Handler> {
  const { processor, storage, logger = silentLogger, publicUrl } = options;
  const agent = options.card?.agent === undefined ? processor : withCard(processor, options.card.agent);
  const cards = await agentCards(options, agent.card);
  const manager = await createTaskManager(agent, storage, options.manager, { logger });
  const ending: Ending = { watches: new AbortController(), calls: new AbortController() };
  const { bindings, a2aVersion, heartbeatMs, maxReadingBytes, maxConnectionReadingBytes } = options.calls ?? {};
  const { maxAnswerBytes, maxConnectionAnswerBytes } = options.calls ?? {};
  const maxEventBytes = options.manager?.maxEventBytes;
  const settings = callSettings(manager, {
    logger,
    a2aVersion,
    shutdownSignal: ending.calls.signal,
    ...(bindings && { bindings }),
    ...(options.card?.extended && cards && { extendedCard: () => cards.extended() }),
    ...(heartbeatMs !== undefined && { heartbeatMs }),
    ...(maxEventBytes !== undefined && { eventBytesMax: maxEventBytes }),
    load: {
      ...(maxReadingBytes !== undefined && { readingBytesMax: maxReadingBytes }),
      ...(maxConnectionReadingBytes !== undefined && { connectionReadingBytesMax: maxConnectionReadingBytes }),
      ...(maxAnswerBytes !== undefined && { answerBytesMax: maxAnswerBytes }),
      ...(maxConnectionAnswerBytes !== undefined && { connectionAnswerBytesMax: maxConnectionAnswerBytes }),
    },
  });
  const services = servedServices(manager, settings);
  const handlers = [
    ...pageHandlers(manager, options, cards),
    ...bindingHandlers(manager, services, settings, ending, publicUrl),
  ];
  const handle = below(options.pathPrefix, firstOf(handlers, notFoundPage(settings.bindings)));
  const node = withReadBody(handle, logger);
  const toPublish = publicUrl === undefined ? cards : undefined;
  return new ManagerHandler(manager, { node, fetch: fetchHandler(handle) }, ending, drainTimes(options), toPublish);
}

/**
 * The cards, published if it is known where clients reach the server; undefined if none of A2A's own bindings is
 * enabled: a card would have no interface to list.
 */
async function agentCards(
  { card: cardOptions = {}, calls, allowAnonymous = false, publicUrl, logger = silentLogger }: HandlerOptions,
  card: HandlerOptions["processor"]["card"],
): Promise<AgentCards | undefined> {
  const { extended: extendedCard, keysUrl, keys: keyTexts = [] } = cardOptions;
  const keys = await Promise.all(keyTexts.map((key, index) => readCardKey(key, `card.keys[${index}]`)));
  const served = cardBindings.filter(({ name }) => (calls?.bindings ?? bindingNames).includes(name));
  if (served.length === 0) return undefined;
  const given = { card, extendedCard, allowAnonymous, publicUrl, keysUrl, logger };
  const cards = new AgentCards({ ...given, served, keys, withOlderMembers: withV03Members });
  if (publicUrl !== undefined) await cards.publish(publicUrl);
  return cards;
}

/** What comes before the bindings. Each handler answers a request or passes it on, in this order. */
function pageHandlers(
  { readiness }: TaskManager,
  { origins, publicUrl, allowAnonymous = false }: HandlerOptions,
  cards: AgentCards | undefined,
): readonly RequestHandler[] {
  const { allowed = [], localNamesOnly = !allowAnonymous } = origins ?? {};
  return [
    safeHeaders,
    checkHost,
    ...(allowed.length > 0 ? [allowOrigins(allowed)] : []),
    healthPages(readiness),
    checkOrigin({
      corsOrigins: allowed,
      publicUrl,
      isLocal: localNamesOnly,
      openPaths: ["/", "/openapi.json", agentCardPath],
    }),
    ...(cards ? [cards.page] : []),
  ];
}

/** The enabled bindings, in the order in which they are asked. */
function bindingHandlers(
  manager: TaskManager,
  services: readonly ServedService[],
  settings: CallSettings,
  ending: Ending,
  publicUrl: URL | undefined,
): readonly RequestHandler[] {
  const { bindings } = settings;
  const handlers: RequestHandler[] = [];
  if (bindings.has("grpc")) handlers.push(grpcHandler(services, settings));
  if (Object.values(connectProtocols(settings)).includes(true))
    handlers.push(connectHandler(connectServices(manager, services, settings, ending), settings));
  handlers.push(unknownGrpcMethod);
  if (bindings.has("json-rpc")) {
    const v03 = dialectV03(services);
    const dialectOf = (...call: Parameters<typeof isV03>) => (isV03(...call) ? v03 : undefined);
    handlers.push(jsonRpcHandler(services, { ...settings, dialectOf }));
  }
  if (bindings.has("http+json")) handlers.push(openApiHandler(publicUrl), httpJsonHandler(services, settings));
  return handlers;
}

/** Connect's routes: the services, health and reflection. */
function connectServices(
  { readiness }: TaskManager,
  services: readonly ServedService[],
  settings: CallSettings,
  ending: Ending,
): (router: ConnectRouter) => void {
  const descriptors = services.map(({ service }) => service);
  const names = descriptors.map(({ typeName }) => typeName);
  const reflection = reflectionServices(
    [...descriptors, Health, ServerReflection, AlphaServerReflection],
    [file_google_rpc_error_details],
  );
  const watching = {
    ...connectProtocols(settings),
    requestGate: (context: HandlerContext) => enterCall(context, settings),
    shutdownSignal: ending.watches.signal,
    readMaxBytes: streamedMessageBytesMax,
    acceptCompression: [...connectCompressions],
    interceptors: [takeReadMessage],
  };
  const register = (router: ConnectRouter) => {
    router.service(Health, healthService(readiness, names), watching);
    router.service(ServerReflection, reflection.v1, watching);
    router.service(AlphaServerReflection, reflection.v1alpha, watching);
  };
  return (router) => {
    connectRoutes(services, settings)(router);
    withReadMessages(router, register, () => streamedMessageBytesMax);
  };
}

/** What ends calls when the server drains. */
interface Ending {
  /** For streams that report the server's state: nothing more will come. */
  readonly watches: AbortController;
  /** For calls that did not end in time by themselves. */
  readonly calls: AbortController;
}

/** How long what runs may go on when the server drains: turns, and after them calls. Milliseconds. */
export interface DrainTimes {
  readonly drainTurnsMs: number;
  readonly drainTimeoutMs: number;
}

/** Both, and a second for the last answers, fit into the 30 s that Kubernetes gives. */
export function drainTimes({ drainTurnsMs = 15_000, drainTimeoutMs = 10_000 }: HandlerOptions): DrainTimes {
  return { drainTurnsMs, drainTimeoutMs };
}

/** States: serving → draining → ended. */
class ManagerHandler implements Handler {
  readonly manager: TaskManager;
  readonly node: ListenerHandler;
  readonly fetch: (request: Request) => Promise<Response>;
  readonly #ending: Ending;
  readonly #drainTimes: DrainTimes;
  /** Undefined if there is nothing left to publish. */
  readonly #cards: AgentCards | undefined;
  readonly #unavailable = connectErrorOf(closed());
  #published: Promise<void> | undefined;
  #drained: Promise<void> | undefined;
  #managerEnded: Promise<void> | undefined;
  #cancelTimeout = () => {};

  constructor(
    manager: TaskManager,
    { node, fetch }: Pick<Handler, "node" | "fetch">,
    ending: Ending,
    drainTimes: DrainTimes,
    cards: AgentCards | undefined,
  ) {
    this.manager = manager;
    this.node = node;
    this.fetch = fetch;
    this.#ending = ending;
    this.#drainTimes = drainTimes;
    this.#cards = cards;
  }

  async publish(address: URL): Promise<void> {
    this.#published ??= this.#cards?.publish(address) ?? Promise.resolve();
    await this.#published;
  }

  drain(turnsMs = this.#drainTimes.drainTurnsMs): Promise<void> {
    this.#drained ??= this.#drain(turnsMs);
    return this.#drained;
  }

  async #drain(turnsMs: number): Promise<void> {
    // Its first step rejects new work and wakes everybody who watches the readiness.
    await this.manager.drain(turnsMs);
    this.#managerEnded = Promise.resolve(this.manager[Symbol.asyncDispose]());
    const { calls, watches } = this.#ending;
    this.#cancelTimeout = systemClock.after(this.#drainTimes.drainTimeoutMs, () => calls.abort(this.#unavailable));
    await Promise.race([this.#managerEnded, aborted(calls.signal)]);
    watches.abort(this.#unavailable);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.drain();
    await this.#managerEnded;
    this.#cancelTimeout();
    this.#ending.calls.abort(this.#unavailable);
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
