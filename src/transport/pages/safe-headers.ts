import type { RequestHandler } from "../listener/request-handler.ts";

/**
 * Headers of every answer. Browsers don't guess its type, and don't give it to an image or a script of another site;
 * allowed pages read it by CORS, to which that doesn't apply. No cache keeps it, since nearly every answer is about
 * tasks: a page that may be kept sets its own `cache-control`.
 */
export const safeHeaders: RequestHandler = (_request, response) => {
  response.setHeader("x-content-type-options", "nosniff");
  response.setHeader("cross-origin-resource-policy", "same-origin");
  response.setHeader("cache-control", "no-store");
  return false;
};
