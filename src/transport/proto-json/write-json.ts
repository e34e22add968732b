import {
  create,
  type DescField,
  type DescMessage,
  type JsonObject,
  type JsonValue,
  type MessageShape,
  toJson,
} from "@bufbuild/protobuf";
import { isAnnotatedRequired } from "../../domain/validation/validate.ts";

/**
 * A message as A2A's JSON: REQUIRED fields are always there, also if they are empty or zero; other fields only if they
 * are set (R49, R118). Times have milliseconds and end in `Z` (R180).
 */
export function writeJson<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): string {
  return JSON.stringify(toA2AJson(schema, message));
}

/** The same as a JSON value. */
export function toA2AJson<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): JsonValue {
  const json = toJson(schema, message);
  return patchOf(schema)(json);
}

/** Turns the library's JSON of a type into A2A's. Adds members in place. */
type Patch = (json: JsonValue) => JsonValue;

const unchanged: Patch = (json) => json;
const patches = new WeakMap<DescMessage, Patch>();

function patchOf(desc: DescMessage): Patch {
  const known = patches.get(desc);
  if (known !== undefined) return known;
  const patch = makePatch(desc);
  patches.set(desc, patch);
  return patch;
}

function makePatch(desc: DescMessage): Patch {
  if (desc.typeName === "google.protobuf.Timestamp") return (json) => withMilliseconds(String(json));
  if (desc.file.proto.package === "google.protobuf") return unchanged;
  // Fields with presence have no zero: an absent message stays absent.
  const zeros = toJson(desc, create(desc), { alwaysEmitImplicit: true }) as JsonObject;
  const steps: ((json: JsonObject) => void)[] = [];
  const patch: Patch = (json) => {
    for (const step of steps) step(json as JsonObject);
    return json;
  };
  // Before the fields: a type may contain itself.
  patches.set(desc, patch);
  for (const field of desc.fields) {
    const { jsonName } = field;
    const zero = isAnnotatedRequired(field) ? zeros[jsonName] : undefined;
    if (zero !== undefined) {
      steps.push((json) => {
        if (json[jsonName] === undefined) json[jsonName] = zero;
      });
    }
    const inner = field.message === undefined ? unchanged : patchOf(field.message);
    if (inner === unchanged) continue;
    const all = fieldPatch(field, inner);
    steps.push((json) => {
      const value = json[jsonName];
      if (value !== undefined) json[jsonName] = all(value);
    });
  }
  if (steps.length > 0) return patch;
  patches.set(desc, unchanged);
  return unchanged;
}

function fieldPatch(field: DescField, inner: Patch): Patch {
  switch (field.fieldKind) {
    case "list":
      return (json) => (json as JsonValue[]).map(inner);
    case "map":
      return (json) =>
        Object.fromEntries(Object.entries(json as JsonObject).map(([key, value]) => [key, inner(value)]));
    case "scalar":
    case "enum":
    case "message":
      return inner;
    default:
      return field satisfies never;
  }
}

/** Cuts a time to milliseconds. Never rounds up: no time is later than the given one. */
function withMilliseconds(time: string): string {
  const [seconds = "", fraction = ""] = time.slice(0, -1).split(".");
  return `${seconds}.${fraction.padEnd(3, "0").slice(0, 3)}Z`;
}
