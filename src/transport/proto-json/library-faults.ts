import { type DescField, fromJson, type JsonValue, ScalarType } from "@bufbuild/protobuf";

/** The library says what is wrong with JSON, not where. Here it is asked about one field, and its text is kept. */

/** Padded base64 of whole groups, which the library decodes. */
const plainBase64 = /^[A-Za-z0-9+/]*={0,2}$/;

/** Whether the library surely takes the value. What this doesn't know, the library is asked for. */
export function isPlainScalar(scalar: ScalarType, json: JsonValue): boolean {
  switch (scalar) {
    case ScalarType.STRING:
      return typeof json === "string" && json.isWellFormed();
    case ScalarType.BYTES:
      return typeof json === "string" && json.length % 4 === 0 && plainBase64.test(json);
    case ScalarType.BOOL:
      return typeof json === "boolean";
    case ScalarType.DOUBLE:
      return Number.isFinite(json);
    case ScalarType.INT32:
    case ScalarType.SINT32:
    case ScalarType.SFIXED32:
      return typeof json === "number" && json === (json | 0);
    case ScalarType.UINT32:
    case ScalarType.FIXED32:
      return typeof json === "number" && json === json >>> 0;
    case ScalarType.INT64:
    case ScalarType.SINT64:
    case ScalarType.SFIXED64:
      return Number.isSafeInteger(json);
    case ScalarType.UINT64:
    case ScalarType.FIXED64:
      return Number.isSafeInteger(json) && (json as number) >= 0;
    case ScalarType.FLOAT:
      return false;
    default:
      return scalar satisfies never;
  }
}

/**
 * What the library says against one value of a field: of itself, of a list's element or of a map's value. Undefined if
 * it takes it.
 */
export function itemFault(field: DescField, json: JsonValue): string | undefined {
  switch (field.fieldKind) {
    case "list":
      return libraryFault(field, [json])?.replace(/^list item #1: /, "");
    case "map":
      return libraryFault(field, { [field.mapKey === ScalarType.BOOL ? "true" : "1"]: json })?.replace(
        /^map entry (?:"?1"?|true): /,
        "",
      );
    case "scalar":
    case "enum":
    case "message":
      return libraryFault(field, json);
    default:
      return field satisfies never;
  }
}

/** What the library says against all that a field holds, if anything. */
export function libraryFault({ parent, jsonName }: DescField, json: JsonValue): string | undefined {
  try {
    fromJson(parent, { [jsonName]: json });
    return undefined;
  } catch (error) {
    return reasonOf(error);
  }
}

/** "cannot decode field a.b.C.d from JSON: expected number" without its beginning, which names generated types. */
export function reasonOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).replace(/^cannot decode .*? from JSON:? /, "");
}
