import type { ConnectRouter, ConnectRouterOptions } from "@connectrpc/connect";
import { A2AService } from "../../gen/lf/a2a/v1/a2a_pb.ts";
import { ConversationService } from "../../gen/taskmanager/v1/conversation_pb.ts";
import { TaskManagerService } from "../../gen/taskmanager/v1/task_manager_pb.ts";
import { managerDefaults } from "../manager/options.ts";
import type { TaskManager } from "../manager/task-manager.ts";
import { type Logger, silentLogger } from "../runtime/logger.ts";
import { a2aService } from "./a2a-service.ts";
import { conversationService } from "./conversation-service.ts";
import { endWithSignal } from "./deadlines.ts";
import { describeRefusals } from "./errors.ts";
import type { CallSettings } from "./serve-calls.ts";
import { taskManagerService } from "./task-manager-service.ts";

export interface RoutesOptions {
  readonly logger?: Logger;
  /** Silence on WatchTask after which a heartbeat goes out, milliseconds. Default 25 s: below the limits at which proxies cut streams. */
  readonly heartbeatMs?: number;
  /** The largest message that the manager takes, bytes (`maxEventBytes`); a request is read a little beyond it. Default: the manager's. */
  readonly eventBytesMax?: number;
  /** Ends every call that is still open when it is aborted, with its reason: a ConnectError. */
  readonly shutdownSignal?: AbortSignal;
}

/** The services of `a2aRoutes`. */
export const a2aServices = [A2AService, TaskManagerService, ConversationService] as const;

/** Registers the services on any Connect router: Express, Fastify, Next, a server of your own. Serves gRPC, gRPC-Web and Connect. */
export function a2aRoutes(manager: TaskManager, options: RoutesOptions = {}): (router: ConnectRouter) => void {
  const settings: CallSettings = { logger: options.logger ?? silentLogger, heartbeatMs: options.heartbeatMs ?? 25_000 };
  const { eventBytesMax = managerDefaults.maxEventBytes } = options;
  // JSON needs 4/3 of the bytes for binary content, and a request has more than its message: so much is read before the manager measures exactly.
  const handlerOptions: Partial<ConnectRouterOptions> = {
    requestGate: describeRefusals,
    readMaxBytes: Math.ceil(eventBytesMax * 1.5) + 64 * 1024,
    interceptors: [endWithSignal],
    ...(options.shutdownSignal && { shutdownSignal: options.shutdownSignal }),
  };
  return (router) => {
    router.service(A2AService, a2aService(manager, settings), handlerOptions);
    router.service(TaskManagerService, taskManagerService(manager, settings), handlerOptions);
    router.service(ConversationService, conversationService(manager, settings), handlerOptions);
  };
}
