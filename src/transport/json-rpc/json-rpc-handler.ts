import type { OutgoingHttpHeaders } from "node:http";
import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import { TaskError } from "../../domain/task-error.ts";
import type { VersionSource } from "../admission/a2a-version.ts";
import { CallContext } from "../calls/call-context.ts";
import { batchCallsMax } from "../calls/call-limits.ts";
import type { CallSettings } from "../calls/call-settings.ts";
import { Exchange } from "../calls/exchange.ts";
import { plainBody, readBytes } from "../calls/read-body.ts";
import { RequestLines } from "../calls/request-lines.ts";
import { type AnswerForm, runCall } from "../calls/run-call.ts";
import { toConnectError } from "../errors/errors.ts";
import { isJsonBody } from "../http-json/media-types.ts";
import { pathOf, type RequestHandler } from "../listener/request-handler.ts";
import { parseJsonRpc } from "../proto-json/read-json.ts";
import type { ServedService } from "../services/services.ts";
import { currentDialect, type Dialect, type DialectMethod, RpcFault } from "./dialect.ts";
import { BatchAnswer, jsonHeaders, NoAnswer, SingleAnswer, sendError, sendNoContent } from "./rpc-answer.ts";
import { errorText, noId, type RpcEntry, type RpcError, readEntry, rpcCodes } from "./rpc-message.ts";

export interface JsonRpcOptions extends CallSettings {
  /** The path, with and without a slash at the end. Default "/": clients post to the agent's own address. */
  readonly path?: string;
  /**
   * Selects another version of A2A for a call by its headers, its query or its method's name, before its params are
   * read. Default: always 1.0.
   */
  dialectOf?(method: string, request: VersionSource): Dialect | undefined;
}

const protocolName = "json-rpc";

/**
 * A2A's JSON-RPC binding (R161 to R165): POST to one path. Every answer except a stream has HTTP status 200, errors
 * included, or 204 for notifications.
 */
export function jsonRpcHandler(services: readonly ServedService[], options: JsonRpcOptions): RequestHandler {
  const current = currentDialect(services);
  const path = withoutSlash(options.path ?? "/");
  return (request, response) => {
    if (request.method !== "POST" || withoutSlash(pathOf(request)) !== path) return false;
    void new RpcExchange(new Exchange(request, response, options), current, options).serve();
    return true;
  };
}

function withoutSlash(path: string): string {
  return path.endsWith("/") ? path.slice(0, -1) : path;
}

/** One HTTP request with all its calls. */
class RpcExchange {
  readonly #exchange: Exchange;
  readonly #current: Dialect;
  readonly #options: JsonRpcOptions;
  readonly #version: VersionSource;

  constructor(exchange: Exchange, current: Dialect, options: JsonRpcOptions) {
    this.#exchange = exchange;
    this.#current = current;
    this.#options = options;
    const { request } = exchange;
    this.#version = { lines: new RequestLines(request.headers), url: request.url ?? "" };
  }

