import { errorTextBytesMax } from "./error-limits.ts";
import { shortened } from "./shortened.ts";

/**
 * Sets `grpc-message` as gRPC escapes it. Connect escapes more, and grpc-js, which decodes no more than the
 * specification asks for, would show `%3A` for a colon. The text is bounded: Connect's own errors quote headers of any
 * length.
 */
export function setGrpcMessage(trailer: Headers, message: string): void {
  trailer.set("grpc-message", encodeURI(shortened(message, errorTextBytesMax)));
}
