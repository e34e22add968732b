import type { Logger } from "../../runtime/logger.ts";
import type { ListenerHandler } from "../listener/listener.ts";
import { errorJson, type NodeRequest, respond } from "../listener/request-handler.ts";
import { bytesSource, makeRequest } from "./made-request.ts";

/** Where body parsers put what they have read. */
interface ParsedRequest {
  /** `express.raw()`: the bytes. */
  readonly body?: unknown;
  /** Where the `verify` of body parsers puts the bytes by custom. */
  readonly rawBody?: unknown;
}

/** The methods whose calls have a body. */
const withBody: ReadonlySet<string> = new Set(["POST", "PUT", "PATCH"]);

/**
 * Serves requests whose body a parser of the host has read before, if the bytes are kept: as a Buffer in `body`, as a
 * Buffer or a text in `rawBody`. A parsed body alone isn't enough: it may have lost what the bytes said, such as a
 * large number or a field that stands twice. Such a request gets 500 with an error that names the parser.
 */
export function withReadBody(handle: ListenerHandler, logger: Logger): ListenerHandler {
  return (request, response) => {
    if (!isRead(request)) {
      handle(request, response);
      return;
    }
    const bytes = keptBytes(request);
    if (bytes !== undefined) {
      handle(replayed(request, bytes), response);
      return;
    }
    const text = faultOf(request);
    logger.error({ path: request.url }, text);
    respond(request, response, { status: 500 }, errorJson(500, "INTERNAL", text));
  };
}

/** Whether somebody has read a body before. One that is empty needs no bytes. */
function isRead(request: NodeRequest): boolean {
  if (!request.readableDidRead) return false;
  return withBody.has(request.method ?? "") && request.headers["content-length"] !== "0";
}

function keptBytes(request: NodeRequest & ParsedRequest): Uint8Array | undefined {
  for (const kept of [request.rawBody, request.body]) if (kept instanceof Uint8Array) return kept;
  return typeof request.rawBody === "string" ? Buffer.from(request.rawBody) : undefined;
}

/** The request with its body to be read again. Body parsers keep it without its compression. */
function replayed(request: NodeRequest, bytes: Uint8Array): NodeRequest {
  const { "content-encoding": _, ...headers } = request.headers;
  const { method = "", url = "", rawHeaders, socket } = request;
  headers["content-length"] = String(bytes.byteLength);
  return makeRequest({ method, url, headers, rawHeaders, socket }, bytesSource(bytes));
}

function faultOf(request: NodeRequest & ParsedRequest): string {
  const [parser, remedy] =
    "body" in request
      ? [
          "A body parser, such as express.json()",
          "or let it keep the bytes: express.json({ verify: (req, _res, bytes) => { req.rawBody = bytes; } })",
        ]
      : ["A body parser, such as Fastify's content-type parsers", "or replace the parsers in its scope"];
  return `${parser}, has read the request before the task manager: put the handler in front of it, ${remedy}`;
}
