import {
  type DescEnum,
  type DescField,
  type DescMessage,
  type DescOneof,
  type JsonObject,
  type JsonValue,
  ScalarType,
} from "@bufbuild/protobuf";
import type { FieldViolation } from "../../domain/task-error.ts";
import { mapKey, pathText } from "../../domain/validation/field-path.ts";
import { violationsMax } from "../../domain/validation/validate.ts";
import { jsonLevelsMax } from "./json-limits.ts";
import { isJsonObject } from "./json-value.ts";
import { isPlainScalar, itemFault, libraryFault } from "./library-faults.ts";

export interface JsonFaultOptions {
  /** Members that a type doesn't have are faults. Default: they are ignored (R120). */
  readonly unknown?: boolean;
  /** Paths name members as the JSON does. Default: by the proto names of their fields. */
  readonly asWritten?: boolean;
}

/**
 * All faults that keep JSON from being read as a message of the type, with their paths: values of the wrong type,
 * unknown enum values, nesting beyond `jsonLevelsMax`, two members of a oneof, one field under both of its names. A
 * fault of the JSON as a whole has an empty path. Without faults the library reads the JSON.
 *
 * One pass: each JSON value is looked at once, down to `jsonLevelsMax` levels, until `violationsMax` faults are found.
 * The contents of unknown members are not looked at.
 */
export function jsonFaults(
  schema: DescMessage,
  json: JsonValue,
  { unknown = false, asWritten = false }: JsonFaultOptions = {},
): readonly FieldViolation[] {
  const walk: Walk = { violations: [], path: [], level: 0, unknown, asWritten };
  checkMessage(membersOf(schema), json, walk);
  return walk.violations;
}

/** The state of one pass. */
interface Walk extends Required<JsonFaultOptions> {
  readonly violations: FieldViolation[];
  /** The path to the current value. Its text is made only for a fault. */
  readonly path: (string | number)[];
  /** The number of messages and free JSON values around the current value. */
  level: number;
}

/** Reports the faults of a value. */
type Check = (json: JsonValue, walk: Walk) => void;

interface Member {
  readonly field: DescField;
  readonly check: Check;
}

/** The members that a type's JSON may have, by their JSON names and their proto names. */
interface Members {
  readonly desc: DescMessage;
  readonly byName: ReadonlyMap<string, Member>;
}

const known = new WeakMap<DescMessage, Members>();

function membersOf(desc: DescMessage): Members {
  let members = known.get(desc);
  if (members === undefined) {
    const byName = new Map<string, Member>();
    members = { desc, byName };
    // Before the fields: a type may contain itself.
    known.set(desc, members);
    for (const field of desc.fields) {
      const member = { field, check: fieldCheck(field) };
      byName.set(field.name, member).set(field.jsonName, member);
    }
  }
  return members;
}

function checkMessage({ desc, byName }: Members, json: JsonValue, walk: Walk): void {
  if (!isJsonObject(json)) {
    report(walk, expectedObject(json));
    return;
  }
  if (!enter(walk)) return;
  let oneofs: Map<DescOneof, DescField> | undefined;
  for (const key of Object.keys(json)) {
    if (isFull(walk)) break;
    const member = byName.get(key);
    if (member === undefined) {
      if (walk.unknown) reportAt(walk, key, `${desc.name} has no such field`);
      continue;
    }
    const { field, check } = member;
    const value = json[key] ?? null;
    const name = walk.asWritten ? key : field.name;
    if (key !== field.jsonName && Object.hasOwn(json, field.jsonName)) reportAt(walk, name, "set multiple times");
    if (field.oneof !== undefined && !(value === null && field.fieldKind === "scalar")) {
      oneofs ??= new Map();
      const other = oneofs.get(field.oneof);
      if (other !== undefined) report(walk, `oneof set multiple times by ${other.name} and ${field.name}`);
      oneofs.set(field.oneof, field);
    }
    walk.path.push(name);
    check(value, walk);
    walk.path.pop();
  }
  leave(walk);
}

/** The check of a field's content. Null means that the field isn't set. */
function fieldCheck(field: DescField): Check {
  const check = valueCheck(field);
  const checkItem: Check = (item, walk) => {
    if (item === null && !hasNull(field)) report(walk, itemFault(field, item));
    else check(item, walk);
  };
  switch (field.fieldKind) {
    case "list":
      return (json, walk) => {
        if (json === null) return;
        if (!Array.isArray(json)) return report(walk, libraryFault(field, json));
        for (let index = 0; index < json.length && !isFull(walk); index++) {
          walk.path.push(index);
          checkItem(json[index] ?? null, walk);
          walk.path.pop();
        }
      };
    case "map":
      return (json, walk) => {
        if (json === null) return;
        if (!isJsonObject(json)) return report(walk, libraryFault(field, json));
        for (const key of Object.keys(json)) {
          if (isFull(walk)) return;
          const item = json[key] ?? null;
          const isText = field.mapKey === ScalarType.STRING && key.isWellFormed();
          const keyFault = isText ? undefined : libraryFault(field, { [key]: item });
          walk.path.push(mapKey(key));
          if (keyFault === undefined) checkItem(item, walk);
          else report(walk, keyFault);
          walk.path.pop();
        }
      };
    case "scalar":
    case "enum":
    case "message":
      return (json, walk) => {
        if (json !== null || hasNull(field)) check(json, walk);
      };
    default:
      return field satisfies never;
  }
}

