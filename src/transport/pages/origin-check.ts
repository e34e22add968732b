import { errorJson, type NodeRequest, type RequestHandler, respond } from "../listener/request-handler.ts";
import { isLoopback } from "./loopback.ts";

export interface PageSettings {
  /** Origins whose pages may call; `*`: all. */
  readonly corsOrigins: readonly string[];
  /** Where clients reach the server: its own pages and its own name, if a proxy stands before it. */
  readonly publicUrl?: URL | undefined;
  /**
   * The server is there for this machine alone: it answers only to names that mean this machine, and to that of the
   * public URL.
   */
  readonly isLocal: boolean;
}

/**
 * Refuses what pages of other sites make a browser send, by 403. CORS alone only keeps the answers from them: a form's
 * or an empty POST is carried out all the same. Nobody but browsers sends `Origin`, and theirs can't be forged by a
 * page. Where nobody is asked who he is, a name that means this machine is asked for as well: another site's name can
 * be made to lead here (DNS rebinding), and then its pages are of the same origin as the server.
 */
export function checkOrigin({ corsOrigins, publicUrl, isLocal }: PageSettings): RequestHandler {
  const origins = new Set([...corsOrigins, ...(publicUrl ? [publicUrl.origin] : [])]);
  /** The name found good last, which is that of nearly every request. */
  let good: string | undefined;
  const isForeign = (authority: string) => {
    if (authority === good) return false;
    // Undefined without one, and for what no browser would send.
    const name = URL.parse(`http://${authority}`)?.hostname;
    if (name !== undefined && !isOwnName(name) && name !== publicUrl?.hostname) return true;
    good = authority;
    return false;
  };
  const refusalOf = ({ headers: { host = "", ":authority": authority = host, origin } }: NodeRequest) => {
    if (isLocal && isForeign(String(authority))) {
      return `This server is there for its own machine alone, not as "${authority}": --public-url names it, --allow-anonymous serves anybody`;
    }
    const isAllowed =
      origin === undefined ||
      origins.has("*") ||
      origins.has(origin) ||
      origin === `http://${authority}` ||
      origin === `https://${authority}`;
    return isAllowed ? undefined : `Pages of "${origin}" may not call: --cors-origins names those that may`;
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
