import {
  type DescField,
  type DescMessage,
  fromJson,
  fromJsonString,
  type JsonValue,
  type MessageShape,
} from "@bufbuild/protobuf";
import { EmptySchema } from "@bufbuild/protobuf/wkt";
import { invalidRequest, TaskError } from "../../domain/task-error.ts";
import { enumFaults } from "./enum-faults.ts";
import { type JsonPath, pathText } from "./json-path.ts";

const lenient = { ignoreUnknownFields: true };
const decoder = new TextDecoder("utf-8", { fatal: true });

/**
 * JSON text as a value. Throws TaskError INVALID_REQUEST for what is no JSON or no UTF-8, and for an object that has a
 * member twice: which of the two is meant, readers don't agree on.
 */
export function parseJson(bytes: Uint8Array): JsonValue {
  try {
    const text = decoder.decode(bytes);
    const value = JSON.parse(text) as JsonValue;
    // Reads nothing; it is the library's own search for members that are there twice.
    fromJsonString(EmptySchema, `{"value":${text}}`, lenient);
    return value;
  } catch (error) {
    throw new TaskError("INVALID_REQUEST", `The body is not valid JSON: ${reasonOf(error)}`, { cause: error });
  }
}

/**
 * A message from ProtoJSON: unknown fields are ignored (R120), unknown values of enums are not (trap 21). Throws
 * TaskError INVALID_REQUEST that names the field at fault. Nesting is bounded by the library, 100 levels of messages
 * and JSON values.
 */
export function readJson<Desc extends DescMessage>(schema: Desc, json: JsonValue): MessageShape<Desc> {
  const faults = enumFaults(schema, json);
  if (faults.length > 0) throw invalidRequest(faults);
  try {
    return fromJson(schema, json, lenient);
  } catch (error) {
    const { path, description } = locate(schema, json, [], error);
    if (path.length === 0)
      throw new TaskError("INVALID_REQUEST", `The request is not a ${schema.name}: ${description}`, { cause: error });
    throw invalidRequest([{ field: pathText(path), description }]);
  }
}

interface Fault {
  readonly path: JsonPath;
  readonly description: string;
}

/**
 * The library says what is wrong, not where: so the members are read one by one until one of them alone fails, and so
 * on within it. As deep as the schema, which ends where free JSON begins.
 */
function locate(schema: DescMessage, json: JsonValue, path: JsonPath, error: unknown): Fault {
  const whole = { path, description: reasonOf(error) };
  if (
    typeof json !== "object" ||
    json === null ||
    Array.isArray(json) ||
    schema.file.proto.package === "google.protobuf"
  )
    return whole;
  for (const [key, value] of Object.entries(json)) {
    const field = schema.fields.find(({ name, jsonName }) => key === name || key === jsonName);
    const failure = field && failureOf(schema, { [key]: value });
    if (field !== undefined && failure !== undefined)
      return locateIn(field, key, value, [...path, field.name], failure);
  }
  // Each member is right, but not all of them together: two of a oneof, or the same one under both of its names.
  return whole;
}

function locateIn(field: DescField, key: string, value: JsonValue, path: JsonPath, error: unknown): Fault {
  const inner = (item: JsonValue, itemPath: JsonPath, failure: unknown) =>
    field.message === undefined
      ? { path: itemPath, description: reasonOf(failure) }
      : locate(field.message, item, itemPath, failure);
  if (field.fieldKind === "list" && Array.isArray(value)) {
    for (const [index, item] of value.entries()) {
      const failure = failureOf(field.parent, { [key]: [item] });
      if (failure !== undefined) return inner(item, [...path, index], failure);
    }
  } else if (field.fieldKind === "map" && typeof value === "object" && value !== null && !Array.isArray(value)) {
    for (const [name, item] of Object.entries(value)) {
      const failure = failureOf(field.parent, { [key]: { [name]: item } });
      if (failure !== undefined) return inner(item, [...path, `[${JSON.stringify(name)}]`], failure);
    }
  } else if (field.fieldKind === "message") {
    return inner(value, path, error);
  }
  return { path, description: reasonOf(error) };
}

function failureOf(schema: DescMessage, json: JsonValue): unknown {
  try {
    fromJson(schema, json, lenient);
    return undefined;
  } catch (error) {
    return error;
  }
}

/** "cannot decode field a.b.C.d from JSON: expected number" without its beginning, which speaks of generated types. */
function reasonOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replace(/^cannot decode .*? from JSON: /, "");
}
