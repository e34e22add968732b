import { type DescMessage, fromBinary, type Message } from "@bufbuild/protobuf";
import { TaskError } from "../../domain/task-error.ts";
import { requestValuesMax } from "../calls/call-limits.ts";
import { tooManyValues } from "../request-bounds/request-faults.ts";
import { hasMoreValues } from "./count-values.ts";

/**
 * Shorter messages aren't counted: even a Struct that is merged over and over costs little in them, and a count would
 * be a part of the cost of a small call.
 */
const uncountedBytesMax = 1024;

/**
 * A message from protobuf. Throws TaskError TOO_LARGE for more than `requestValuesMax` values, before any is decoded,
 * and INVALID_REQUEST for what can't be decoded.
 */
export function readBinary(schema: DescMessage, bytes: Uint8Array): Message {
  if (bytes.byteLength > uncountedBytesMax && hasMoreValues(schema, bytes, requestValuesMax)) throw tooManyValues();
  try {
    return fromBinary(schema, bytes);
  } catch (error) {
    const text = `The request is not a ${schema.name} in protobuf: ${reasonOf(error)}`;
    throw new TaskError("INVALID_REQUEST", text, { cause: error });
  }
}

/** What is wrong with the bytes. The library passes errors of the engine on, whose texts are not told. */
function reasonOf(error: unknown): string {
  if (error instanceof RangeError) return "it ends within a value";
  if (error instanceof TypeError) return "a text is not UTF-8";
  return (error instanceof Error ? error.message : String(error)).replace(/^cannot decode .*? from binary: /, "");
}
