import type { OutgoingHttpHeaders } from "node:http";
import type { JsonValue } from "@bufbuild/protobuf";
import { TaskError } from "../../domain/task-error.ts";
import type { VersionSource } from "../calls/a2a-version.ts";
import {
  type CallContext,
  type CallSignals,
  callContext,
  callSignals,
  endCall,
  type HttpResponse,
  headerLines,
  isGone,
  nothing,
  writeBytes,
} from "../calls/call-context.ts";
import { batchCallsMax } from "../calls/call-limits.ts";
import type { CallSettings } from "../calls/call-settings.ts";
import { readBody } from "../calls/read-body.ts";
import { toConnectError } from "../errors/errors.ts";
import { writeEventStream } from "../http-json/event-stream.ts";
import { isJsonBody } from "../http-json/media-types.ts";
import { pathOf, type Request, type RequestHandler } from "../listener/request-handler.ts";
import { parseJsonRpc } from "../proto-json/read-json.ts";
import type { ServedService } from "../services/services.ts";
import { currentDialect, type Dialect, RpcFault } from "./dialect.ts";
import { errorText, noId, type RpcEntry, type RpcError, readEntry, resultText, rpcCodes } from "./rpc-message.ts";

export interface JsonRpcOptions extends CallSettings {
  /** Where it is served, with and without a slash at the end. Default "/": clients post to the agent's own address. */
  readonly path?: string;
  /**
   * Another version of A2A for a request, known by its headers, its query or its method's name before params are looked
   * at. Default: always 1.0.
   */
  dialectOf?(method: string, request: VersionSource): Dialect | undefined;
}

const protocolName = "json-rpc";
const jsonHeaders = { "content-type": "application/json" };

/**
 * A2A's JSON-RPC binding (R161 to R165): POST to one path. Everything but a stream is answered with HTTP 200, errors
 * included, or 204 where nothing is to be said.
 */
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

/** The headers that a call, if it came to one, tells its answer with, errors too. */
function headersFor(context: CallContext | undefined): OutgoingHttpHeaders {
  return Object.fromEntries(context?.responseHeader ?? []);
}

/** One request of HTTP with all its calls. */
class Exchange {
  readonly #request: Request;
  readonly #response: HttpResponse;
  readonly #current: Dialect;
  readonly #options: JsonRpcOptions;
  readonly #signals: CallSignals;
  readonly #version: VersionSource;

  constructor(request: Request, response: HttpResponse, current: Dialect, options: JsonRpcOptions) {
    this.#request = request;
    this.#response = response;
    this.#current = current;
    this.#options = options;
    this.#signals = callSignals(response, options);
    this.#version = { requestHeader: new Headers(headerLines(request)), url: request.url ?? "" };
  }

  /** Never rejects: whatever goes wrong is an answer. */
  async serve(): Promise<void> {
    try {
      const { json, ids } = await this.#read();
      if (!Array.isArray(json)) await this.#single(readEntry(json, ids.get(0)));
      else await this.#batch(json, ids);
    } catch (error) {
      this.#send(errorText(noId, this.#errorOf(error, this.#current)));
    }
  }

  async #read(): Promise<{ readonly json: JsonValue; readonly ids: ReadonlyMap<number, string> }> {
    const bytes = await readBody(this.#request, this.#options.readBytesMax, this.#options.shutdownSignal);
    if (!isJsonBody(this.#request)) {
      throw new TaskError(
        "CONTENT_TYPE_NOT_SUPPORTED",
        `The content type "${this.#request.headers["content-type"] ?? ""}" is not supported: application/json is, in UTF-8`,
      );
    }
    try {
      return parseJsonRpc(bytes);
    } catch (error) {
      throw new RpcFault({
        code: rpcCodes.parse,
        message: `Invalid JSON payload: ${error instanceof Error ? error.message : error}`,
      });
    }
  }

  async #single(entry: RpcEntry): Promise<void> {
    if (entry.kind === "faulty") return this.#send(errorText(entry.id, entry.error));
    const { id, method: name, params } = entry;
    const dialect = this.#dialectOf(name);
    let context: CallContext | undefined;
    try {
      const method = dialect.find(name, this.#version);
      context = callContext(this.#request, this.#signals, method.desc, protocolName);
      const results = method.run(params, context);
      try {
        // What refuses a stream comes before its first event, and is a plain answer.
        const first = await results.next();
        const headers = headersFor(context);
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
        endCall(context);
      }
    } catch (error) {
      if (id === undefined) this.#sendNothing(headersFor(context));
      else this.#send(errorText(id, this.#errorOf(error, dialect)), headersFor(context));
    }
  }

  /**
   * One call after the other, each answer with the client before the next is made: a batch holds no more in memory than
   * a single call.
   */
  async #batch(entries: readonly JsonValue[], ids: ReadonlyMap<number, string>): Promise<void> {
    if (entries.length === 0)
      throw new RpcFault({
        code: rpcCodes.invalidRequest,
        message: "Request payload validation error: the batch is empty",
      });
    if (entries.length > batchCallsMax) {
      const message = `Request payload validation error: the batch has ${entries.length} requests, at most ${batchCallsMax} are accepted`;
      throw new RpcFault({ code: rpcCodes.invalidRequest, message });
    }
    let text = "";
    let separator = "[";
    let headers: OutgoingHttpHeaders = {};
    for (const [place, json] of entries.entries()) {
      const { answer, context } = await this.#answer(readEntry(json, ids.get(place)));
      if (isGone(this.#response)) return;
      if (answer !== undefined) {
        text += `${separator}${answer}`;
        separator = ",";
      }
      // The first call tells the headers, such as the extensions that are active. What is no call has nothing of that,
      // and its answer is short: it waits.
      if (context === undefined) continue;
      if (!this.#response.headersSent) headers = { ...headers, ...headersFor(context) };
      if (text === "") continue;
      if (!this.#response.headersSent) this.#response.writeHead(200, { ...headers, ...jsonHeaders });
      await writeBytes(this.#response, Buffer.from(text));
      text = "";
    }
    if (separator === "[") return this.#sendNothing(headers);
    if (!this.#response.headersSent) this.#response.writeHead(200, jsonHeaders);
    this.#response.end(Buffer.from(`${text}]`));
  }

  /**
   * What a member of a batch is answered with, nothing for a notification; and the context of its call, if it came to
   * one.
   */
  async #answer(entry: RpcEntry): Promise<{ readonly answer?: string; readonly context?: CallContext }> {
    if (entry.kind === "faulty") return { answer: errorText(entry.id, entry.error) };
    const { id, method: name, params } = entry;
    const dialect = this.#dialectOf(name);
    let context: CallContext | undefined;
    const told = (answer: string) => ({ ...(id !== undefined && { answer }), ...(context && { context }) });
    try {
      const method = dialect.find(name, this.#version);
      if (method.isStream)
        throw new RpcFault({
          code: rpcCodes.invalidRequest,
          message: `Request payload validation error: "${name}" streams, which a batch can't`,
        });
      context = callContext(this.#request, this.#signals, method.desc, protocolName);
      const { value } = await method.run(params, context).next();
      return told(resultText(id ?? noId, value?.json ?? "null"));
    } catch (error) {
      return told(errorText(id ?? noId, this.#errorOf(error, dialect)));
    } finally {
      if (context !== undefined) endCall(context);
    }
  }

  #dialectOf(method: string): Dialect {
    return this.#options.dialectOf?.(method, this.#version) ?? this.#current;
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
