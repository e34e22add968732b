import { type DescField, type DescMessage, fromJson, type JsonValue } from "@bufbuild/protobuf";
import { type AgentCard, AgentCardSchema } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { type FieldViolation, invalidRequest, TaskError } from "../../domain/task-error.ts";

/**
 * A card from the JSON that its author wrote, still to be completed. Stricter than with what comes over the wire: a
 * member that a card doesn't have is mostly a typing error of the author's. Throws TaskError INVALID_REQUEST that names
 * every fault by its path in the file.
 */
export function readCard(text: string): AgentCard {
  let json: JsonValue;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new TaskError("INVALID_REQUEST", `It is no JSON: ${reasonOf(error)}`, { cause: error });
  }
  const faults: FieldViolation[] = [];
  look(AgentCardSchema, json, "", faults);
  if (faults.length > 0) throw invalidRequest(faults);
  try {
    return fromJson(AgentCardSchema, json);
  } catch (error) {
    // Each member is right, but not all of them together: two of a oneof.
    throw new TaskError("INVALID_REQUEST", `It is no agent card: ${reasonOf(error)}`, { cause: error });
  }
}

/** The library stops at the first fault and doesn't say where it is: so the members are read one by one. */
function look(desc: DescMessage, json: JsonValue, path: string, faults: FieldViolation[]): void {
  if (!isObject(json)) {
    faults.push({ field: path || "card", description: "must be an object" });
    return;
  }
  for (const [key, value] of Object.entries(json)) {
    const inner = path === "" ? key : `${path}.${key}`;
    const field = desc.fields.find(({ jsonName, name }) => key === jsonName || key === name);
    if (field === undefined) faults.push({ field: inner, description: `${desc.name} has no such field` });
    else lookAtField(field, key, value, inner, faults);
  }
}

function lookAtField(field: DescField, key: string, value: JsonValue, path: string, faults: FieldViolation[]): void {
  const { message, parent } = field;
  // Null stands for a field that isn't set.
  if (message === undefined || message.file.proto.package === "google.protobuf" || value === null) {
    try {
      fromJson(parent, { [key]: value });
    } catch (error) {
      faults.push({ field: path, description: reasonOf(error) });
    }
  } else if (field.fieldKind === "list") {
    if (!Array.isArray(value)) faults.push({ field: path, description: "must be an array" });
    else for (const [index, item] of value.entries()) look(message, item, `${path}[${index}]`, faults);
  } else if (field.fieldKind === "map") {
    if (!isObject(value)) faults.push({ field: path, description: "must be an object" });
    else
      for (const [name, item] of Object.entries(value)) look(message, item, `${path}[${JSON.stringify(name)}]`, faults);
  } else {
    look(message, value, path, faults);
  }
}

function isObject(json: JsonValue): json is { [name: string]: JsonValue } {
  return typeof json === "object" && json !== null && !Array.isArray(json);
}

/** "cannot decode field a.b.C.d from JSON: expected number" without its beginning, which speaks of generated types. */
function reasonOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replace(/^cannot decode .*? from JSON: /, "");
}
