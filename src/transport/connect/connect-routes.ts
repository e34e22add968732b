import type { DescMethod } from "@bufbuild/protobuf";
import {
  ConnectError,
  type ConnectRouter,
  type ConnectRouterOptions,
  type HandlerContext,
  type Interceptor,
} from "@connectrpc/connect";
import { managerDefaults } from "../../manager/options.ts";
import type { TaskManager } from "../../manager/task-manager.ts";
import { systemClock } from "../../runtime/clock.ts";
import { type Logger, silentLogger } from "../../runtime/logger.ts";
import type { VersionMode } from "../admission/a2a-version.ts";
import { admission } from "../admission/admission.ts";
import { capabilitiesOf } from "../agent-card/capabilities.ts";
import { type BindingName, bindingNames } from "../binding-names.ts";
import { defaultHooks } from "../calls/call-hooks.ts";
import { requestBytesMax, streamedMessageBytesMax } from "../calls/call-limits.ts";
import { logCalls } from "../calls/call-log.ts";
import type { CallSettings, ExtendedCard } from "../calls/call-settings.ts";
import { exchangeKey } from "../calls/exchange.ts";
import { OpenExchanges } from "../calls/open-exchanges.ts";
import { admitCall, beginCall } from "../calls/run-call.ts";
import { describeRefusals, toConnectError } from "../errors/errors.ts";
import { type CallWork, workKey, workOf, workUntilAborted } from "../load/call-work.ts";
import type { LoadLimits } from "../load/load-limits.ts";
import { connectCompressions } from "../request-bounds/decompress.ts";
import { type ServedService, servedServices } from "../services/services.ts";
import { takeReadMessage, withReadMessage } from "./read-request.ts";

export interface RoutesOptions {
  readonly logger?: Logger;
  /**
   * Silence on a stream after which a heartbeat is sent, milliseconds. Default 25 s: below the limits at which proxies
   * cut streams.
   */
  readonly heartbeatMs?: number;
  /**
   * The largest message that the manager takes, bytes (`maxEventBytes`). A request may be a little larger. Default: the
   * manager's.
   */
  readonly eventBytesMax?: number;
  /** Ends every open call when it is aborted. Its reason is a ConnectError, which clients get. */
  readonly shutdownSignal?: AbortSignal;
  /** The enabled protocols. Default: all. */
  readonly bindings?: readonly BindingName[];
  /** How a call without a version is taken: as 0.3 and rejected ("strict"), or as 1.0 ("lenient"). Default "strict". */
  readonly a2aVersion?: VersionMode | undefined;
  readonly extendedCard?: ExtendedCard | undefined;
  /**
   * Bounds of what clients may make the server hold at once. Those of answers hold on a server; a router of your own
   * writes as it does.
   */
  readonly load?: Partial<LoadLimits>;
}

/**
 * Registers the services on any Connect router: Express, Fastify, Next, a server of your own. Serves gRPC, gRPC-Web and
 * Connect.
 */
export function a2aRoutes(manager: TaskManager, options: RoutesOptions = {}): (router: ConnectRouter) => void {
  const settings = callSettings(manager, options);
  return connectRoutes(servedServices(manager, settings), settings);
}

/** The same for services that other bindings serve as well. */
export function connectRoutes(
  services: readonly ServedService[],
  settings: CallSettings,
): (router: ConnectRouter) => void {
  const { readBytesMax, shutdownSignal } = settings;
  const handlerOptions: Partial<ConnectRouterOptions> = {
    ...connectProtocols(settings),
    requestGate: (context) => {
      const { gates } = context.values.get(exchangeKey)?.connection ?? settings.hooks.load.connectionOf(undefined);
      return enterCall(context, settings, workOf(context, gates));
    },
    acceptCompression: [...connectCompressions],
    interceptors: [unaryCalls(settings), takeReadMessage],
    ...(shutdownSignal && { shutdownSignal }),
  };
  const register = (router: ConnectRouter) => {
    for (const { methods } of services)
      for (const { method, impl } of Object.values(methods)) {
        const readMaxBytes = messageBytesMax(method, readBytesMax);
        router.rpc(method, impl as never, { ...handlerOptions, readMaxBytes });
      }
  };
  return (router) => withReadMessages(router, register, (method) => messageBytesMax(method, readBytesMax));
}

