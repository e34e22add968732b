import type { OutgoingHttpHeaders } from "node:http";
import type { JsonValue, Message } from "@bufbuild/protobuf";
import type { ConnectError } from "@connectrpc/connect";
import { TaskError } from "../../domain/task-error.ts";
import { jsonAnswer } from "../answers/sized-answer.ts";
import type { Pieces } from "../answers/task-lists.ts";
import { CallContext } from "../calls/call-context.ts";
import type { CallSettings } from "../calls/call-settings.ts";
import { eventIdOf } from "../calls/event-sequence.ts";
import { Exchange } from "../calls/exchange.ts";
import { plainBody, readBytes } from "../calls/read-body.ts";
import { type AnswerForm, runCall } from "../calls/run-call.ts";
import { type NodeRequest, pathOf, queryOf, type RequestHandler } from "../listener/request-handler.ts";
import { parseJson } from "../proto-json/read-json.ts";
import { writeJson } from "../proto-json/write-json.ts";
import type { ServedService } from "../services/services.ts";
import { bindRequest } from "./bind-request.ts";
import { errorAnswer, HttpFault } from "./error-answer.ts";
import { EventStreamWriter } from "./event-stream.ts";
import { answerType, eventStreamType, isJsonBody, type JsonType, jsonTypes } from "./media-types.ts";
import { type FoundPath, findPath, type Route, routesOf } from "./routes.ts";

const protocolName = "http+json";

/**
 * A2A's HTTP+JSON binding (R170 to R176) of every method that has a `google.api.http` rule. Takes each request to a
 * path of these rules, also with a verb that the path doesn't have, and passes on all others.
 */
export function httpJsonHandler(services: readonly ServedService[], settings: CallSettings): RequestHandler {
  const routes = routesOf(services);
  return (request, response) => {
    const found = findPath(routes, pathOf(request));
    if (found === undefined) return false;
    // Added to what the answer varies by already, such as the origin of a page.
    response.appendHeader("vary", "accept");
    void serveRequest(new Exchange(request, response, settings), found, settings);
    return true;
  };
}

async function serveRequest(exchange: Exchange, found: FoundPath, settings: CallSettings): Promise<void> {
  const { request } = exchange;
  let target: Target;
  let type: JsonType;
  try {
    target = targetOf(request, found);
    type = acceptedType(request, target.route);
  } catch (error) {
    sendError(exchange, jsonTypes[0], error, settings);
    return;
  }
  const { route, variables } = target;
  const context = new CallContext(exchange, route.call.method, protocolName);
  const answer = new HttpJsonAnswer(exchange, type, route, context, settings);
  let bytes: Uint8Array = noBytes;
  const receive = async () => {
    if (route.body !== "none") bytes = await readBytes(exchange, settings.readBytesMax, context.signal);
  };
  const read = async () => {
    const json = route.body === "none" ? undefined : await readJsonBody(exchange.request, bytes, settings.readBytesMax);
    bytes = noBytes;
    const query = decoded("query", () => strictQueryOf(request));
    return bindRequest(route, json, variables, query);
  };
  await runCall(route.call, context, exchange, Object.assign(answer, { receive, read }), settings);
}

const noBytes = Buffer.alloc(0);

/** What a request calls. */
interface Target {
  readonly route: Route;
  readonly variables: ReadonlyMap<string, string>;
}

/** Throws HttpFault 405 for a verb that the path doesn't have. */
function targetOf(request: NodeRequest, found: FoundPath): Target {
  const verb = request.method === "HEAD" ? "GET" : (request.method ?? "");
  const target = decoded("path", () => found.route(verb));
  if (target !== undefined) return target;
  const allowed = found.verbs.flatMap((each) => (each === "GET" ? ["GET", "HEAD"] : [each]));
  const message = `${request.method} is not served here: ${allowed.join(", ")} ${allowed.length === 1 ? "is" : "are"}`;
  throw new HttpFault(405, "UNIMPLEMENTED", message, { allow: allowed.join(", ") });
}

/** The type of the answer. Throws HttpFault 406 if Accept excludes all that there are. */
function acceptedType(request: NodeRequest, { call }: Route): JsonType {
  const isStream = call.kind === "server_streaming";
  const accepted = answerType(request, isStream);
  if (accepted !== undefined) return accepted;
  const types = [...jsonTypes, ...(isStream ? [eventStreamType] : [])];
  const message = `No type that "${request.headers.accept}" accepts is available: ${types.join(", ")} are`;
  throw new HttpFault(406, "INVALID_ARGUMENT", message);
}

/** Throws URIError for a percent sign that encodes nothing, which would otherwise be read as something else. */
function strictQueryOf(request: NodeRequest): URLSearchParams {
  decodeURIComponent(request.url ?? "");
  return request.url?.includes("?") ? queryOf(request) : noQuery;
}