/** Whether null is a value of the field's type, as in free JSON. */
function hasNull({ message, enum: enumType }: DescField): boolean {
  return message?.typeName === "google.protobuf.Value" || enumType?.typeName === "google.protobuf.NullValue";
}

/** The check of one value of a field: of itself, of a list's element or of a map's value. */
function valueCheck(field: DescField): Check {
  const { message, enum: enumType, scalar } = field;
  if (enumType !== undefined) return enumCheck(enumType);
  if (message !== undefined) return messageCheck(field, message);
  return (json, walk) => {
    if (scalar === undefined || !isPlainScalar(scalar, json)) report(walk, itemFault(field, json));
  };
}

function messageCheck(field: DescField, desc: DescMessage): Check {
  switch (desc.typeName) {
    case "google.protobuf.Struct":
      return (json, walk) => {
        if (!isJsonObject(json)) report(walk, expectedObject(json));
        else within(walk, () => checkFreeItems(json, walk));
      };
    case "google.protobuf.ListValue":
      return (json, walk) => {
        if (!Array.isArray(json)) report(walk, itemFault(field, json));
        else within(walk, () => checkFreeItems(json, walk));
      };
    case "google.protobuf.Value":
      return (json, walk) => within(walk, () => checkFree(json, walk));
    case "google.protobuf.Empty":
      break;
    default:
      // The other well-known types are strings, numbers or booleans in JSON.
      if (desc.file.proto.package === "google.protobuf")
        return (json, walk) => within(walk, () => report(walk, itemFault(field, json)));
  }
  const members = membersOf(desc);
  return (json, walk) => checkMessage(members, json, walk);
}

/**
 * Checks the nesting of free JSON as the library counts it. Returns false at the first value that is too deep, and
 * reports it: all such faults have the same path, which ends at the field.
 */
function checkFree(json: JsonValue, walk: Walk): boolean {
  if (!enter(walk)) return false;
  const isShallow = typeof json !== "object" || json === null || checkFreeItems(json, walk);
  leave(walk);
  return isShallow;
}

function checkFreeItems(json: JsonObject | JsonValue[], walk: Walk): boolean {
  if (Array.isArray(json)) return json.every((item) => checkFree(item, walk));
  return Object.keys(json).every((key) => checkFree(json[key] ?? null, walk));
}

/**
 * The library ignores unknown enum names if it ignores unknown fields. A filter with a typing error would then match
 * everything.
 */
function enumCheck(desc: DescEnum): Check {
  const names = new Set(desc.values.flatMap(({ name, jsonName }) => [name, jsonName]));
  const accepted = desc.values.flatMap(({ name, number }) => (number === 0 ? [] : [name])).join(", ");
  return (json, walk) => {
    const isKnown =
      json === null || (typeof json === "number" ? desc.value[json] !== undefined : names.has(json as string));
    if (!isKnown) report(walk, `is ${shown(json)}, which ${desc.name} doesn't have: one of ${accepted} is accepted`);
  };
}

function expectedObject(json: JsonValue): string {
  return `expected object, got ${shown(json)}`;
}

const shownLengthMax = 64;

/** A value as an error shows it. */
function shown(json: JsonValue): string {
  if (Array.isArray(json)) return "an array";
  if (isJsonObject(json)) return "an object";
  if (typeof json === "string" && json.length > shownLengthMax) return `a string of ${json.length} characters`;
  return JSON.stringify(json);
}

/** Counts a message or a free JSON value. Returns false, and reports a fault, if it is one level too deep. */
function enter(walk: Walk): boolean {
  if (walk.level >= jsonLevelsMax) {
    report(walk, `nests too deeply: at most ${jsonLevelsMax} levels are accepted`);
    return false;
  }
  walk.level++;
  return true;
}

function leave(walk: Walk): void {
  walk.level--;
}

function within(walk: Walk, check: () => void): void {
  if (!enter(walk)) return;
  check();
  leave(walk);
}

function isFull(walk: Walk): boolean {
  return walk.violations.length >= violationsMax;
}

function report(walk: Walk, description: string | undefined): void {
  if (description === undefined || isFull(walk)) return;
  walk.violations.push({ field: pathText(walk.path), description });
}

function reportAt(walk: Walk, name: string, description: string): void {
  walk.path.push(name);
  report(walk, description);
  walk.path.pop();
}
