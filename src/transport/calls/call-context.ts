import type { OutgoingHttpHeaders } from "node:http";
import type { DescMethod } from "@bufbuild/protobuf";
import { Code, ConnectError, createHandlerContext, type HandlerContext } from "@connectrpc/connect";
import type { Request } from "../listener/request-handler.ts";
import type { CallSettings } from "./call-settings.ts";

/**
 * What is asked of a response of either version: their own types overload so differently that the union of them can't
 * be called. It takes bytes only: texts written one after the other on a stream of HTTP/2 are sent with freed memory
 * among them (Node 26.10).
 */
export interface HttpResponse {
  readonly headersSent: boolean;
  readonly writableEnded: boolean;
  readonly destroyed?: boolean;
  /** HTTP/2's, which alone knows there whether the client is gone. */
  readonly stream?: { readonly destroyed: boolean };
  writeHead(status: number, headers: OutgoingHttpHeaders): unknown;
  write(chunk: Uint8Array): boolean;
  end(chunk: Uint8Array): unknown;
  once(event: "drain" | "close", listener: () => void): unknown;
  on(event: "error", listener: (error: Error) => void): unknown;
  off(event: "drain" | "close", listener: () => void): unknown;
}

export const nothing: Uint8Array = new Uint8Array();

/** What stands behind the question mark of a request's target. */
export function queryOf({ url = "" }: Request): URLSearchParams {
  const mark = url.indexOf("?");
  return new URLSearchParams(mark < 0 ? "" : url.slice(mark + 1));
}

/** The headers without HTTP/2's pseudo-headers, each line of them by itself. */
export function headerLines({ headers }: Request): [name: string, value: string][] {
  const lines: [string, string][] = [];
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined || name.startsWith(":")) continue;
    for (const one of Array.isArray(value) ? value : [value]) lines.push([name, one]);
  }
  return lines;
}

/** What ends a call before its time: the client, the server. */
export interface CallSignals {
  readonly requestSignal: AbortSignal;
  readonly shutdownSignal?: AbortSignal;
  /** From the beginning of the call to its deadline. */
  readonly timeoutMs?: number;
}

/**
 * The signals for all calls of one request. The client's is aborted when it hangs up before its answer is complete; a
 * broken connection is no error beside that.
 */
export function callSignals(response: HttpResponse, { shutdownSignal }: CallSettings): CallSignals {
  const controller = new AbortController();
  response.on("error", () => undefined);
  response.once("close", () => {
    if (!response.writableEnded) controller.abort(new ConnectError("The client has hung up", Code.Canceled));
  });
  return { requestSignal: controller.signal, ...(shutdownSignal && { shutdownSignal }) };
}

/** A context that whoever made it ends, by `endCall`, when the call is over. */
export type CallContext = HandlerContext & { abort(reason?: unknown): void };

/**
 * What a context is aborted with once its call is over. Without a reason each abort would make an error of its own,
 * with its stack.
 */
const over = new ConnectError("The call is over", Code.Canceled);

/** Lets go of what a call holds: its timer, and whoever still waits by its signal. */
export function endCall(context: CallContext): void {
  context.abort(over);
}

/** A context for a call that comes over HTTP without Connect. */
export function callContext(
  request: Request,
  signals: CallSignals,
  method: DescMethod,
  protocolName: string,
): CallContext {
  const { host = "localhost", ":authority": authority = host } = request.headers;
  const scheme = "encrypted" in request.socket && request.socket.encrypted ? "https" : "http";
  return createHandlerContext({
    service: method.parent,
    method,
    protocolName,
    requestMethod: request.method ?? "",
    requestHeader: headerLines(request),
    ...signals,
    url: `${scheme}://${authority}${request.url}`,
  });
}

/** Whether nobody reads any more. */
export function isGone({ destroyed, stream }: HttpResponse): boolean {
  return destroyed === true || stream?.destroyed === true;
}

/** Writes, and resolves when the client has read so much that more may be written, or is gone. */
export async function writeBytes(response: HttpResponse, bytes: Uint8Array): Promise<void> {
  if (!isGone(response) && !response.write(bytes)) await roomToWrite(response);
}

/** Resolves when a client has read what it was written too much of, or is gone. */
export function roomToWrite(response: HttpResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      response.off("drain", done);
      response.off("close", done);
      resolve();
    };
    response.once("drain", done);
    response.once("close", done);
    if (isGone(response)) done();
  });
}
