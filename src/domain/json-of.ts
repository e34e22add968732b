import { fromJson, type JsonValue } from "@bufbuild/protobuf";
import { type Value, ValueSchema } from "@bufbuild/protobuf/wkt";
import { nestingMax } from "./limits.ts";
import { invalidAgentResponse } from "./task-error.ts";
import { jsonFault } from "./validation/json-fault.ts";

/**
 * What an agent gave as JSON: a copy, without members that are undefined. `what` names it in errors. Throws TaskError
 * INVALID_AGENT_RESPONSE, with the path, for anything that would read back as something else: undefined in a list, NaN,
 * an infinity, a bigint, a function, a symbol, and objects with a class of their own, such as a Date or a Map.
 */
export function jsonOf(given: unknown, what: string): JsonValue {
  const json = copyOf(given, what, "", nestingMax);
  const fault = jsonFault(json);
  if (fault !== undefined) throw invalidAgentResponse(`${what} ${fault}`);
  return json;
}

/** The JSON as a `google.protobuf.Value`. */
export function protoValue(json: JsonValue): Value {
  return fromJson(ValueSchema, json);
}

/** `levels` bounds the recursion, which a cycle would make endless. What nests so deeply is refused for it anyway. */
function copyOf(given: unknown, what: string, path: string, levels: number): JsonValue {
  if (levels < 0) throw invalidAgentResponse(`${what} nests too deeply, or holds itself`);
  switch (typeof given) {
    case "string":
    case "number":
    case "boolean":
      return given;
    case "object": {
      if (given === null) return null;
      // Not `map`, which skips the holes of a sparse list.
      if (Array.isArray(given))
        return Array.from(given, (one, index) => copyOf(one, what, `${path}[${index}]`, levels - 1));
      if (!isPlain(given)) throw notJson(what, path, `an object of the class ${given.constructor?.name ?? "?"}`);
      const copy: Record<string, JsonValue> = {};
      for (const [name, member] of Object.entries(given)) {
        if (member === undefined) continue;
        const value = copyOf(member, what, `${path}.${name}`, levels - 1);
        // An assignment to "__proto__" would set the prototype instead.
        Object.defineProperty(copy, name, { value, enumerable: true, configurable: true, writable: true });
      }
      return copy;
    }
    default:
      throw notJson(what, path, typeof given);
  }
}

/** An object literal's, of this realm or another; or one without a prototype. */
function isPlain(object: object): boolean {
  const prototype = Object.getPrototypeOf(object);
  return prototype === null || prototype === Object.prototype || Object.getPrototypeOf(prototype) === null;
}

function notJson(what: string, path: string, kind: string) {
  return invalidAgentResponse(`${what} is no JSON value: ${path === "" ? "it" : path.replace(/^\./, "")} is ${kind}`);
}
