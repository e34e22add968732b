import type { JsonObject, JsonValue } from "@bufbuild/protobuf";

export function isJsonObject(json: JsonValue | undefined): json is JsonObject {
  return typeof json === "object" && json !== null && !Array.isArray(json);
}
