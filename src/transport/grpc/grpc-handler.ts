import type { Http2ServerResponse } from "node:http2";
import type { Message } from "@bufbuild/protobuf";
import type { ConnectError, MethodImplSpec } from "@connectrpc/connect";
import { parseTimeout, setTrailerStatus } from "@connectrpc/connect/protocol-grpc";
import { TaskError } from "../../domain/task-error.ts";
import { binaryAnswer } from "../answers/sized-answer.ts";
import type { Pieces } from "../answers/task-lists.ts";
import { CallContext } from "../calls/call-context.ts";
import type { CallSettings } from "../calls/call-settings.ts";
import { timerMs } from "../calls/deadlines.ts";
import { Exchange } from "../calls/exchange.ts";
import { nodeHeaders, type ResponseWriter } from "../calls/response-writer.ts";
import { type AnswerForm, runCall } from "../calls/run-call.ts";
import { setGrpcMessage } from "../errors/grpc-message.ts";
import { type NodeRequest, type NodeResponse, pathOf, type RequestHandler } from "../listener/request-handler.ts";
import type { ServedService } from "../services/services.ts";
import { FrameWriter } from "./frame-writer.ts";
import { framed, framePrefix, readFrame, readMessage } from "./frames.ts";

const protocolName = "grpc";
const contentType = "application/grpc+proto";

/**
 * gRPC as nearly every client speaks it: protobuf, not compressed, over HTTP/2. The rest of gRPC, such as JSON and
 * compressed requests, is passed on to Connect, which supports all of it and takes several times as long for a call
 * (docs/adr/0006). Answers aren't compressed: gRPC's own servers don't compress by default either.
 */
export function grpcHandler(services: readonly ServedService[], settings: CallSettings): RequestHandler {
  const methods = new Map<string, MethodImplSpec>();
  for (const service of services) {
    for (const method of Object.values(service.methods)) {
      if (method.kind === "unary" || method.kind === "server_streaming")
        methods.set(`/${service.service.typeName}/${method.method.name}`, method);
    }
  }
  return (request, response) => {
    const method = methods.get(pathOf(request));
    if (method === undefined || !isPlain(request) || !isHttp2(response)) return false;
    void serveCall(new Exchange(request, response, settings), method, settings);
    return true;
  };
}

/** Parameters are ignored: gRPC's servers in Go and C don't look at them, and Connect rejects them. */
const protobufType = /^application\/grpc(?:\+proto)?[ \t]*(?:;|$)/i;

function isPlain({ method, headers }: NodeRequest): boolean {
  const { "content-type": type = "", "grpc-encoding": encoding = "identity" } = headers;
  return method === "POST" && encoding === "identity" && protobufType.test(type);
}

function isHttp2(response: NodeResponse): response is Http2ServerResponse {
  return "stream" in response;
}

async function serveCall(exchange: Exchange, method: MethodImplSpec, settings: CallSettings): Promise<void> {
  const { timeoutMs, error: badTimeout } = parseTimeout(
    exchange.request.headers["grpc-timeout"]?.toString() ?? null,
    Number.POSITIVE_INFINITY,
  );
  const context = new CallContext(exchange, method.method, protocolName, timerMs(timeoutMs));
  const answer = new GrpcAnswer(exchange, method, context);
  let bytes: Buffer = noBytes;
  const receive = async () => {
    if (badTimeout !== undefined) throw new TaskError("INVALID_REQUEST", badTimeout.rawMessage);
    bytes = await readFrame(exchange, settings.readBytesMax, context.signal);
  };
  const read = () => {
    const message = readMessage(bytes, method.method.input);
    bytes = noBytes;
    return message;
  };
  await runCall(method, context, exchange, Object.assign(answer, { receive, read }), settings);
}

const noBytes = Buffer.alloc(0);

/** The answer of a call: messages in frames, then the status in the trailers. */
class GrpcAnswer implements AnswerForm {
  readonly #exchange: Exchange;
  readonly #response: ResponseWriter;
  readonly #method: MethodImplSpec;
  readonly #context: CallContext;
  #frames: FrameWriter | undefined;

  constructor(exchange: Exchange, method: MethodImplSpec, context: CallContext) {
    this.#exchange = exchange;
    this.#response = exchange.response;
    this.#method = method;
    this.#context = context;
  }

  get isDone(): boolean {
    return this.#response.isGone;
  }

  unary(message: Message): Promise<void> | undefined {
    const encoded = binaryAnswer(this.#exchange, this.#method.method.output, message, "unary");
    if (encoded instanceof Promise) return this.#largeUnary(encoded);
    this.#begin();
    this.#response.end(framed([encoded]), this.#trailers());
    return undefined;
  }

  async #largeUnary(encoded: Promise<Pieces>): Promise<void> {
    await this.#writeLarge(encoded);
    this.#response.end(undefined, this.#trailers());
  }

  async #writeLarge(encoded: Promise<Pieces>): Promise<void> {
    const { pieces, bytes } = await encoded;
    if (this.#response.isGone) return;
    if (!this.#response.isBegun) this.#begin();
    await this.#response.writePieces([framePrefix(bytes), ...pieces]);
  }

  event(message: Message): Promise<void> | undefined {
    this.#frames ??= new FrameWriter(this.#response);
    const encoded = binaryAnswer(this.#exchange, this.#method.method.output, message, "event");
    if (encoded instanceof Promise) return this.#largeEvent(this.#frames, encoded);
    if (!this.#response.isBegun) this.#begin();
    return this.#frames.add(encoded);
  }

  async #largeEvent(frames: FrameWriter, encoded: Promise<Pieces>): Promise<void> {
    frames.flush();
    await this.#writeLarge(encoded);
    await this.#exchange.releaseTaken();
  }

  end(): void {
    this.#frames?.flush();
    if (!this.#response.isBegun) this.#begin();
    this.#response.end(undefined, this.#trailers());
  }

  /** After messages the status is in the trailers. Without messages it is in the only headers that are sent. */
  fail(error: ConnectError): void {
    this.#frames?.flush();
    const status = setTrailerStatus(new Headers(this.#context.responseTrailer), error);
    setGrpcMessage(status, error.rawMessage);
    if (this.#response.isBegun) this.#response.end(undefined, nodeHeaders(status));
    else
      this.#response.endWithHead({
        ...this.#context.answerHeader,
        ...nodeHeaders(status),
        "content-type": contentType,
      });
  }

  #begin(): void {
    this.#response.begin(200, { ...this.#context.answerHeader, "content-type": contentType });
  }

  #trailers() {
    return { ...this.#context.answerTrailer, "grpc-status": "0" };
  }
}
