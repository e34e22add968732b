import { create, type DescMessage, type Message, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, type HandlerContext, type MethodImplSpec } from "@connectrpc/connect";
import { untilAborted } from "./deadlines.ts";

/**
 * Calls a method that answers once. Throws what the implementation throws, and the reason of the context's signal once
 * that is aborted.
 */
export async function callUnary(call: MethodImplSpec, request: Message, context: HandlerContext): Promise<Message> {
  if (call.kind !== "unary") throw streamsRequests(call);
  return whole(call.method.output, await untilAborted(context.signal, async () => call.impl(request, context)));
}

/** Calls a method that answers with a stream. Nothing happens before the first event is asked for. */
export async function* callStreaming(
  call: MethodImplSpec,
  request: Message,
  context: HandlerContext,
): AsyncGenerator<Message> {
  if (call.kind !== "server_streaming") throw streamsRequests(call);
  for await (const message of call.impl(request, context)) yield whole(call.method.output, message);
}

/** Implementations may answer with a part of a message; it is no copy when it is a message already. */
export function whole(schema: DescMessage, message: MessageInitShape<DescMessage>): Message {
  return create(schema, message);
}

function streamsRequests({ method }: MethodImplSpec): ConnectError {
  return new ConnectError(`${method} can't be called over this binding`, Code.Unimplemented);
}
