import type { OutgoingHttpHeaders } from "node:http";
import type { DescMethod, DescService } from "@bufbuild/protobuf";
import {
  Code,
  ConnectError,
  type ContextValues,
  createContextKey,
  createContextValues,
  type HandlerContext,
} from "@connectrpc/connect";
import type { Caller } from "../../domain/scope.ts";
import type { AnswerRoom } from "../../manager/read/answer-room.ts";
import { restOf } from "../load/call-work.ts";
import { anonymous, type Identity } from "./call-hooks.ts";
import { type CalledIds, type Exchange, exchangeKey } from "./exchange.ts";
import { RequestLines } from "./request-lines.ts";
import { nodeHeaders } from "./response-writer.ts";

/** Who sends the call. */
export const identityKey = createContextKey(anonymous, { description: "the authenticated sender of a call" });

/**
 * The context of a call that doesn't come by Connect. Its signal is that of its exchange: aborted by the client that
 * hangs up, the end of the server, and the deadline. It is not aborted when the call ends.
 */
export class CallContext implements HandlerContext {
  readonly method: DescMethod;
  readonly protocolName: string;
  readonly values: ContextValues = createContextValues();
  readonly requestLines: RequestLines;
  readonly exchange: Exchange;
  readonly #deadlineMs: number | undefined;
  readonly #timer: NodeJS.Timeout | undefined;
  #responseHeader: Headers | undefined;
  #responseTrailer: Headers | undefined;

  /** `timeoutMs` counts from now. A call with a deadline is the only one of its exchange. */
  constructor(exchange: Exchange, method: DescMethod, protocolName: string, timeoutMs?: number) {
    this.method = method;
    this.protocolName = protocolName;
    this.requestLines = new RequestLines(exchange.request.headers);
    this.exchange = exchange;
    if (timeoutMs === undefined) return;
    this.#deadlineMs = performance.now() + timeoutMs;
    const end = () => exchange.abort(new ConnectError("The call's deadline is over", Code.DeadlineExceeded));
    if (timeoutMs <= 0) end();
    else this.#timer = setTimeout(end, timeoutMs);
  }

  /** Releases what the context holds. Its creator calls it when the call is over. */
  end(): void {
    clearTimeout(this.#timer);
  }

  get service(): DescService {
    return this.method.parent;
  }

  get signal(): AbortSignal {
    return this.exchange.signal;
  }

  timeoutMs(): number | undefined {
    return this.#deadlineMs === undefined ? undefined : this.#deadlineMs - performance.now();
  }

  get requestMethod(): string {
    return this.exchange.request.method ?? "";
  }

  get url(): string {
    const { headers, socket, url } = this.exchange.request;
    const { host = "localhost", ":authority": authority = host } = headers;
    return `${"encrypted" in socket && socket.encrypted ? "https" : "http"}://${authority}${url}`;
  }

  get requestHeader(): Headers {
    return this.requestLines.headers;
  }

  get responseHeader(): Headers {
    this.#responseHeader ??= new Headers();
    return this.#responseHeader;
  }

  get responseTrailer(): Headers {
    this.#responseTrailer ??= new Headers();
    return this.#responseTrailer;
  }

  /** The headers that the call has set for its answer. */
  get answerHeader(): OutgoingHttpHeaders {
    return this.#responseHeader === undefined ? {} : nodeHeaders(this.#responseHeader);
  }

  /** The trailers that the call has set for its answer. */
  get answerTrailer(): OutgoingHttpHeaders {
    return this.#responseTrailer === undefined ? {} : nodeHeaders(this.#responseTrailer);
  }
}

/** The fields by which requests name a task, a conversation or a message. */
interface NamingRequest extends CalledIds {
  readonly tenant: string;
  readonly id?: string;
  readonly message?: CalledIds | undefined;
}

/** The ids alone: a stream that is open for long must not hold its request. */
function calledIds({ message, ...request }: NamingRequest): CalledIds {
  const { taskId = request.id, contextId, messageId } = message ?? request;
  return { taskId, contextId, messageId };
}

/** The caller of a request: its tenant and the authenticated sender. */
export function callerFrom(request: NamingRequest, context: HandlerContext): Caller {
  const sender = context.values.get(identityKey);
  const exchange = context instanceof CallContext ? context.exchange : context.values.get(exchangeKey);
  if (exchange?.isLogged) exchange.called = calledIds(request);
  const lines = context instanceof CallContext ? context.requestLines : { headers: context.requestHeader };
  return new CallCaller(request.tenant, sender, lines);
}

/** A caller whose `Headers` are made when they are asked for. It may outlive its request, and doesn't hold it. */
class CallCaller implements Caller {
  readonly tenant: string;
  readonly owner: string;
  readonly claims: Caller["claims"];
  readonly #lines: Pick<RequestLines, "headers">;

  constructor(tenant: string, { owner, claims }: Identity, lines: Pick<RequestLines, "headers">) {
    this.tenant = tenant;
    this.owner = owner;
    this.claims = claims;
    this.#lines = lines;
  }

  get headers(): Headers {
    return this.#lines.headers;
  }
}

/** Where the bytes of a call's answer are counted. Undefined on a router of the embedding application. */
export function roomFrom(context: HandlerContext): AnswerRoom | undefined {
  const exchange = context instanceof CallContext ? context.exchange : context.values.get(exchangeKey);
  // A call that waits for its client to read others' answers doesn't work meanwhile.
  exchange?.onRoomWait(restOf(context));
  return exchange;
}
