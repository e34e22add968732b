import type { OutgoingHttpHeaders } from "node:http";
import type { JsonValue } from "@bufbuild/protobuf";
import { TaskError } from "../../domain/task-error.ts";
import { batchCallsMax } from "../call-limits.ts";
import { toConnectError } from "../errors.ts";
import { type CallSignals, callContext, callSignals, type HttpResponse, headersOf, isGone, nothing, queryOf, writeBytes } from "../http-exchange.ts";
import { writeEventStream } from "../http-json/event-stream.ts";
import { isJsonBody } from "../http-json/media-types.ts";
import { parseJson } from "../proto-json/read-json.ts";
import { readBody } from "../read-body.ts";
import { pathOf, type Request, type RequestHandler } from "../request-handler.ts";
import type { CallSettings } from "../serve-calls.ts";
import type { ServedService } from "../served-services.ts";
import { currentDialect, type Dialect, RpcFault } from "./dialect.ts";
import { errorText, type RpcEntry, type RpcError, readEntry, resultText, rpcCodes } from "./rpc-message.ts";

export interface JsonRpcOptions extends CallSettings {
  /** Where it is served, with and without a slash at the end. Default "/": clients post to the agent's own address. */
  readonly path?: string;
  /** Another version of A2A for a request, known by its headers, its query or its method's name before params are looked at. Default: always 1.0. */
  dialectOf?(method: string, headers: Headers, query: URLSearchParams): Dialect | undefined;
}

const protocolName = "json-rpc";
const jsonHeaders = { "content-type": "application/json" };

/** A2A's JSON-RPC binding (R161 to R165): POST to one path. Everything but a stream is answered with HTTP 200, errors included, or 204 where nothing is to be said. */
export function jsonRpcHandler(services: readonly ServedService[], options: JsonRpcOptions): RequestHandler {
  const current = currentDialect(services, options.gate);
  const path = withoutSlash(options.path ?? "/");
  return (request, response) => {
    if (request.method !== "POST" || withoutSlash(pathOf(request)) !== path) return false;
    void new Exchange(request, response, current, options).serve();
    return true;
  };
}

function withoutSlash(path: string): string {
  return path.endsWith("/") ? path.slice(0, -1) : path;
}

/** One request of HTTP with all its calls. */
class Exchange {
  readonly #request: Request;
  readonly #response: HttpResponse;
  readonly #current: Dialect;
  readonly #options: JsonRpcOptions;
  readonly #signals: CallSignals;

  constructor(request: Request, response: HttpResponse, current: Dialect, options: JsonRpcOptions) {
    this.#request = request;
    this.#response = response;
    this.#current = current;
    this.#options = options;
    this.#signals = callSignals(response, options);
  }

  /** Never rejects: whatever goes wrong is an answer. */
  async serve(): Promise<void> {
    try {
      const json = await this.#read();
      if (!Array.isArray(json)) await this.#single(readEntry(json));
      else await this.#batch(json);
    } catch (error) {
      this.#send(errorText(null, this.#errorOf(error, this.#current)));
    }
  }

