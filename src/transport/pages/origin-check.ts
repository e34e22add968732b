import { Code } from "@connectrpc/connect";
import { setGrpcMessage } from "../errors/grpc-message.ts";
import {
  errorJson,
  type NodeRequest,
  type NodeResponse,
  pathOf,
  type RequestHandler,
  respond,
} from "../listener/request-handler.ts";
import { isLoopback } from "./loopback.ts";

export interface PageSettings {
  /** Origins whose pages may call. `*`: all. */
  readonly corsOrigins: readonly string[];
  /** Where clients reach the server. Its origin and its name are allowed. */
  readonly publicUrl?: URL | undefined;
  /** Whether the `Host` must be a name of this machine, or that of the public URL. */
  readonly isLocal: boolean;
  /** Paths that pages of any site may link to and show, since they are the same for everyone and change nothing. */
  readonly openPaths: readonly string[];
}

/**
 * Rejects requests from pages of other origins with 403 before they run. CORS alone would only hide the response: a
 * form's POST would run. Only browsers send `Origin`, and a page can't forge it. They leave it out for images, scripts
 * and links, which `Sec-Fetch-Site` shows: such a GET may open a stream or count as an access.
 * With `isLocal` the `Host` must also be a loopback name, against DNS rebinding: a site whose name resolves to this
 * machine has the origin of the server.
 */
export function checkOrigin({ corsOrigins, publicUrl, isLocal, openPaths }: PageSettings): RequestHandler {
  const origins = new Set([...corsOrigins, ...(publicUrl ? [publicUrl.origin] : [])]);
  /** The last authority that was accepted: nearly every request has it. */
  let accepted: string | undefined;
  const isForeign = (authority: string) => {
    if (authority === accepted) return false;
    // Undefined without an authority, and for one that no browser would send.
    const name = URL.parse(`http://${authority}`)?.hostname;
    if (name !== undefined && !isOwnName(name) && name !== publicUrl?.hostname) return true;
    accepted = authority;
    return false;
  };
  const refusalOf = (request: NodeRequest) => {
    const { host = "", ":authority": authority = host, origin, "sec-fetch-site": site } = request.headers;
    if (isLocal && isForeign(String(authority))) {
      const text = "this server accepts local requests only. Use --public-url or --allow-anonymous";
      return `Host "${authority}" is not allowed: ${text}`;
    }
    if (origin === undefined && site === "cross-site" && isGet(request) && !openPaths.includes(pathOf(request)))
      return "Requests of other sites need an allowed Origin: call by CORS, and use --cors-origins to allow it";
    const isAllowed =
      origin === undefined ||
      origins.has("*") ||
      origins.has(origin) ||
      origin === `http://${authority}` ||
      origin === `https://${authority}`;
    return isAllowed ? undefined : `Origin "${origin}" is not allowed: use --cors-origins to allow it`;
  };
  return (request, response) => {
    const refusal = refusalOf(request);
    if (refusal === undefined) return false;
    refuse(request, response, refusal);
    return true;
  };
}

function isGet({ method }: NodeRequest): boolean {
  return method === "GET" || method === "HEAD";
}

/** 403; over gRPC, whose clients show no body of another status, 200 with a status and a message of gRPC. */
function refuse(request: NodeRequest, response: NodeResponse, text: string): void {
  const type = request.headers["content-type"] ?? "";
  if (!/^application\/grpc(?!-web)/i.test(type)) {
    respond(request, response, { status: 403 }, errorJson(403, "PERMISSION_DENIED", text));
    return;
  }
  const trailer = new Headers();
  setGrpcMessage(trailer, text);
  // No body: over HTTP/2 a gRPC client looks for the status in the headers only if nothing follows them.
  response.setHeader("content-type", type);
  response.setHeader("grpc-status", String(Code.PermissionDenied));
  response.setHeader("grpc-message", trailer.get("grpc-message") ?? "");
  response.end();
}

function isOwnName(name: string): boolean {
  return isLoopback(name.replace(/^\[(.*)\]$/, "$1")) || name.endsWith(".localhost");
}
