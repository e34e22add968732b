// `a2a-task-manager/server`: everything that serves a task manager over the network.

export type { VersionMode } from "../transport/admission/a2a-version.ts";
export type { AgentCardInit } from "../transport/agent-card/capabilities.ts";
export { type CardFacts, completeCard, type ServedBinding } from "../transport/agent-card/complete-card.ts";
export { type BindingName, bindingNames, fetchBindings } from "../transport/binding-names.ts";
export { a2aRoutes, type RoutesOptions } from "../transport/connect/connect-routes.ts";
export { createHandler, type Handler } from "./handler.ts";
export { createServer, type Server } from "./server.ts";
export type {
  CallOptions,
  CardOptions,
  HandlerOptions,
  OriginOptions,
  ServerListenerOptions,
  ServerOptions,
} from "./server-options.ts";
