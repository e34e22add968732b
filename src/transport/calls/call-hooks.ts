import type { ConnectError, HandlerContext } from "@connectrpc/connect";
import type { Caller } from "../../domain/scope.ts";
import type { NodeRequest } from "../listener/request-handler.ts";
import type { LoadLimits } from "../load/load-limits.ts";
import { ServerLoad } from "../load/server-load.ts";

/** Who sends a request. */
export type Identity = Pick<Caller, "owner" | "claims">;

export const anonymous: Identity = { owner: "", claims: {} };

/**
 * What happens at fixed points of every call, whatever its binding. Each hook is the one place for its purpose: who
 * calls, how much may be held, what is observed.
 */
export interface CallHooks {
  /**
   * Identifies the sender of an HTTP request. Called once per request, before a byte of its body is read. Throws
   * TaskError to reject all calls of the request. Today everybody is anonymous.
   */
  authenticate(request: NodeRequest): Identity | Promise<Identity>;
  /** What all calls of this server hold together, and its bounds. */
  readonly load: ServerLoad;
  /**
   * Called when a call begins. The result is called once when the call ends, with the error that the client got or
   * undefined. Must not throw. On a server it is the log of calls (`logCalls`).
   */
  observe(context: HandlerContext): (error: ConnectError | undefined) => void;
}

const ignore = () => {};

/** The hooks as they are without authentication. */
export function defaultHooks(
  limits: Partial<LoadLimits> = {},
  observe: CallHooks["observe"] = () => ignore,
): CallHooks {
  return {
    authenticate: () => anonymous,
    load: new ServerLoad(limits),
    observe,
  };
}
