import { type DescMessage, fromJson, type JsonValue, type MessageShape } from "@bufbuild/protobuf";
import { invalidRequest, TaskError } from "../../domain/task-error.ts";
import { jsonFaults } from "./json-faults.ts";
import { jsonLevelsMax } from "./json-limits.ts";
import { reasonOf } from "./library-faults.ts";
import { scanJson } from "./scan-json.ts";

const lenient = { ignoreUnknownFields: true, recursionLimit: jsonLevelsMax };
const decoder = new TextDecoder("utf-8", { fatal: true });

/**
 * Parses JSON. Throws TaskError INVALID_REQUEST for bytes that are not JSON in UTF-8, and for an object that has a
 * member twice, since readers differ on which of the two counts. Throws TaskError TOO_LARGE for more than
 * `requestValuesMax` values, before it parses any.
 */
export function parseJson(bytes: Uint8Array): JsonValue {
  return parse(bytes, new Map());
}

/**
 * The same for JSON-RPC. `ids` has the ids that JavaScript would round, such as 64-bit integers, as they are written:
 * by the index in the batch, 0 for a single request.
 */
export function parseJsonRpc(bytes: Uint8Array): {
  readonly json: JsonValue;
  readonly ids: ReadonlyMap<number, string>;
} {
  const ids = new Map<number, string>();
  return { json: parse(bytes, ids), ids };
}

function parse(bytes: Uint8Array, ids: Map<number, string>): JsonValue {
  try {
    const text = decoder.decode(bytes);
    const repeated = scanJson(text, ids);
    const json: JsonValue = JSON.parse(text);
    if (repeated !== undefined) throw notJson(`: duplicate object key "${repeated}"`);
    return json;
  } catch (error) {
    throw error instanceof TaskError ? error : notJson(placeOf(error), error);
  }
}

function notJson(where: string, cause?: unknown): TaskError {
  return new TaskError("INVALID_REQUEST", `The body is not valid JSON${where}`, { cause });
}

/** Where a body can't be parsed, as far as the engine tells it. */
function placeOf(error: unknown): string {
  if (!(error instanceof SyntaxError)) return error instanceof TypeError ? ": it is not UTF-8" : `: ${reasonOf(error)}`;
  const position = /\bat position (\d+)/.exec(error.message)?.[1];
  return position === undefined ? "" : `, at position ${position}`;
}

/**
 * A message from ProtoJSON: unknown fields are ignored (R120), unknown enum values are not. Throws TaskError
 * INVALID_REQUEST that names every field at fault, as `jsonFaults` finds them.
 */
export function readJson<Desc extends DescMessage>(schema: Desc, json: JsonValue): MessageShape<Desc> {
  const faults = jsonFaults(schema, json);
  const whole = faults.find(({ field }) => field === "");
  if (whole !== undefined) throw notOf(schema, whole.description);
  if (faults.length > 0) throw invalidRequest(faults);
  try {
    return fromJson(schema, json, lenient);
  } catch (error) {
    throw notOf(schema, reasonOf(error), error);
  }
}

function notOf({ name }: DescMessage, reason: string, cause?: unknown): TaskError {
  return new TaskError("INVALID_REQUEST", `The request is not a ${name}: ${reason}`, { cause });
}
