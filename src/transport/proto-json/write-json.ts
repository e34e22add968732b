import {
  create,
  type DescField,
  type DescMessage,
  type JsonObject,
  type JsonValue,
  type MessageShape,
  toJson,
} from "@bufbuild/protobuf";
import { isAnnotatedRequired } from "../../domain/validate.ts";

/**
 * A message as A2A's JSON: fields annotated REQUIRED are always there, also empty or zero, others only when they are
 * set (R49, R118, trap 20); times have milliseconds and end in `Z` (R180).
 */
export function writeJson<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): string {
  return JSON.stringify(toA2AJson(schema, message));
}

/** The same as a value. */
export function toA2AJson<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): JsonValue {
  const json = toJson(schema, message);
  return patchOf(schema)(json);
}

/** What is done to the library's JSON of a type; members are added in place. */
type Patch = (json: JsonValue) => JsonValue;

const asIs: Patch = (json) => json;
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
  if (desc.file.proto.package === "google.protobuf") return asIs;
  // Without the fields that have presence: there is no value to stand for a message that isn't there.
  const zeros = toJson(desc, create(desc), { alwaysEmitImplicit: true }) as JsonObject;
  const steps: ((json: JsonObject) => void)[] = [];
  const patch: Patch = (json) => {
    for (const step of steps) step(json as JsonObject);
    return json;
  };
  // Before its fields are looked at, for types that hold themselves.
  patches.set(desc, patch);
  for (const field of desc.fields) {
    const { jsonName } = field;
    const zero = isAnnotatedRequired(field) ? zeros[jsonName] : undefined;
    if (zero !== undefined) {
      steps.push((json) => {
        if (json[jsonName] === undefined) json[jsonName] = zero;
      });
    }
    const inner = field.message === undefined ? asIs : patchOf(field.message);
    if (inner === asIs) continue;
    const all = fieldPatch(field, inner);
    steps.push((json) => {
      const value = json[jsonName];
      if (value !== undefined) json[jsonName] = all(value);
    });
  }
  if (steps.length > 0) return patch;
  patches.set(desc, asIs);
  return asIs;
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

/** The nanoseconds of other clocks are cut, not rounded: a time never lies after the one that was meant. */
function withMilliseconds(time: string): string {
  const [seconds = "", fraction = ""] = time.slice(0, -1).split(".");
  return `${seconds}.${fraction.padEnd(3, "0").slice(0, 3)}Z`;
}
