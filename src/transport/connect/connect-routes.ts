import type { ConnectRouter, ConnectRouterOptions, HandlerContext } from "@connectrpc/connect";
import { managerDefaults } from "../../manager/options.ts";
import type { TaskManager } from "../../manager/task-manager.ts";
import { type Logger, silentLogger } from "../../runtime/logger.ts";
import { capabilitiesOf } from "../agent-card/capabilities.ts";
import { type BindingName, bindingNames } from "../binding-names.ts";
import type { VersionMode } from "../calls/a2a-version.ts";
import { admission } from "../calls/admission.ts";
import type { CallSettings, ExtendedCard } from "../calls/call-settings.ts";
import { endWithSignal } from "../calls/deadlines.ts";
import { describeRefusals, toConnectError } from "../errors/errors.ts";
import { type ServedService, servedServices } from "../services/services.ts";
import { takeReadMessage, withReadJson } from "./connect-json.ts";

export interface RoutesOptions {
  readonly logger?: Logger;
  /**
   * Silence on a stream after which a sign of life goes out, milliseconds. Default 25 s: below the limits at which
   * proxies cut streams.
   */
  readonly heartbeatMs?: number;
  /**
   * The largest message that the manager takes, bytes (`maxEventBytes`); a request is read a little beyond it. Default:
   * the manager's.
   */
  readonly eventBytesMax?: number;
  /** Ends every call that is still open when it is aborted, with its reason: a ConnectError. */
  readonly shutdownSignal?: AbortSignal;
  /** Which bindings are offered. Default: all. */
  readonly bindings?: readonly BindingName[];
  /**
   * What a call means that names no version: 0.3, which is refused ("strict"), or 1.0 ("lenient"). Default "strict".
   */
  readonly a2aVersion?: VersionMode | undefined;
  readonly extendedCard?: ExtendedCard | undefined;
}

/**
 * Registers the services on any Connect router: Express, Fastify, Next, a server of your own. Serves gRPC, gRPC-Web and
 * Connect.
 */
export function a2aRoutes(manager: TaskManager, options: RoutesOptions = {}): (router: ConnectRouter) => void {
  const settings = callSettings(manager, options);
  return connectRoutes(servedServices(manager, settings), settings);
}

/** The same for services made beforehand, so that other bindings can have the same ones. */
export function connectRoutes(
  services: readonly ServedService[],
  settings: CallSettings,
): (router: ConnectRouter) => void {
  const { logger, gate, readBytesMax, shutdownSignal } = settings;
  const requestGate = (context: HandlerContext) => {
    describeRefusals(context);
    try {
      gate(context);
    } catch (error) {
      throw toConnectError(error, logger);
    }
  };
  const handlerOptions: Partial<ConnectRouterOptions> = {
    ...connectProtocols(settings),
    requestGate,
    readMaxBytes: readBytesMax,
    interceptors: [endWithSignal, takeReadMessage],
    ...(shutdownSignal && { shutdownSignal }),
  };
  return (router) => {
    const before = router.handlers.length;
    for (const { methods } of services)
      for (const { method, impl } of Object.values(methods)) router.rpc(method, impl as never, handlerOptions);
    for (let index = before; index < router.handlers.length; index++) {
      const handler = router.handlers[index];
      if (handler !== undefined) router.handlers[index] = withReadJson(handler, readBytesMax);
    }
  };
}

/**
 * Which of Connect's protocols there are: an option of every route, since those of a router don't hold for routes with
 * options of their own.
 */
export function connectProtocols({ bindings }: CallSettings): Partial<ConnectRouterOptions> {
  return { grpc: bindings.has("grpc"), grpcWeb: bindings.has("grpc-web"), connect: bindings.has("connect") };
}

/** What every binding needs, with defaults. */
export function callSettings({ card }: TaskManager, options: RoutesOptions): CallSettings {
  const {
    logger = silentLogger,
    heartbeatMs = 25_000,
    eventBytesMax = managerDefaults.maxEventBytes,
    shutdownSignal,
  } = options;
  const { bindings = bindingNames, a2aVersion = "strict", extendedCard } = options;
  const gate = admission(capabilitiesOf(card, extendedCard !== undefined), a2aVersion);
  // JSON needs 4/3 of the bytes for binary content, and a request has more than its message: so much is read before the
  // manager measures exactly.
  const readBytesMax = Math.ceil(eventBytesMax * 1.5) + 64 * 1024;
  return {
    logger,
    gate,
    extendedCard,
    heartbeatMs,
    bindings: new Set(bindings),
    readBytesMax,
    ...(shutdownSignal && { shutdownSignal }),
  };
}
