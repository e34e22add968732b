import { errorJson, type NodeRequest, type RequestHandler, respond } from "../listener/request-handler.ts";
import { isLoopback } from "./loopback.ts";

export interface PageSettings {
  /** Origins whose pages may call. `*`: all. */
  readonly corsOrigins: readonly string[];
  /** Where clients reach the server. Its origin and its name are allowed. */
  readonly publicUrl?: URL | undefined;
  /** Whether the `Host` must be a name of this machine, or that of the public URL. */
  readonly isLocal: boolean;
}

/**
 * Rejects requests from pages of other origins with 403 before they run. CORS alone would only hide the response: a form's
 * POST would run. Only browsers send `Origin`, and a page can't forge it. With `isLocal` the `Host` must also be a
 * loopback name, against DNS rebinding: a site whose name resolves to this machine has the origin of the server.
 */
export function checkOrigin({ corsOrigins, publicUrl, isLocal }: PageSettings): RequestHandler {
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
  const refusalOf = ({ headers: { host = "", ":authority": authority = host, origin } }: NodeRequest) => {
    if (isLocal && isForeign(String(authority))) {
      return `Host "${authority}" is not allowed: this server accepts local requests only. Use --public-url or --allow-anonymous`;
    }
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
    respond(request, response, { status: 403 }, errorJson(403, "PERMISSION_DENIED", refusal));
    return true;
  };
}

function isOwnName(name: string): boolean {
  return isLoopback(name.replace(/^\[(.*)\]$/, "$1")) || name.endsWith(".localhost");
}
