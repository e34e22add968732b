import { errorJson, type NodeRequest, type RequestHandler, respond } from "../listener/request-handler.ts";

/**
 * Rejects with 400 a request that names several hosts (RFC 9112, 3.2; RFC 9113, 8.3.1): a proxy might go by another one
 * than this server. It also rejects user info before a host, which no client may send (RFC 9110, 4.2.4).
 */
export const checkHost: RequestHandler = (request, response) => {
  const fault = faultOf(request);
  if (fault === undefined) return false;
  respond(request, response, { status: 400 }, errorJson(400, "INVALID_ARGUMENT", fault));
  return true;
};

function faultOf({ rawHeaders }: NodeRequest): string | undefined {
  let authority: string | undefined;
  let host: string | undefined;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] ?? "";
    const value = rawHeaders[index + 1] ?? "";
    if (name === ":authority") authority = value;
    else if (name.length === 4 && name.toLowerCase() === "host") {
      if (host !== undefined) return "The request has several Host headers";
      host = value;
    }
  }
  if (authority !== undefined && host !== undefined && authority.toLowerCase() !== host.toLowerCase())
    return "The request has a Host header that differs from its authority";
  return (authority ?? host)?.includes("@") ? "The Host header must not have user info" : undefined;
}
