import { type Readiness, type ReadinessState, storageSilenceMs } from "../../manager/replica/readiness.ts";
import { isRead, pathOf, type RequestHandler, respond } from "../listener/request-handler.ts";

/** The reasons in `/readyz`. */
const reasons: Readonly<Record<Exclude<ReadinessState, "ready">, string>> = {
  draining: "The server is going down",
  replaced: "Another server has taken over this database",
  "storage-lost": "The database was removed or replaced under the server",
  "storage-silent": `The storage has not answered for ${storageSilenceMs / 1000} s`,
};

/**
 * `/healthz`: 200 while the event loop turns; without an answer the process should be restarted. `/readyz`: 200 while
 * this server should get work, else 503 with the reason. GET and HEAD, never cached.
 */
export function healthPages(readiness: Readiness): RequestHandler {
  return (request, response) => {
    const path = pathOf(request);
    if (path !== "/healthz" && path !== "/readyz") return false;
    const headers = { "cache-control": "no-store" };
    if (!isRead(request, response, headers)) return true;
    const state = path === "/readyz" ? readiness.state : "ready";
    if (state === "ready") respond(request, response, { status: 200, headers }, JSON.stringify({ status: "ok" }));
    else
      respond(
        request,
        response,
        { status: 503, headers },
        JSON.stringify({ status: "unavailable", reason: reasons[state] }),
      );
    return true;
  };
}
