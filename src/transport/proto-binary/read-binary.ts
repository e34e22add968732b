import { type DescMessage, fromBinary, type Message } from "@bufbuild/protobuf";
import { TaskError } from "../../domain/task-error.ts";
import { requestValuesMax } from "../calls/call-limits.ts";
import { connectParseText } from "../errors/errors.ts";
import { isNotUtf8, tooManyValues } from "../request-bounds/request-faults.ts";
import { hasMoreValues } from "./count-values.ts";

/**
 * A message from protobuf. Throws TaskError TOO_LARGE for more than `requestValuesMax` values, before any is decoded,
 * and INVALID_REQUEST for what can't be decoded.
 */
export function readBinary(schema: DescMessage, bytes: Uint8Array): Message {
  if (hasMoreValues(schema, bytes, requestValuesMax)) throw tooManyValues();
  try {
    return fromBinary(schema, bytes);
  } catch (error) {
    throw new TaskError("INVALID_REQUEST", `${connectParseText}${reasonOf(error)}`, { cause: error });
  }
}

function reasonOf(error: unknown): string {
  if (isNotUtf8(error)) return "a text is not UTF-8";
  return error instanceof Error ? error.message : String(error);
}
