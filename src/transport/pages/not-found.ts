import { Code } from "@connectrpc/connect";
import type { BindingName } from "../binding-names.ts";
import type { ListenerHandler } from "../listener/listener.ts";
import { errorJson, type RequestHandler, respond } from "../listener/request-handler.ts";

/** The bindings as the page at `/` lists them. */
const bindingTexts: Readonly<Record<BindingName, string>> = {
  grpc: "gRPC",
  "grpc-web": "gRPC-Web",
  connect: "Connect",
  "http+json": "HTTP+JSON (/openapi.json)",
  "json-rpc": "JSON-RPC (POST here)",
};

/** UNIMPLEMENTED for all gRPC requests: what comes behind it in the list of handlers serves no gRPC. */
export const unknownGrpcMethod: RequestHandler = (request, response) => {
  const type = request.headers["content-type"] ?? "";
  if (!/^application\/grpc/i.test(type)) return false;
  // No body: over HTTP/2 a gRPC client looks for the status in the headers only if nothing follows them.
  response.setHeader("content-type", type);
  response.setHeader("grpc-status", Code.Unimplemented);
  response.setHeader("grpc-message", "No such method");
  response.end();
  return true;
};

/** The answer to every request that no handler takes: a page for browsers at `/`, 404 for all others. */
export function notFoundPage(bindings: ReadonlySet<BindingName>): ListenerHandler {
  const text = `A2A Task Manager: A2A 1.0 over ${[...bindings].map((name) => bindingTexts[name]).join(", ")}\n`;
  return (request, response) => {
    if (request.url === "/" && (request.method === "GET" || request.method === "HEAD")) {
      respond(request, response, { status: 200, type: "text/plain; charset=utf-8" }, text);
    } else {
      respond(request, response, { status: 404 }, errorJson(404, "NOT_FOUND", "No such resource"));
    }
  };
}
