import type { DescMethod } from "@bufbuild/protobuf";
import { Code, ConnectError, createContextKey, createHandlerContext, type HandlerContext } from "@connectrpc/connect";
import type { Caller } from "../../domain/scope.ts";
import type { AnswerRoom } from "../../manager/read/answer-room.ts";
import type { NodeRequest } from "../listener/request-handler.ts";
import { anonymous } from "./call-hooks.ts";
import { type Exchange, exchangeKey } from "./exchange.ts";

/** A context that its creator ends by `endContext` when the call is over. */
export type CallContext = HandlerContext & { abort(reason?: unknown): void };

/** Who sends the call. */
export const identityKey = createContextKey(anonymous, { description: "the authenticated sender of a call" });

/** One error for all ends: without a reason each abort would create an error with its stack. */
const over = new ConnectError("The call is over", Code.Canceled);

/** Releases what the context of a call holds: its timer and the listeners of its signal. */
export function endContext(context: CallContext): void {
  context.abort(over);
}

/** Creates the context of a call that doesn't come by Connect. `timeoutMs` counts from now. */
export function callContext(
  exchange: Exchange,
  method: DescMethod,
  protocolName: string,
  timeoutMs?: number,
): CallContext {
  const { request, signals } = exchange;
  const { host = "localhost", ":authority": authority = host } = request.headers;
  const scheme = "encrypted" in request.socket && request.socket.encrypted ? "https" : "http";
  const context = createHandlerContext({
    service: method.parent,
    method,
    protocolName,
    requestMethod: request.method ?? "",
    requestHeader: headerLines(request),
    ...signals,
    ...(timeoutMs !== undefined && { timeoutMs }),
    url: `${scheme}://${authority}${request.url}`,
  });
  context.values.set(exchangeKey, exchange);
  return context;
}

/** The caller of a request: its tenant and the authenticated sender. */
export function callerFrom(request: { readonly tenant: string }, { values, requestHeader }: HandlerContext): Caller {
  const { owner, claims } = values.get(identityKey);
  return { tenant: request.tenant, owner, claims, headers: requestHeader };
}

/** Where the bytes of a call's answer are counted. Undefined on a router of the embedding application. */
export function roomFrom({ values }: HandlerContext): AnswerRoom | undefined {
  return values.get(exchangeKey);
}

/** The headers without HTTP/2's pseudo-headers, one entry for each line. */
export function headerLines({ headers }: NodeRequest): [name: string, value: string][] {
  const lines: [string, string][] = [];
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined || name.startsWith(":")) continue;
    for (const one of Array.isArray(value) ? value : [value]) lines.push([name, one]);
  }
  return lines;
}
