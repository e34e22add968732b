import { type DescMessage, fromBinary, type Message } from "@bufbuild/protobuf";
import { TaskError } from "../../domain/task-error.ts";
import { requestValuesMax } from "../calls/call-limits.ts";
import { connectParseText } from "../errors/errors.ts";
import { tooManyValues } from "../request-bounds/request-faults.ts";
import { hasMoreValues } from "./count-values.ts";

/**
 * A message from protobuf. Throws TaskError TOO_LARGE for more than `requestValuesMax` values, before any is decoded,
 * and INVALID_REQUEST for what can't be decoded.
 */
export function readBinary(schema: DescMessage, bytes: Uint8Array): Message {
  // A value takes a byte at least, so only a longer message needs to be counted.
  if (bytes.byteLength > requestValuesMax && hasMoreValues(schema, bytes, requestValuesMax)) throw tooManyValues();
  try {
    return fromBinary(schema, bytes);
  } catch (error) {
    throw new TaskError("INVALID_REQUEST", `${connectParseText}${error instanceof Error ? error.message : error}`, {
      cause: error,
    });
  }
}
