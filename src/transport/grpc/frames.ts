import { type DescMessage, fromBinary, type Message } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { TaskError } from "../../domain/task-error.ts";
import { readBytes } from "../calls/read-body.ts";
import type { Request } from "../listener/request-handler.ts";

/** Before each message: a byte of flags, of which only "compressed" is known, and the length. */
export const prefixBytes = 5;

/** Messages one after the other, each behind its prefix. */
export function framed(messages: readonly Uint8Array[]): Buffer {
  const bytes = Buffer.allocUnsafe(messages.reduce((sum, { byteLength }) => sum + prefixBytes + byteLength, 0));
  let at = 0;
  for (const message of messages) {
    bytes.writeUInt8(0, at);
    bytes.writeUInt32BE(message.byteLength, at + 1);
    bytes.set(message, at + prefixBytes);
    at += prefixBytes + message.byteLength;
  }
  return bytes;
}

/**
 * The one message of a request. Throws TaskError TOO_LARGE, INVALID_REQUEST for what can't be parsed, ConnectError with
 * the codes that gRPC gives for none, for more than one, and for a compressed one without a word of how, and the
 * signal's reason once that is aborted.
 */
export async function readMessage(
  request: Request,
  schema: DescMessage,
  bytesMax: number,
  signal: AbortSignal,
): Promise<Message> {
  const body = await readBytes(request, prefixBytes + bytesMax, signal);
  if (body.byteLength === 0) throw new ConnectError("The call has no request message", Code.Unimplemented);
  if (body.byteLength < prefixBytes) throw cutOff();
  const { byteLength, byteOffset, buffer } = body;
  const view = new DataView(buffer, byteOffset);
  const end = prefixBytes + view.getUint32(1);
  if (end > prefixBytes + bytesMax) throw new TaskError("TOO_LARGE", "The request is larger than requests may be");
  if (end > byteLength) throw cutOff();
  if (end < byteLength) throw new ConnectError("The call has more than one request message", Code.Unimplemented);
  if (view.getUint8(0) !== 0)
    throw new ConnectError(
      "The request message is flagged as compressed, and no grpc-encoding says how",
      Code.Internal,
    );
  try {
    return fromBinary(schema, body.subarray(prefixBytes));
  } catch (error) {
    throw new TaskError("INVALID_REQUEST", `parse binary: ${error instanceof Error ? error.message : error}`, {
      cause: error,
    });
  }
}

function cutOff(): TaskError {
  return new TaskError("INVALID_REQUEST", "The request ends within its message");
}
