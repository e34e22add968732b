import { Code } from "@connectrpc/connect";
import type { ListenerHandler } from "../listener/listener.ts";
import { errorJson, type NodeResponse } from "../listener/request-handler.ts";
import { type BodySource, bytesSource, makeRequest, type RequestHead } from "./made-request.ts";
import { MadeResponse } from "./made-response.ts";

/** Plain gRPC: gRPC-Web has a type of its own. */
const grpcType = /^application\/grpc(?!-web)/i;

const noTrailers =
  "gRPC needs HTTP trailers, which fetch's Response can't send. Call by gRPC-Web or Connect, or serve by handler.node";

/** The nginx status of a request whose client has gone. Nobody gets it, but a host must be given an answer. */
const clientGone = 499;

/**
 * The same handlers for hosts that speak fetch: a request and a response of Node's are made around the body's streams.
 * Each request counts as a connection of its own, since fetch doesn't tell which one it came on. The promise doesn't
 * reject.
 */
export function fetchHandler(handle: ListenerHandler): (request: Request) => Promise<Response> {
  return async (request) => {
    if (grpcType.test(request.headers.get("content-type") ?? "")) return refusedGrpc();
    if (request.bodyUsed) return refusedBody();
    const response = new MadeResponse();
    const source = request.body === null ? bytesSource(new Uint8Array()) : streamSource(request.body);
    const nodeRequest = makeRequest(headOf(request), source);
    const cut = () => {
      response.destroy();
      nodeRequest.destroy();
    };
    request.signal.addEventListener("abort", cut, { once: true });
    response.once("close", () => request.signal.removeEventListener("abort", cut));
    // A cut answer is told by its rejection, or by the error of its stream.
    response.on("error", () => undefined);
    if (request.signal.aborted) cut();
    else handle(nodeRequest, response as unknown as NodeResponse);
    try {
      return await response.answer;
    } catch {
      return new Response(null, { status: clientGone });
    }
  };
}

function headOf(request: Request): RequestHead {
  const { pathname, search, host } = new URL(request.url);
  const headers: Record<string, string> = {};
  for (const [name, value] of request.headers) headers[name] = value;
  // Hosts pass it on. A request that a program has made has none.
  headers.host ??= host;
  return {
    method: request.method,
    url: pathname + search,
    headers,
    rawHeaders: Object.entries(headers).flat(),
    socket: {},
  };
}

function streamSource(body: ReadableStream<Uint8Array>): BodySource {
  const reader = body.getReader();
  return {
    async next() {
      // An empty piece would stop the reading of Node's stream.
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return undefined;
        if (value.byteLength > 0) return value;
      }
    },
    cancel(reason) {
      // The host knows already if the body can't be read.
      reader.cancel(reason).catch(() => undefined);
    },
  };
}

/** In the form that gRPC's clients read: a head alone. */
function refusedGrpc(): Response {
  const headers = {
    "content-type": "application/grpc",
    "grpc-status": String(Code.Unimplemented),
    "grpc-message": encodeURI(noTrailers),
  };
  return new Response(null, { headers });
}

function refusedBody(): Response {
  const text = "The host has read the body of the request before: pass on the request unread, or a clone of it";
  return Response.json(JSON.parse(errorJson(500, "INTERNAL", text)), { status: 500 });
}
