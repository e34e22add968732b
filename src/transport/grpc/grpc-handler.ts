import type { Http2ServerResponse } from "node:http2";
import { type Message, toBinary } from "@bufbuild/protobuf";
import type { ConnectError, HandlerContext, MethodImplSpec } from "@connectrpc/connect";
import { parseTimeout, setTrailerStatus } from "@connectrpc/connect/protocol-grpc";
import { TaskError } from "../../domain/task-error.ts";
import { callContext, callSignals, endCall } from "../calls/call-context.ts";
import { callUnary, whole } from "../calls/call-method.ts";
import type { CallSettings } from "../calls/call-settings.ts";
import { timerMs } from "../calls/deadlines.ts";
import { toConnectError } from "../errors/errors.ts";
import { pathOf, type Request, type RequestHandler, type Response } from "../listener/request-handler.ts";
import type { ServedService } from "../services/services.ts";
import { FrameWriter } from "./frame-writer.ts";
import { framed, readMessage } from "./frames.ts";

const protocolName = "grpc";

/** A method that takes one request. */
type OneRequest = Extract<MethodImplSpec, { kind: "unary" | "server_streaming" }>;

/**
 * gRPC as nearly every client speaks it: protobuf, not compressed, over HTTP/2. All else of gRPC, such as JSON and
 * compressed requests, is passed on to Connect, which speaks all of it and takes several times as long for a call
 * (docs/adr/0006). Answers aren't compressed, as gRPC's own servers don't unless they are told to.
 */
export function grpcHandler(services: readonly ServedService[], settings: CallSettings): RequestHandler {
  const calls = new Map<string, OneRequest>();
  for (const { service, methods } of services) {
    for (const call of Object.values(methods)) {
      if (call.kind === "unary" || call.kind === "server_streaming")
        calls.set(`/${service.typeName}/${call.method.name}`, call);
    }
  }
  return (request, response) => {
    const call = calls.get(pathOf(request));
    if (call === undefined || !isPlain(request) || !isHttp2(response)) return false;
    void answer(request, response, call, settings);
    return true;
  };
}

/** Parameters tell nothing: gRPC's servers in Go and C don't look at them, Connect refuses them. */
const protobufType = /^application\/grpc(?:\+proto)?[ \t]*(?:;|$)/i;

function isPlain({ method, headers }: Request): boolean {
  const { "content-type": type = "", "grpc-encoding": encoding = "identity" } = headers;
  return method === "POST" && encoding === "identity" && protobufType.test(type);
}

function isHttp2(response: Response): response is Http2ServerResponse {
  return "stream" in response;
}

/** Never rejects: whatever goes wrong is a status. */
async function answer(
  request: Request,
  response: Http2ServerResponse,
  call: OneRequest,
  settings: CallSettings,
): Promise<void> {
  const { timeoutMs, error: badTimeout } = parseTimeout(
    request.headers["grpc-timeout"]?.toString() ?? null,
    Number.POSITIVE_INFINITY,
  );
  const context = callContext(
    request,
    { ...callSignals(response, settings), ...timerMs(timeoutMs) },
    call.method,
    protocolName,
  );
  try {
    settings.gate(context);
    if (badTimeout !== undefined) throw new TaskError("INVALID_REQUEST", badTimeout.rawMessage);
    const message = await readMessage(request, call.method.input, settings.readBytesMax, context.signal);
    if (call.kind === "unary") {
      const bytes = framed([toBinary(call.method.output, await callUnary(call, message, context))]);
      begin(response, context);
      response.addTrailers({ "grpc-status": "0" });
      response.end(bytes);
    } else {
      await writeStream(response, call, message, context);
      // A stream can end well without an event.
      if (!response.headersSent) begin(response, context);
      response.addTrailers({ "grpc-status": "0" });
      response.end();
    }
  } catch (error) {
    refuse(response, context, toConnectError(error, settings.logger));
  } finally {
    endCall(context);
  }
}

/** What was yielded before an error goes out before it. */
async function writeStream(
  response: Http2ServerResponse,
  call: OneRequest & { kind: "server_streaming" },
  request: Message,
  context: HandlerContext,
): Promise<void> {
  const { output } = call.method;
  const writer = new FrameWriter(response);
  try {
    for await (const message of call.impl(request, context)) {
      if (!response.headersSent) begin(response, context);
      await writer.add(toBinary(output, whole(output, message)));
    }
  } finally {
    writer.flush();
  }
}

function begin(response: Http2ServerResponse, { responseHeader }: HandlerContext): void {
  response.writeHead(200, { ...Object.fromEntries(responseHeader), "content-type": "application/grpc+proto" });
}

/** Behind messages the status is in the trailers; without any it is in the only headers there are. */
function refuse(response: Http2ServerResponse, context: HandlerContext, error: ConnectError): void {
  const status = setTrailerStatus(new Headers(), error);
  // More of it would be escaped than gRPC wants, and grpc-js undoes no more than that.
  status.set("grpc-message", encodeURI(error.rawMessage.toWellFormed()));
  if (response.headersSent) {
    response.addTrailers(Object.fromEntries(status));
    response.end();
  } else {
    const headers = {
      ...Object.fromEntries(context.responseHeader),
      ...Object.fromEntries(status),
      "content-type": "application/grpc+proto",
    };
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    response.end();
  }
}
