import { type DescField, fromJson, type JsonValue, ScalarType } from "@bufbuild/protobuf";
import { isEngineError } from "../errors/engine-error.ts";

// The library says what is wrong with JSON, not where. So it is asked about one field at a time.

/** The longest text of a 64-bit integer that is read. More than the type needs: zeros and an exponent are accepted. */
const integerLengthMax = 64;
const longIntegers: ReadonlySet<ScalarType> = new Set([
  ScalarType.INT64,
  ScalarType.SINT64,
  ScalarType.SFIXED64,
  ScalarType.UINT64,
  ScalarType.FIXED64,
]);

/** Base64 of whole groups, also that of URLs, which the library decodes. */
const plainBase64 = /^[A-Za-z0-9+/_-]*={0,2}$/;

/** Whether the library certainly accepts the value. If not, ask `itemFault`. */
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
 * The library's error for one value of a field: of the field itself, of a list's element or of a map's value. Undefined
 * if it accepts the value.
 */
export function itemFault(field: DescField, json: JsonValue): string | undefined {
  // The library makes a BigInt of the text, which takes seconds for millions of digits.
  if (typeof json === "string" && json.length > integerLengthMax && longIntegers.has(field.scalar as ScalarType))
    return `has ${json.length} characters: at most ${integerLengthMax} are accepted`;
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

/** The library's error for the whole content of a field. Undefined if it accepts the content. */
export function libraryFault({ parent, jsonName }: DescField, json: JsonValue): string | undefined {
  try {
    fromJson(parent, { [jsonName]: json });
    return undefined;
  } catch (error) {
    return reasonOf(error);
  }
}

/**
 * "cannot decode field a.b.C.d from JSON: expected number" without its beginning, which names generated types. The text
 * of an error of the engine is not told.
 */
export function reasonOf(error: unknown): string {
  if (error instanceof RangeError && /call stack/i.test(error.message)) return "nests too deeply";
  if (isEngineError(error)) return "has a value that can't be read";
  return (error instanceof Error ? error.message : String(error)).replace(/^cannot decode .*? from JSON:? /, "");
}
