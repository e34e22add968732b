import type { RequestHandler } from "../listener/request-handler.ts";

/** Plain gRPC. No browser can send it, and gRPC-Web has a type of its own. */
const grpcType = /^application\/grpc(?!-web)/i;

/**
 * Headers of every answer that a browser could ask for. Browsers don't guess its type, and don't give it to an image or
 * a script of another site; allowed pages read it by CORS, to which that doesn't apply. No cache keeps it, since nearly
 * every answer is about tasks: a page that may be kept sets its own `cache-control`. Answers to plain gRPC don't have
 * them: there they protect nothing and cost processor time.
 */
export const safeHeaders: RequestHandler = (request, response) => {
  if (grpcType.test(request.headers["content-type"] ?? "")) return false;
  response.setHeader("x-content-type-options", "nosniff");
  response.setHeader("cross-origin-resource-policy", "same-origin");
  response.setHeader("cache-control", "no-store");
  return false;
};
