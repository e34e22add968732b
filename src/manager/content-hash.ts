import { createHash } from "node:crypto";
import { toBinary } from "@bufbuild/protobuf";
import { type Message, MessageSchema } from "../../gen/lf/a2a/v1/a2a_pb.ts";

/**
 * What makes two sends the same message: SHA-256 of its encoding, hexadecimal. protobuf-es writes fields in the order of their numbers, so the same message
 * from the same client gives the same bytes, over any binding; members of JSON objects keep the order the client gave them.
 */
export function contentHash(message: Message): string {
  return createHash("sha256").update(toBinary(MessageSchema, message)).digest("hex");
}
