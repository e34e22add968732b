import type { ConnectError, HandlerContext } from "@connectrpc/connect";
import type { Caller } from "../../domain/scope.ts";
import type { NodeRequest } from "../listener/request-handler.ts";

/** Who sends a request. */
export type Identity = Pick<Caller, "owner" | "claims">;

export const anonymous: Identity = { owner: "", claims: {} };

/**
 * Bytes and calls that are held for clients at this moment. They are counted but not bounded yet. Each number changes
 * in one place: `bodyBytes` in read-body.ts, `calls` in run-call.ts, `answerBytes` in response-writer.ts.
 */
export interface CallLoad {
  /** Bytes of request bodies that have arrived and are not complete. */
  bodyBytes: number;
  /** Calls between their admission and their end, open streams included. */
  calls: number;
  /** Bytes of answers that wait for clients to read, beyond the buffer of each response. */
  answerBytes: number;
}

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
  /** What all calls of this server hold together. */
  readonly load: CallLoad;
  /**
   * Called when a call begins. The result is called once when the call ends, with the error that the client got or
   * undefined. Must not throw. Today nothing is observed.
   */
  observe(context: HandlerContext): (error: ConnectError | undefined) => void;
}

const ignore = () => {};

/** The hooks as they are without authentication, limits and telemetry. */
export function defaultHooks(): CallHooks {
  return {
    authenticate: () => anonymous,
    load: { bodyBytes: 0, calls: 0, answerBytes: 0 },
    observe: () => ignore,
  };
}
