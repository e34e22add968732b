import type { ServerResponse } from "node:http";
import type { ListenerHandler } from "./listener.ts";

export type Request = Parameters<ListenerHandler>[0];
export type Response = Parameters<ListenerHandler>[1];

/**
 * Answers a request, then or later, and says so; or passes it on by `false`, without having read or written anything
 * but headers of the answer that hold whoever gives it. Never throws for what a client sent.
 */
export type RequestHandler = (request: Request, response: Response) => boolean;

/** Asks the handlers in their order; the last one answers everything. */
export function firstOf(handlers: readonly RequestHandler[], last: ListenerHandler): ListenerHandler {
  return (request, response) => {
    if (!handlers.some((handler) => handler(request, response))) last(request, response);
  };
}

/** A request's path, without what stands behind a question mark. */
export function pathOf({ url = "" }: Request): string {
  return url.split("?", 1)[0] ?? "";
}

/** A short answer, whole. HEAD gets the same headers. */
export function answer(
  request: Request,
  response: Response,
  {
    status,
    type = "application/json",
    headers = {},
  }: { readonly status: number; readonly type?: string; readonly headers?: Readonly<Record<string, string>> },
  body: string,
): void {
  // Either version's response takes this call; the overloads of the two don't form a union that can be called.
  const bytes = Buffer.from(body);
  (response as ServerResponse).writeHead(status, {
    "content-type": type,
    "content-length": bytes.byteLength,
    ...headers,
  });
  (response as ServerResponse).end(request.method === "HEAD" ? Buffer.alloc(0) : bytes);
}

/** JSON of an error beside the protocols, in the shape of A2A's HTTP binding (trap 3). */
export function errorJson(code: number, status: string, message: string): string {
  return JSON.stringify({ error: { code, status, message, details: [] } });
}

/** Whether the method is one that only reads, GET or HEAD; any other is answered 405. */
export function isRead(request: Request, response: Response, headers: Readonly<Record<string, string>> = {}): boolean {
  if (request.method === "GET" || request.method === "HEAD") return true;
  answer(
    request,
    response,
    { status: 405, headers: { ...headers, allow: "GET, HEAD" } },
    errorJson(405, "UNIMPLEMENTED", "Use GET or HEAD"),
  );
  return false;
}
