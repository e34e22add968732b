import type { ServerResponse } from "node:http";
import type { ListenerHandler, NodeRequest, NodeResponse } from "./listener.ts";

export type { NodeRequest, NodeResponse } from "./listener.ts";

/**
 * Takes a request and answers it, now or later, and returns true; or passes it on and returns false. A handler that
 * passes a request on has read and written nothing, except headers of the answer that hold for the next handler too.
 * Never throws for what a client sent.
 */
export type RequestHandler = (request: NodeRequest, response: NodeResponse) => boolean;

/** Asks the handlers in their order. The last one answers every request. */
export function firstOf(handlers: readonly RequestHandler[], last: ListenerHandler): ListenerHandler {
  return (request, response) => {
    if (!handlers.some((handler) => handler(request, response))) last(request, response);
  };
}

/** The path of a request's target, without the query. */
export function pathOf({ url = "" }: NodeRequest): string {
  return url.split("?", 1)[0] ?? "";
}

/** The query of a request's target. */
export function queryOf({ url = "" }: NodeRequest): URLSearchParams {
  const mark = url.indexOf("?");
  return new URLSearchParams(mark < 0 ? "" : url.slice(mark + 1));
}

/** Sends a short answer as a whole. HEAD gets the same headers. */
export function respond(
  request: NodeRequest,
  response: NodeResponse,
  {
    status,
    type = "application/json",
    headers = {},
  }: { readonly status: number; readonly type?: string; readonly headers?: Readonly<Record<string, string>> },
  body: string,
): void {
  // Both versions have this call, but the union of their overloads can't be called.
  const bytes = Buffer.from(body);
  (response as ServerResponse).writeHead(status, {
    "content-type": type,
    "content-length": bytes.byteLength,
    ...headers,
  });
  (response as ServerResponse).end(request.method === "HEAD" ? Buffer.alloc(0) : bytes);
}

/** The JSON of an error that no call has, in the form of A2A's HTTP binding (R174). */
export function errorJson(code: number, status: string, message: string): string {
  return JSON.stringify({ error: { code, status, message, details: [] } });
}

/** Whether the method only reads, GET or HEAD. Any other method is answered with 405. */
export function isRead(
  request: NodeRequest,
  response: NodeResponse,
  headers: Readonly<Record<string, string>> = {},
): boolean {
  if (request.method === "GET" || request.method === "HEAD") return true;
  respond(
    request,
    response,
    { status: 405, headers: { ...headers, allow: "GET, HEAD" } },
    errorJson(405, "UNIMPLEMENTED", "Use GET or HEAD"),
  );
  return false;
}