  async #read(): Promise<JsonValue> {
    const bytes = await readBody(this.#request, this.#options.readBytesMax);
    if (!isJsonBody(this.#request)) {
      throw new TaskError(
        "CONTENT_TYPE_NOT_SUPPORTED",
        `The content type "${this.#request.headers["content-type"] ?? ""}" is not supported: application/json is, in UTF-8`,
      );
    }
    try {
      return parseJson(bytes);
    } catch (error) {
      throw new RpcFault({ code: rpcCodes.parse, message: `Invalid JSON payload: ${error instanceof Error ? error.message : error}` });
    }
  }

  async #single(entry: RpcEntry): Promise<void> {
    if (entry.kind === "faulty") return this.#send(errorText(entry.id, entry.error));
    const { id, method: name, params } = entry;
    const dialect = this.#dialectOf(name);
    const headers: OutgoingHttpHeaders = {};
    try {
      const method = dialect.find(name);
      const context = callContext(this.#request, this.#signals, method.desc, protocolName);
      const results = method.run(params, context);
      try {
        // What refuses a stream comes before its first event, and is a plain answer.
        const first = await results.next();
        Object.assign(headers, Object.fromEntries(context.responseHeader));
        if (id === undefined) return this.#sendNothing(headers);
        if (!method.isStream) return this.#send(resultText(id, first.value?.json ?? "null"), headers);
        await writeEventStream(this.#response, {
          events: results,
          first,
          headers,
          toEvent: ({ json, id: place }) => ({ data: resultText(id, json), id: place }),
          toErrorEvent: (error) => ({ data: errorText(id, this.#errorOf(error, dialect)) }),
          keepAliveMs: this.#options.heartbeatMs,
        });
      } finally {
        // A stream that nobody reads on, such as that of a notification, ends here; its task goes on.
        await results.return(undefined);
        context.abort();
      }
    } catch (error) {
      if (id === undefined) this.#sendNothing(headers);
      else this.#send(errorText(id, this.#errorOf(error, dialect)), headers);
    }
  }

  /** One call after the other, each answer with the client before the next is made: a batch holds no more in memory than a single call. */
  async #batch(entries: readonly JsonValue[]): Promise<void> {
    if (entries.length === 0) throw new RpcFault({ code: rpcCodes.invalidRequest, message: "Request payload validation error: the batch is empty" });
    if (entries.length > batchCallsMax) {
      const message = `Request payload validation error: the batch has ${entries.length} requests, at most ${batchCallsMax} are accepted`;
      throw new RpcFault({ code: rpcCodes.invalidRequest, message });
    }
    for (const json of entries) {
      const answer = await this.#answer(readEntry(json));
      if (isGone(this.#response)) return;
      if (answer === undefined) continue;
      const isFirst = !this.#response.headersSent;
      if (isFirst) this.#response.writeHead(200, jsonHeaders);
      await writeBytes(this.#response, Buffer.from(`${isFirst ? "[" : ","}${answer}`));
    }
    if (this.#response.headersSent) this.#response.end(Buffer.from("]"));
    else this.#sendNothing({});
  }

  /** The answer to a member of a batch; undefined for a notification. */
  async #answer(entry: RpcEntry): Promise<string | undefined> {
    if (entry.kind === "faulty") return errorText(entry.id, entry.error);
    const { id, method: name, params } = entry;
    const dialect = this.#dialectOf(name);
    try {
      const method = dialect.find(name);
      if (method.isStream)
        throw new RpcFault({ code: rpcCodes.invalidRequest, message: `Request payload validation error: "${name}" streams, which a batch can't` });
      const context = callContext(this.#request, this.#signals, method.desc, protocolName);
      try {
        const { value } = await method.run(params, context).next();
        return id === undefined ? undefined : resultText(id, value?.json ?? "null");
      } finally {
        context.abort();
      }
    } catch (error) {
      return id === undefined ? undefined : errorText(id, this.#errorOf(error, dialect));
    }
  }

  #dialectOf(method: string): Dialect {
    return this.#options.dialectOf?.(method, headersOf(this.#request), queryOf(this.#request)) ?? this.#current;
  }

  #errorOf(error: unknown, dialect: Dialect): RpcError {
    return error instanceof RpcFault ? error.error : dialect.errorOf(toConnectError(error, this.#options.logger));
  }

  #send(text: string, headers: OutgoingHttpHeaders = {}): void {
    if (this.#response.headersSent) return;
    const bytes = Buffer.from(text);
    this.#response.writeHead(200, { ...headers, ...jsonHeaders, "content-length": bytes.byteLength });
    this.#response.end(bytes);
  }

  #sendNothing(headers: OutgoingHttpHeaders): void {
    this.#response.writeHead(204, headers);
    this.#response.end(nothing);
  }
}
