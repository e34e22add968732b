import type { OutgoingHttpHeaders } from "node:http";
import type { JsonValue, Message } from "@bufbuild/protobuf";
import type { HandlerContext } from "@connectrpc/connect";
import { TaskError } from "../../domain/task-error.ts";
import {
  type CallContext,
  callContext,
  callSignals,
  endCall,
  type HttpResponse,
  nothing,
  queryOf,
} from "../calls/call-context.ts";
import { callStreaming, callUnary } from "../calls/call-method.ts";
import type { CallSettings } from "../calls/call-settings.ts";
import { eventIdOf } from "../calls/event-sequence.ts";
import { readBody } from "../calls/read-body.ts";
import { pathOf, type Request, type RequestHandler } from "../listener/request-handler.ts";
import { parseJson } from "../proto-json/read-json.ts";
import { writeJson } from "../proto-json/write-json.ts";
import type { ServedService } from "../services/services.ts";
import { bindRequest } from "./bind-request.ts";
import { errorAnswer, HttpFault } from "./error-answer.ts";
import { writeEventStream } from "./event-stream.ts";
import { answerType, eventStreamType, isJsonBody, type JsonType, jsonTypes } from "./media-types.ts";
import { type FoundPath, findPath, type Route, routesOf } from "./routes.ts";

const protocolName = "http+json";

/**
 * A2A's HTTP+JSON binding (R170 to R176) of every method that has a `google.api.http` rule. Takes each request to a
 * path of theirs, also by a verb that the path doesn't have, and leaves all others alone.
 */
export function httpJsonHandler(services: readonly ServedService[], options: CallSettings): RequestHandler {
  const routes = routesOf(services);
  return (request, response) => {
    const found = findPath(routes, pathOf(request));
    if (found === undefined) return false;
    // Beside what it varies by already, such as the origin of a page.
    response.appendHeader("vary", "accept");
    void answer(request, response, found, options);
    return true;
  };
}

/** Never rejects: whatever goes wrong is an answer. */
async function answer(
  request: Request,
  response: HttpResponse,
  found: FoundPath,
  options: CallSettings,
): Promise<void> {
  let type: JsonType = jsonTypes[0];
  let context: CallContext | undefined;
  const signals = callSignals(response, options);
  try {
    const { route, variables } = routeOf(request, found);
    const isStream = route.call.kind === "server_streaming";
    const accepted = answerType(request, isStream);
    if (accepted === undefined) {
      const types = [...jsonTypes, ...(isStream ? [eventStreamType] : [])];
      throw new HttpFault(
        406,
        "INVALID_ARGUMENT",
        `Nothing that "${request.headers.accept}" accepts can be answered: ${types.join(", ")} can`,
      );
    }
    type = accepted;
    context = callContext(request, signals, route.call.method, protocolName);
    options.gate(context);
    const json = route.body === "none" ? undefined : await readJsonBody(request, options.readBytesMax, context.signal);
    const query = decoded("query", () => strictQueryOf(request));
    const message = bindRequest(route, json, variables, query);
    if (isStream) await answerStream(request, response, route, message, context, options);
    else {
      const output = await callUnary(route.call, message, context);
      send(request, response, 200, type, headersFrom(context), writeJson(route.call.method.output, output));
    }
  } catch (error) {
    const { http, headers, body } = errorAnswer(error, options.logger);
    if (!response.headersSent)
      send(request, response, http, type, { ...(context && headersFrom(context)), ...headers }, JSON.stringify(body));
  } finally {
    if (context !== undefined) endCall(context);
  }
}

function routeOf(
  request: Request,
  found: FoundPath,
): { readonly route: Route; readonly variables: ReadonlyMap<string, string> } {
  const verb = request.method === "HEAD" ? "GET" : (request.method ?? "");
  const route = decoded("path", () => found.route(verb));
  if (route !== undefined) return route;
  const allowed = found.verbs.flatMap((each) => (each === "GET" ? ["GET", "HEAD"] : [each]));
  const message = `${request.method} is not served here: ${allowed.join(", ")} ${allowed.length === 1 ? "is" : "are"}`;
  throw new HttpFault(405, "UNIMPLEMENTED", message, { allow: allowed.join(", ") });
}

/** Throws URIError for a percent sign that encodes nothing, which would otherwise be read as something else. */
function strictQueryOf(request: Request): URLSearchParams {
  decodeURIComponent(request.url ?? "");
  return queryOf(request);
}

/** What `decode` returns; its URIError is a fault of the request. */
function decoded<T>(where: "path" | "query", decode: () => T): T {
  try {
    return decode();
  } catch (error) {
    throw new TaskError(
      "INVALID_REQUEST",
      `The ${where} has a percent sign that doesn't begin an encoded byte of UTF-8`,
      { cause: error },
    );
  }
}

/** Undefined for an empty body, which needs no type: a request may be all in its path. */
async function readJsonBody(request: Request, bytesMax: number, signal: AbortSignal): Promise<JsonValue | undefined> {
  const bytes = await readBody(request, bytesMax, signal);
  if (bytes.byteLength === 0) return undefined;
  if (isJsonBody(request)) return parseJson(bytes);
  const given = request.headers["content-type"];
  const text =
    given === undefined
      ? "A body without a Content-Type is not accepted"
      : `The content type "${given}" is not supported`;
  throw new TaskError("CONTENT_TYPE_NOT_SUPPORTED", `${text}: ${jsonTypes.join(" and ")} are, in UTF-8`);
}

async function answerStream(
  request: Request,
  response: HttpResponse,
  { call }: Route,
  message: Message,
  context: HandlerContext,
  options: CallSettings,
) {
  const events = callStreaming(call, message, context);
  const first = await events.next();
  const headers = headersFrom(context);
  if (request.method === "HEAD") {
    await events.return(undefined);
    response.writeHead(200, { ...headers, "content-type": eventStreamType });
    response.end(nothing);
    return;
  }
  const { output } = call.method;
  await writeEventStream(response, {
    events,
    first,
    headers,
    toEvent: (event) => ({ data: writeJson(output, event), id: eventIdOf(event) }),
    // Named, since the event is no StreamResponse.
    toErrorEvent: (error) => ({ event: "error", data: JSON.stringify(errorAnswer(error, options.logger).body) }),
    keepAliveMs: options.heartbeatMs,
  });
}

function headersFrom({ responseHeader }: HandlerContext): OutgoingHttpHeaders {
  return Object.fromEntries(responseHeader);
}

function send(
  request: Request,
  response: HttpResponse,
  status: number,
  type: JsonType,
  headers: OutgoingHttpHeaders,
  body: string,
): void {
  const bytes = Buffer.from(body);
  response.writeHead(status, { ...headers, "content-type": type, "content-length": bytes.byteLength });
  response.end(request.method === "HEAD" ? nothing : bytes);
}