/** Registers routes whose requests are read by `withReadMessage`. Their interceptors end with `takeReadMessage`. */
export function withReadMessages(
  router: ConnectRouter,
  register: (router: ConnectRouter) => void,
  bytesMax: (method: DescMethod) => number,
): void {
  const before = router.handlers.length;
  register(router);
  for (let index = before; index < router.handlers.length; index++) {
    const handler = router.handlers[index];
    if (handler !== undefined) router.handlers[index] = withReadMessage(handler, bytesMax(handler.method));
  }
}

function messageBytesMax({ methodKind }: DescMethod, readBytesMax: number): number {
  const isStreamed = methodKind === "bidi_streaming" || methodKind === "client_streaming";
  return isStreamed ? Math.min(streamedMessageBytesMax, readBytesMax) : readBytesMax;
}

/**
 * The way of a call up to its request, as in `runCall`: the `requestGate` of every route. Connect asks it before it
 * reads the body, and aborts the call's signal when the call is over, with the error if there is one (docs/adr/0008).
 * `work` begins when the body is read. Without it the call works at once.
 */
export async function enterCall(context: HandlerContext, settings: CallSettings, work?: CallWork): Promise<void> {
  describeRefusals(context);
  tellEncodings(context);
  const end = beginCall(context, settings);
  const { signal, values } = context;
  const onAbort = () => {
    work?.end();
    values.get(exchangeKey)?.dropBody();
    end(signal.reason instanceof ConnectError ? signal.reason : undefined);
  };
  if (signal.aborted) onAbort();
  else signal.addEventListener("abort", onAbort, { once: true });
  try {
    await admitCall(context, context.values.get(exchangeKey), settings);
  } catch (error) {
    throw toConnectError(error, settings.logger);
  }
}

/** Connect refuses a message in an unknown encoding. gRPC's clients read from this header which ones they may use. */
function tellEncodings({ requestHeader, responseHeader }: HandlerContext): void {
  const encoding = requestHeader.get("grpc-encoding") ?? "identity";
  const accepted = ["identity", ...connectCompressions.map(({ name }) => name)];
  if (!accepted.includes(encoding)) responseHeader.set("grpc-accept-encoding", accepted.join(","));
}

/**
 * The way of a unary call from its request to its answer, as in `runCall`: it ends with its signal, and errors are
 * mapped. Streams do both by themselves (`subscriptionEvents`).
 */
function unaryCalls({ logger }: CallSettings): Interceptor {
  return (next) => async (request) => {
    if (request.stream) return next(request);
    try {
      return await workUntilAborted(request.signal, request.contextValues.get(workKey), () => next(request));
    } catch (error) {
      throw toConnectError(error, logger);
    }
  };
}

/**
 * Connect's enabled protocols. It is an option of every route: a router's own option doesn't hold for routes with
 * options.
 */
export function connectProtocols({ bindings }: CallSettings): Partial<ConnectRouterOptions> {
  return { grpc: bindings.has("grpc"), grpcWeb: bindings.has("grpc-web"), connect: bindings.has("connect") };
}

/** The settings of all bindings, with defaults. */
export function callSettings({ card }: TaskManager, options: RoutesOptions): CallSettings {
  const {
    logger = silentLogger,
    heartbeatMs = 25_000,
    eventBytesMax = managerDefaults.maxEventBytes,
    shutdownSignal,
  } = options;
  const { bindings = bindingNames, a2aVersion = "strict", extendedCard, load } = options;
  const admit = admission(capabilitiesOf(card, extendedCard !== undefined), a2aVersion);
  const readBytesMax = requestBytesMax(eventBytesMax);
  return {
    admit,
    hooks: defaultHooks(load, logCalls(logger)),
    openExchanges: new OpenExchanges(shutdownSignal),
    extendedCard,
    logger,
    clock: systemClock,
    heartbeatMs,
    bindings: new Set(bindings),
    readBytesMax,
    ...(shutdownSignal && { shutdownSignal }),
  };
}
