import type { DescMessage, Message } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { TaskError } from "../../domain/task-error.ts";
import type { Exchange } from "../calls/exchange.ts";
import { readBytes } from "../calls/read-body.ts";
import { readBinary } from "../proto-binary/read-binary.ts";
import { prefixBytes, tooLongPrefix } from "../request-bounds/message-prefix.ts";

/** Messages one after the other, each with its prefix. */
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

/** The bytes of a request with one message. Throws what `readBytes` does. */
export function readFrame(exchange: Exchange, bytesMax: number, signal: AbortSignal): Promise<Buffer> {
  return readBytes(exchange, prefixBytes + bytesMax, signal, tooLongPrefix(bytesMax));
}

/** What stands before a message of so many bytes. */
export function framePrefix(bytes: number): Buffer {
  const prefix = Buffer.alloc(prefixBytes);
  prefix.writeUInt32BE(bytes, 1);
  return prefix;
}

/**
 * The one message of a request. Throws TaskError TOO_LARGE, and TaskError INVALID_REQUEST for what can't be parsed.
 * Throws ConnectError with gRPC's code for no message, for more than one, and for a compressed message without
 * `grpc-encoding`.
 */
export function readMessage(body: Buffer, schema: DescMessage): Message {
  if (body.byteLength === 0) throw new ConnectError("The call has no request message", Code.Unimplemented);
  if (body.byteLength < prefixBytes) throw cutOff();
  const { byteLength, byteOffset, buffer } = body;
  const view = new DataView(buffer, byteOffset);
  const end = prefixBytes + view.getUint32(1);
  if (end > byteLength) throw cutOff();
  if (end < byteLength) throw new ConnectError("The call has more than one request message", Code.Unimplemented);
  if (view.getUint8(0) !== 0)
    throw new ConnectError(
      "The request message is flagged as compressed, but there is no grpc-encoding",
      Code.Internal,
    );
  return readBinary(schema, body.subarray(prefixBytes));
}

function cutOff(): TaskError {
  return new TaskError("INVALID_REQUEST", "The request ends within its message");
}
