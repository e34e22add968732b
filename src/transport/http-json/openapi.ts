import document from "../../../gen/openapi.json" with { type: "json" };
import { isRead, pathOf, type RequestHandler, respond } from "../listener/request-handler.ts";

/**
 * Serves the OpenAPI document of the HTTP+JSON binding at `/openapi.json` (R170). `publicUrl` is where clients reach
 * the server; default: where they got the document.
 */
export function openApiHandler(publicUrl?: URL): RequestHandler {
  const url = publicUrl === undefined ? "/" : publicUrl.href.replace(/\/$/, "");
  const text = JSON.stringify({ ...document, servers: [{ url }] });
  return (request, response) => {
    if (pathOf(request) !== "/openapi.json") return false;
    if (isRead(request, response)) respond(request, response, { status: 200 }, text);
    return true;
  };
}
