import { Code, ConnectError, type ConnectRouter, createConnectRouter } from "@connectrpc/connect";
import type { UniversalHandler, UniversalServerResponse } from "@connectrpc/connect/protocol";
import {
  compressionBrotli,
  compressionGzip,
  universalRequestFromNodeRequest,
  universalResponseToNodeResponse,
} from "@connectrpc/connect-node";
import type { Logger } from "../../runtime/logger.ts";
import { dropFarDeadlines } from "../calls/deadlines.ts";
import { errorTextBytesMax } from "../errors/error-limits.ts";
import { shortened } from "../errors/shortened.ts";
import {
  answer,
  errorJson,
  pathOf,
  type Request,
  type RequestHandler,
  type Response,
} from "../listener/request-handler.ts";

/**
 * Calls over gRPC, gRPC-Web and Connect; passes on what is none of them. In place of Connect's own adapter, which
 * writes to the console what goes wrong with a connection, texts and all, and lets a broken Host header throw.
 */
export function connectHandler(routes: (router: ConnectRouter) => void, logger: Logger): RequestHandler {
  const router = createConnectRouter({ acceptCompression: [compressionGzip, compressionBrotli] });
  routes(router);
  const handlers = new Map(router.handlers.map((handler) => [handler.requestPath, handler]));
  return (request, response) => {
    const handler = handlers.get(pathOf(request));
    if (handler === undefined) return false;
    let asked: ReturnType<typeof universalRequestFromNodeRequest>;
    try {
      asked = universalRequestFromNodeRequest(request, response, undefined, undefined);
      // Connect reads no further than it must, and by itself would take the request apart then: what is left of it
      // could never be read out, and the next one on an HTTP/1.1 connection would wait behind it for ever.
      asked.body = request.iterator({ destroyOnReturn: false });
    } catch {
      answer(
        request,
        response,
        { status: 400 },
        errorJson(400, "INVALID_ARGUMENT", "The request names no host, or one that can't be"),
      );
      return true;
    }
    dropFarDeadlines(asked.header);
    void serve(handler, asked, request, response, logger);
    return true;
  };
}

async function serve(
  handler: UniversalHandler,
  asked: ReturnType<typeof universalRequestFromNodeRequest>,
  request: Request,
  response: Response,
  logger: Logger,
): Promise<void> {
  try {
    const given = await handler(asked);
    if (given.body === undefined && given.status >= 400) refuse(handler, given.status, request, response);
    else await universalResponseToNodeResponse(withPlainMessage(given), response);
  } catch (error) {
    // The client is gone, mostly: Connect has told the call so by its signal.
    const gone = ConnectError.from(error).code === Code.Aborted;
    logger.debug(
      { err: error, method: `${handler.service.typeName}/${handler.method.name}` },
      gone ? "A client went away" : "An answer could not be given",
    );
    if (!response.headersSent) answer(request, response, { status: 500 }, errorJson(500, "INTERNAL", "Internal error"));
    else response.destroy();
  }
}

/** Connect refuses by a bare status what is a call of none of its protocols. */
function refuse({ allowedMethods }: UniversalHandler, status: number, request: Request, response: Response): void {
  const [name, text] =
    status === 405
      ? ["METHOD_NOT_ALLOWED", `Use ${allowedMethods.join(" or ")}`]
      : status === 415
        ? ["UNSUPPORTED_MEDIA_TYPE", "The content type is none in which this can be called"]
        : ["INVALID_ARGUMENT", "The request is no call"];
  const headers = status === 405 ? { allow: allowedMethods.join(", ") } : {};
  answer(request, response, { status, headers }, errorJson(status, name, text));
}

/**
 * Connect escapes more of `grpc-message` than gRPC wants, and grpc-js, which undoes no more than that, shows its users
 * `%3A` for a colon; its own texts quote headers of any length. The trailers are read, and so complete, once the body
 * has ended.
 */
function withPlainMessage(response: UniversalServerResponse): UniversalServerResponse {
  const { trailer } = response;
  if (trailer === undefined) return response;
  return {
    ...response,
    get trailer() {
      const message = trailer.get("grpc-message");
      if (message !== null)
        trailer.set("grpc-message", encodeURI(shortened(decodeURIComponent(message), errorTextBytesMax)));
      return trailer;
    },
  };
}