  /** Never rejects: every error is answered. */
  async serve(): Promise<void> {
    try {
      // Before the body, which has to be read to know the calls.
      await this.#exchange.identity;
      const { json, ids } = await this.#read();
      if (!Array.isArray(json)) await this.#single(readEntry(json, ids.get(0)));
      else await this.#batch(json, ids);
    } catch (error) {
      await sendError(this.#exchange, errorText(noId, this.#errorOf(error, this.#current)), this.#options);
    }
  }

  async #read(): Promise<{ readonly json: JsonValue; readonly ids: ReadonlyMap<number, string> }> {
    const { request } = this.#exchange;
    const { readBytesMax, shutdownSignal } = this.#options;
    const received = await readBytes(this.#exchange, readBytesMax, shutdownSignal);
    const bytes = await plainBody(request, received, readBytesMax);
    if (!isJsonBody(request)) {
      const type = request.headers["content-type"] ?? "";
      const message = `The content type "${type}" is not supported: application/json is, in UTF-8`;
      throw new TaskError("CONTENT_TYPE_NOT_SUPPORTED", message);
    }
    try {
      return parseJsonRpc(bytes);
    } catch (error) {
      if (error instanceof TaskError && error.reason === "TOO_LARGE") throw error;
      const message = `Invalid JSON payload: ${error instanceof Error ? error.message : error}`;
      throw new RpcFault({ code: rpcCodes.parse, message });
    }
  }

  async #single(entry: RpcEntry): Promise<void> {
    const { response } = this.#exchange;
    if (entry.kind === "faulty") return sendError(this.#exchange, errorText(entry.id, entry.error), this.#options);
    const { id, method: name, params } = entry;
    const dialect = this.#dialectOf(name);
    let method: DialectMethod;
    try {
      method = dialect.find(name, this.#version);
    } catch (error) {
      if (id === undefined) return sendNoContent(response, {});
      return sendError(this.#exchange, errorText(id, this.#errorOf(error, dialect)), this.#options);
    }
    await this.#run(method, params, (context) =>
      id === undefined
        ? new NoAnswer(response, context)
        : new SingleAnswer(this.#exchange, context, { id, dialect, method }, this.#options),
    );
  }

  /**
   * Runs one call after the other. Each answer is written, and read by a slow client, before the next call is made: a
   * batch holds no more in memory than a single call.
   */
  async #batch(entries: readonly JsonValue[], ids: ReadonlyMap<number, string>): Promise<void> {
    const { response } = this.#exchange;
    if (entries.length === 0) throw invalidRequest("the batch is empty");
    if (entries.length > batchCallsMax)
      throw invalidRequest(`the batch has ${entries.length} requests, at most ${batchCallsMax} are accepted`);
    /** What waits for the headers of the first call. */
    let waiting: Uint8Array[] = [];
    let separator = "[";
    let headers: OutgoingHttpHeaders = {};
    for (const [place, json] of entries.entries()) {
      const { answer, context } = await this.#member(readEntry(json, ids.get(place)));
      if (response.isGone) return;
      if (answer !== undefined) {
        waiting.push(Buffer.from(separator), ...answer);
        separator = ",";
      }
      // The first call sets the headers, such as the active extensions. An entry that is no call has none, and its
      // answer is short: it waits for the first call.
      if (context === undefined) continue;
      if (!response.isBegun) headers = { ...headers, ...context.answerHeader };
      if (waiting.length === 0) {
        this.#exchange.release();
        continue;
      }
      if (!response.isBegun) response.begin(200, { ...headers, ...jsonHeaders });
      await response.writePieces(waiting);
      waiting = [];
      if (this.#exchange.isLarge) await this.#exchange.releaseTaken();
    }
    if (separator === "[") return sendNoContent(response, headers);
    if (!response.isBegun) response.begin(200, jsonHeaders);
    response.end(Buffer.concat([...waiting, Buffer.from("]")]));
  }

  /** The answer of one entry, undefined for a notification; and the context of its call if there was one. */
  async #member(
    entry: RpcEntry,
  ): Promise<{ readonly answer?: readonly Uint8Array[] | undefined; readonly context?: CallContext }> {
    if (entry.kind === "faulty") return { answer: [Buffer.from(errorText(entry.id, entry.error))] };
    const { id, method: name, params } = entry;
    const dialect = this.#dialectOf(name);
    let method: DialectMethod;
    try {
      method = dialect.find(name, this.#version);
      if (method.method.kind === "server_streaming")
        throw invalidRequest(`"${name}" streams, which is not possible in a batch`);
    } catch (error) {
      if (id === undefined) return {};
      return { answer: [Buffer.from(errorText(id, this.#errorOf(error, dialect)))] };
    }
    const answer = new BatchAnswer(this.#exchange, { id: id ?? noId, dialect, method });
    const context = await this.#run(method, params, () => answer);
    return { answer: id === undefined ? undefined : answer.pieces, context };
  }

  async #run(
    { method, prepare, read, encodesAlone }: DialectMethod,
    params: JsonObject,
    answerOf: (context: CallContext) => AnswerForm,
  ): Promise<CallContext> {
    const context = new CallContext(this.#exchange, method.method, protocolName);
    const form = Object.assign(answerOf(context), {
      read: () => read(params, context),
      ...(prepare && { prepare }),
    });
    this.#exchange.encodesAlone = encodesAlone === true;
    await runCall(method, context, this.#exchange, form, this.#options);
    return context;
  }

  #dialectOf(method: string): Dialect {
    return this.#options.dialectOf?.(method, this.#version) ?? this.#current;
  }

  #errorOf(error: unknown, dialect: Dialect): RpcError {
    return error instanceof RpcFault ? error.error : dialect.errorOf(toConnectError(error, this.#options.logger));
  }
}

function invalidRequest(fault: string): RpcFault {
  return new RpcFault({ code: rpcCodes.invalidRequest, message: `Request payload validation error: ${fault}` });
}
