import {
  create,
  type DescField,
  type DescMessage,
  equals,
  type JsonValue,
  type Message,
  ScalarType,
} from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { isWrapperDesc } from "@bufbuild/protobuf/wkt";
import { type FieldViolation, invalidRequest, TaskError } from "../../domain/task-error.ts";
import { violationsMax } from "../../domain/validation/validate.ts";
import { readJson } from "../proto-json/read-json.ts";
import { fieldsAt, type Route } from "./routes.ts";

/**
 * The request message from body, path and query. A field that is given twice must have the same value: `?tenant=` works
 * everywhere, and a body may repeat the id of its path. Unknown parameters are ignored, like unknown fields. Throws
 * TaskError INVALID_REQUEST that names every field at fault.
 */
export function bindRequest(
  { call, body }: Route,
  json: JsonValue | undefined,
  variables: ReadonlyMap<string, string>,
  query: URLSearchParams,
): Message {
  const { input } = call.method;
  const request = fromBody(input, body, json);
  const violations: FieldViolation[] = [];
  const set = (name: string, values: readonly string[], from: string) => {
    const fields = fieldsAt(input, name);
    if (fields === undefined || violations.length >= violationsMax) return;
    const field = fields.map((each) => each.name).join(".");
    const fault = setField(reflect(input, request), fields, values, from);
    if (fault !== undefined) violations.push({ field, description: fault });
  };
  for (const [name, value] of variables) set(name, [value], "path");
  if (query.size > 0) for (const name of new Set(query.keys())) set(name, query.getAll(name), "query");
  if (violations.length > 0) throw invalidRequest(violations);
  return request;
}

function fromBody(input: DescMessage, body: Route["body"], json: JsonValue | undefined): Message {
  if (json === undefined || body === "none") return create(input);
  return body === "whole" ? readJson(input, json) : readJson(input, { [body.jsonName]: json });
}

/** Sets a field from texts. Returns the fault of the texts, undefined if there is none. */
function setField(
  request: ReflectMessage,
  fields: readonly DescField[],
  values: readonly string[],
  from: string,
): string | undefined {
  const field = fields.at(-1);
  const json = field && jsonOf(field, values);
  if (field === undefined || json === undefined) return `can't be given in the ${from}`;
  if ("fault" in json) return json.fault;
  let parsed: Message;
  try {
    parsed = readJson(field.parent, { [field.jsonName]: json.value });
  } catch (error) {
    if (!(error instanceof TaskError)) throw error;
    return error.violations[0]?.description ?? error.message;
  }
  const holder = holderOf(request, fields);
  const given = create(field.parent);
  if (holder.isSet(field)) reflect(field.parent, given).set(field, holder.get(field));
  if (holder.isSet(field) && !equals(field.parent, given, parsed))
    return `differs between the ${from} and the rest of the request`;
  holder.set(field, reflect(field.parent, parsed).get(field));
  return undefined;
}

/** The message that holds the last of the fields. Messages on the path to it are created. */
function holderOf(request: ReflectMessage, fields: readonly DescField[]): ReflectMessage {
  let holder = request;
  for (const field of fields.slice(0, -1)) {
    if (field.fieldKind !== "message") throw new Error(`${field} is no message`);
    if (!holder.isSet(field)) holder.set(field, reflect(field.message, create(field.message)));
    holder = holder.get(field);
  }
  return holder;
}

/** The texts of a path or a query as ProtoJSON (R173). Undefined for messages and maps, which texts can't express. */
function jsonOf(
  field: DescField,
  values: readonly string[],
): { readonly value: JsonValue } | { readonly fault: string } | undefined {
  const element = field.fieldKind === "map" ? undefined : elementReader(field);
  if (element === undefined) return undefined;
  // A repeated field may be given several times and with commas.
  if (field.fieldKind === "list") return { value: values.flatMap((value) => value.split(",")).map(element) };
  return values.length > 1 ? { fault: "is given more than once" } : { value: element(values[0] ?? "") };
}

/** Whether a query can hold a field's value. */
export function isTextInQuery(field: DescField): boolean {
  return field.fieldKind !== "map" && elementReader(field) !== undefined;
}

/** Numbers, enums, bytes and times are texts in ProtoJSON too. Booleans are not. */
function elementReader({ message, scalar }: DescField): ((text: string) => JsonValue) | undefined {
  if (message !== undefined && isWrapperDesc(message)) return elementReader(message.fields[0]);
  if (message !== undefined) return textTypes.has(message.typeName) ? (text) => text : undefined;
  if (scalar !== ScalarType.BOOL) return (text) => text;
  return (text) => (text === "true" ? true : text === "false" ? false : text);
}

/** Messages that ProtoJSON writes as texts. */
const textTypes: ReadonlySet<string> = new Set([
  "google.protobuf.Timestamp",
  "google.protobuf.Duration",
  "google.protobuf.FieldMask",
]);
