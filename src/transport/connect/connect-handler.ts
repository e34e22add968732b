import { Code, ConnectError, type ConnectRouter, createConnectRouter, createContextValues } from "@connectrpc/connect";
import type { UniversalHandler, UniversalServerRequest, UniversalServerResponse } from "@connectrpc/connect/protocol";
import { codeToString } from "@connectrpc/connect/protocol-connect";
import { universalRequestFromNodeRequest } from "@connectrpc/connect-node";
import { TaskError } from "../../domain/task-error.ts";
import type { CallSettings } from "../calls/call-settings.ts";
import { dropFarDeadlines } from "../calls/deadlines.ts";
import { Exchange, exchangeKey } from "../calls/exchange.ts";
import { countedBody } from "../calls/read-body.ts";
import { nodeHeaders } from "../calls/response-writer.ts";
import { errorTable } from "../errors/errors.ts";
import { setGrpcMessage } from "../errors/grpc-message.ts";
import {
  errorJson,
  type NodeRequest,
  type NodeResponse,
  pathOf,
  type RequestHandler,
  respond,
} from "../listener/request-handler.ts";
import { partBytesMax } from "../load/load-limits.ts";
import { connectCompressions } from "../request-bounds/decompress.ts";
import { hasOneMessage } from "./read-request.ts";

/**
 * Calls over gRPC, gRPC-Web and Connect; passes on all other requests. It replaces Connect's own adapter, which writes
 * errors of a connection with their texts to the console, throws for a broken Host header, and writes without a count
 * of what waits.
 */
export function connectHandler(routes: (router: ConnectRouter) => void, settings: CallSettings): RequestHandler {
  const router = createConnectRouter({ acceptCompression: [...connectCompressions] });
  routes(router);
  const handlers = new Map(router.handlers.map((handler) => [handler.requestPath, handler]));
  return (request, response) => {
    const handler = handlers.get(pathOf(request));
    if (handler === undefined) return false;
    let universal: UniversalServerRequest;
    try {
      universal = universalRequestFromNodeRequest(request, response, undefined, undefined);
    } catch {
      const text = errorJson(400, "INVALID_ARGUMENT", "The request has no Host, or an invalid one");
      respond(request, response, { status: 400 }, text);
      return true;
    }
    // Connect stops reading early for some errors. Its own iteration would destroy the request then: the rest could
    // never be read, and the next request on an HTTP/1.1 connection would wait for ever.
    const exchange = new Exchange(request, response, settings, { encodesAlone: true });
    const pieces = request.iterator({ destroyOnReturn: false });
    const body = countedBody(pieces, exchange, hasOneMessage(handler.method));
    dropFarDeadlines(universal.header);
    void serveCall(handler, { ...universal, body }, exchange, response, settings);
    return true;
  };
}

async function serveCall(
  handler: UniversalHandler,
  universal: UniversalServerRequest,
  exchange: Exchange,
  response: NodeResponse,
  settings: CallSettings,
): Promise<void> {
  const { request, response: writer } = exchange;
  try {
    const contextValues = createContextValues().set(exchangeKey, exchange);
    const answer = await handler({ ...universal, contextValues });
    if (answer.body === undefined && answer.status >= 400) reject(handler, answer.status, request, response);
    else await writeAnswer(answer, exchange);
  } catch (error) {
    // Mostly the client is gone. Connect has aborted the call's signal then.
    const isGone = writer.isGone || ConnectError.from(error).code === Code.Aborted;
    settings.logger.debug(
      { err: error, method: `${handler.service.typeName}/${handler.method.name}` },
      isGone ? "A client went away" : "An answer could not be given",
    );
    if (writer.isBegun) response.destroy();
    else if (error instanceof TaskError) refuse(error, request, response);
    else respond(request, response, { status: 500 }, errorJson(500, "INTERNAL", "Internal error"));
  }
}

/** There is no room for an answer. Connect's clients read the code, those of gRPC the status. */
function refuse(error: TaskError, request: NodeRequest, response: NodeResponse): void {
  const { code, http } = errorTable[error.reason];
  const text = JSON.stringify({ code: codeToString(code), message: error.message });
  respond(request, response, { status: http }, text);
}

/** Writes an answer of Connect's as the client reads it. The head waits for the first part: methods may set headers. */
async function writeAnswer(answer: UniversalServerResponse, exchange: Exchange): Promise<void> {
  const writer = exchange.response;
  const parts = answer.body?.[Symbol.asyncIterator]();
  const begin = () => writer.begin(answer.status, nodeHeaders(answer.header ?? new Headers()));
  const write = async (bytes: Uint8Array) => {
    // It exists already: Connect has made it.
    if (bytes.byteLength > partBytesMax && !exchange.isLarge)
      await exchange.roomFor(bytes, () => bytes, bytes.byteLength);
    if (!writer.isBegun && !writer.isGone) begin();
    await writer.writePieces([bytes]);
    if (exchange.isLarge) await exchange.releaseTaken();
  };
  let part = await parts?.next();
  for (; part !== undefined && !part.done; part = await parts?.next()) {
    await writer.inRoom(part.value, write, exchange.signal);
    if (!writer.isGone) continue;
    const gone = new ConnectError("The client has hung up", Code.Aborted);
    // It ends the call with this reason, and rejects with it or with what the method does then.
    await parts?.throw?.(gone).catch(() => undefined);
    throw gone;
  }
  if (!writer.isBegun) begin();
  const { trailer } = answer;
  writer.end(undefined, trailer && nodeHeaders(withPlainMessage(trailer)));
}

/** The trailers are complete only when the body has ended. */
function withPlainMessage(trailer: Headers): Headers {
  const message = trailer.get("grpc-message");
  if (message !== null) setGrpcMessage(trailer, decodeURIComponent(message));
  return trailer;
}

/** Connect answers a request with a bare status if the request belongs to none of its protocols. */
function reject(
  { allowedMethods }: UniversalHandler,
  status: number,
  request: NodeRequest,
  response: NodeResponse,
): void {
  const [name, text] =
    status === 405
      ? ["METHOD_NOT_ALLOWED", `Use ${allowedMethods.join(" or ")}`]
      : status === 415
        ? ["UNSUPPORTED_MEDIA_TYPE", "Unsupported content type"]
        : ["INVALID_ARGUMENT", "The request is not a call"];
  const headers = status === 405 ? { allow: allowedMethods.join(", ") } : {};
  respond(request, response, { status, headers }, errorJson(status, name, text));
}
