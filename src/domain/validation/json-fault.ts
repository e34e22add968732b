import type { JsonValue } from "@bufbuild/protobuf";
import type { Value } from "@bufbuild/protobuf/wkt";
import { nestingMax } from "../limits.ts";

/**
 * How much an object and an array add to the nesting of messages on the wire, for the strictest parsers: Struct, map
 * entry and Value; ListValue and Value. JSON parsers count each as one, so JSON that they accept could be stored and
 * never be read again.
 */
const objectLevels = 3;
const arrayLevels = 2;
/** Levels for the messages around: seven in a WatchTaskResponse or a stored entry, and a few for what embeds these. */
const levelsAround = 10;
const levelsMax = nestingMax - levelsAround;

const objectsMax = levelsMax / objectLevels;
const arraysMax = levelsMax / arrayLevels;
const tooDeep = `nests too deeply: at most ${objectsMax} objects or ${arraysMax} arrays within each other are accepted`;
const notFinite = "holds NaN or an infinity, which JSON doesn't have: finite numbers are accepted";
const noKind =
  "holds a google.protobuf.Value of no kind: null, a boolean, a number, a string, an object or an array is accepted";

/**
 * Why a `google.protobuf.Value` cannot be stored and sent, in the binary and in the JSON encoding; undefined if it can.
 * Recurses at most `levelsMax / arrayLevels` deep.
 */
export function valueFault(value: Value, levels = levelsMax): string | undefined {
  const { kind } = value;
  switch (kind.case) {
    case "nullValue":
    case "boolValue":
    case "stringValue":
      return undefined;
    case "numberValue":
      return Number.isFinite(kind.value) ? undefined : notFinite;
    case "structValue":
      return firstFault(Object.values(kind.value.fields), levels - objectLevels, valueFault);
    case "listValue":
      return firstFault(kind.value.values, levels - arrayLevels, valueFault);
    case undefined:
      return noKind;
    default:
      return kind satisfies never;
  }
}

/** The same for a `google.protobuf.Struct`, which protobuf-es holds as plain JSON. */
export function jsonFault(value: JsonValue, levels = levelsMax): string | undefined {
  switch (typeof value) {
    case "string":
    case "boolean":
      return undefined;
    case "number":
      return Number.isFinite(value) ? undefined : notFinite;
    case "object":
      if (value === null) {
        return undefined;
      }
      return Array.isArray(value)
        ? firstFault(value, levels - arrayLevels, jsonFault)
        : firstFault(Object.values(value), levels - objectLevels, jsonFault);
    default:
      // Never from the wire. An agent in the same process may pass anything.
      return noKind;
  }
}

function firstFault<T>(
  values: readonly T[],
  levels: number,
  faultOf: (value: T, levels: number) => string | undefined,
): string | undefined {
  if (levels < 0) {
    return tooDeep;
  }
  for (const value of values) {
    const fault = faultOf(value, levels);
    if (fault !== undefined) {
      return fault;
    }
  }
  return undefined;
}
