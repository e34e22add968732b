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
import { capabilitiesOf } from "../agent-card/capabilities.ts";
import { type BindingName, bindingNames } from "../binding-names.ts";
import type { VersionMode } from "../calls/a2a-version.ts";
import { admission } from "../calls/admission.ts";
import { defaultHooks } from "../calls/call-hooks.ts";
import { streamedMessageBytesMax } from "../calls/call-limits.ts";
import type { CallSettings, ExtendedCard } from "../calls/call-settings.ts";
import { untilAborted } from "../calls/deadlines.ts";
import { exchangeKey } from "../calls/exchange.ts";
import { admitCall, beginCall } from "../calls/run-call.ts";
import { describeRefusals, toConnectError } from "../errors/errors.ts";
import { AnswerBudget, type AnswerLimits, answerLimits } from "../load/answer-budget.ts";
import { StalledAnswers } from "../load/stalled-answers.ts";
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
  /** Bounds of the answers that wait for clients. They hold on a server; a router of your own writes as it does. */
  readonly answers?: Partial<AnswerLimits>;
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
      describeRefusals(context);
      return enterCall(context, settings);
    },
    acceptCompression: [...connectCompressions],
    interceptors: [unaryCalls(settings), takeReadMessage],
    ...(shutdownSignal && { shutdownSignal }),
  };
  return (router) => {
    const before = router.handlers.length;
    for (const { methods } of services)
      for (const { method, impl } of Object.values(methods)) {
        const readMaxBytes = messageBytesMax(method, readBytesMax);
        router.rpc(method, impl as never, { ...handlerOptions, readMaxBytes });
      }
    for (let index = before; index < router.handlers.length; index++) {
      const handler = router.handlers[index];
      if (handler !== undefined)
        router.handlers[index] = withReadMessage(handler, messageBytesMax(handler.method, readBytesMax));
    }
  };
}

function messageBytesMax({ methodKind }: DescMethod, readBytesMax: number): number {
  const isStreamed = methodKind === "bidi_streaming" || methodKind === "client_streaming";
  return isStreamed ? Math.min(streamedMessageBytesMax, readBytesMax) : readBytesMax;
}

/**
 * The way of a call up to its request, as in `runCall`: the `requestGate` of every route. Connect asks it before it
 * reads the body, and aborts the call's signal when the call is over, with the error if there is one (docs/adr/0008).
 */
export async function enterCall(context: HandlerContext, settings: CallSettings): Promise<void> {
  const end = beginCall(context, settings);
  const { signal } = context;
  const onAbort = () => end(signal.reason instanceof ConnectError ? signal.reason : undefined);
  if (signal.aborted) onAbort();
  else signal.addEventListener("abort", onAbort, { once: true });
  try {
    await admitCall(context, context.values.get(exchangeKey), settings);
  } catch (error) {
    throw toConnectError(error, settings.logger);
  }
}

/**
 * The way of a unary call from its request to its answer, as in `runCall`: it ends with its signal, and errors are
 * mapped. Streams do both by themselves (`subscriptionEvents`).
 */
function unaryCalls({ logger }: CallSettings): Interceptor {
  return (next) => async (request) => {
    if (request.stream) return next(request);
    try {
      return await untilAborted(request.signal, () => next(request));
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
  const { bindings = bindingNames, a2aVersion = "strict", extendedCard } = options;
  const admit = admission(capabilitiesOf(card, extendedCard !== undefined), a2aVersion);
  // JSON takes 4/3 of the bytes for binary content, and a request holds more than its message. The manager measures
  // exactly.
  const readBytesMax = Math.ceil(eventBytesMax * 1.5) + 64 * 1024;
  return {
    admit,
    hooks: defaultHooks(),
    answers: new AnswerBudget(systemClock, { ...answerLimits, ...options.answers }),
    stalled: new StalledAnswers(systemClock),
    extendedCard,
    logger,
    clock: systemClock,
    heartbeatMs,
    bindings: new Set(bindings),
    readBytesMax,
    ...(shutdownSignal && { shutdownSignal }),
  };
}