const noQuery = new URLSearchParams();

/** What `decode` returns. Its URIError is a fault of the request. */
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

/**
 * Undefined for an empty body, which needs no type, since a request may be all in its path; and for `null`, which the
 * SDK for Go sends in place of none.
 */
async function readJsonBody(
  request: NodeRequest,
  received: Uint8Array,
  bytesMax: number,
): Promise<JsonValue | undefined> {
  const bytes = await plainBody(request, received, bytesMax);
  if (bytes.byteLength === 0) return undefined;
  if (isJsonBody(request)) return parseJson(bytes) ?? undefined;
  const given = request.headers["content-type"];
  const text =
    given === undefined
      ? "A body without a Content-Type is not accepted"
      : `The content type "${given}" is not supported`;
  throw new TaskError("CONTENT_TYPE_NOT_SUPPORTED", `${text}: ${jsonTypes.join(" and ")} are, in UTF-8`);
}

/** The answer of a call: JSON, or server-sent events for a stream. HEAD gets the head only. */
class HttpJsonAnswer implements AnswerForm {
  readonly #exchange: Exchange;
  readonly #type: JsonType;
  readonly #route: Route;
  readonly #context: CallContext;
  readonly #settings: CallSettings;
  #events: EventStreamWriter | undefined;

  readonly #textOf = (message: Message): string => writeJson(this.#route.call.method.output, message);

  constructor(exchange: Exchange, type: JsonType, route: Route, context: CallContext, settings: CallSettings) {
    this.#exchange = exchange;
    this.#type = type;
    this.#route = route;
    this.#context = context;
    this.#settings = settings;
  }

  get isDone(): boolean {
    return isHead(this.#exchange.request) || this.#exchange.response.isGone;
  }

  unary(message: Message): Promise<void> | undefined {
    const json = jsonAnswer(this.#exchange, message, this.#textOf, "unary");
    if (json instanceof Promise) return this.#largeUnary(json);
    sendJson(this.#exchange, 200, this.#type, this.#headers(), json);
    return undefined;
  }

  async #largeUnary(json: Promise<Pieces>): Promise<void> {
    const { request, response } = this.#exchange;
    const { pieces, bytes } = await json;
    if (response.isGone) return;
    response.begin(200, { ...this.#headers(), "content-type": this.#type, "content-length": bytes });
    if (!isHead(request)) await response.writePieces(pieces);
    response.end();
  }

  async #largeEvent(json: Promise<Pieces>, id: string | undefined): Promise<void> {
    const { pieces } = await json;
    await this.#begun().writePieces(pieces, id);
    await this.#exchange.releaseTaken();
  }

  event(message: Message): Promise<void> | undefined {
    if (isHead(this.#exchange.request)) return undefined;
    const data = jsonAnswer(this.#exchange, message, this.#textOf, "event");
    const id = eventIdOf(message);
    return data instanceof Promise ? this.#largeEvent(data, id) : this.#begun().write({ data, id });
  }

  end(): void {
    const { request, response } = this.#exchange;
    if (isHead(request)) {
      response.begin(200, { ...this.#headers(), "content-type": eventStreamType });
      response.end();
    } else {
      this.#begun().end();
    }
  }

  async fail(error: ConnectError): Promise<void> {
    if (this.#events === undefined) {
      sendError(this.#exchange, this.#type, error, this.#settings, this.#headers());
      return;
    }
    // Named, since the event is no StreamResponse.
    await this.#events.write({ event: "error", data: JSON.stringify(errorAnswer(error, this.#settings.logger).body) });
    this.#events.end();
  }

  /** The head goes out with the first event or the end: what rejects a stream comes before, as an ordinary error. */
  #begun(): EventStreamWriter {
    const { clock, heartbeatMs } = this.#settings;
    this.#events ??= new EventStreamWriter(this.#exchange.response, this.#headers(), clock, heartbeatMs);
    return this.#events;
  }

  #headers(): OutgoingHttpHeaders {
    return this.#context.answerHeader;
  }
}

function isHead({ method }: NodeRequest): boolean {
  return method === "HEAD";
}

function sendError(
  exchange: Exchange,
  type: JsonType,
  error: unknown,
  { logger }: CallSettings,
  callHeaders: OutgoingHttpHeaders = {},
): void {
  if (exchange.response.isBegun) return;
  const { http, headers, body } = errorAnswer(error, logger);
  sendJson(exchange, http, type, { ...callHeaders, ...headers }, JSON.stringify(body));
}

function sendJson(
  { request, response }: Exchange,
  status: number,
  type: JsonType,
  headers: OutgoingHttpHeaders,
  body: string,
): void {
  const bytes = Buffer.from(body);
  response.begin(status, { ...headers, "content-type": type, "content-length": bytes.byteLength });
  response.end(isHead(request) ? undefined : bytes);
}
