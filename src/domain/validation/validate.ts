import {
  type DescField,
  type DescMessage,
  type DescOneof,
  getOption,
  hasOption,
  type JsonValue,
  type Message,
} from "@bufbuild/protobuf";
import type { Timestamp, Value } from "@bufbuild/protobuf/wkt";
import { FieldBehavior, field_behavior } from "../../../gen/google/api/field_behavior_pb.ts";
import type { FieldViolation } from "../task-error.ts";
import { mapKey, pathText } from "./field-path.ts";
import { jsonFault, valueFault } from "./json-fault.ts";
import { type FieldRule, rules } from "./validation-rules.ts";

/** The most violations in one error. They fit a gRPC trailer, which most clients limit to 8 KiB. */
export const violationsMax = 20;

/**
 * The faults that a message alone can show: REQUIRED fields, enum values, JSON and times that cannot be encoded, and
 * the table of rules. Gives the first `violationsMax` in the order of the proto; none for a valid message. Never throws
 * for what a client sent.
 */
export function validate(schema: DescMessage, message: Message): readonly FieldViolation[] {
  const walk: Walk = { violations: [], path: [] };
  checkMessage(planOf(schema), message, walk);
  return walk.violations;
}

/** The state of one validation. The segments of the path are joined only for a violation. */
interface Walk {
  readonly violations: FieldViolation[];
  /** Proto names, indexes of list elements, and map keys in brackets. */
  readonly path: (string | number)[];
}

/** A message as protobuf-es represents it: properties by `localName`. */
type Fields = Message & Readonly<Record<string, unknown>>;
type Plan = readonly Check<Fields>[];
/** Reports the faults of a value. The walk's path leads to the value, or to the message for a check of a message. */
type Check<T> = (value: T, walk: Walk) => void;
type ValueCheck = Check<unknown>;

/** Compiled at the first use of a type: one step for each field with a check, none for the others. */
const plans = new WeakMap<DescMessage, Plan>();

function planOf(desc: DescMessage): Plan {
  let plan = plans.get(desc);
  if (plan === undefined) {
    const ofType = rules[desc.typeName] ?? {};
    plan = desc.members.flatMap((member) => {
      const rule = ofType[member.name] ?? {};
      const steps = member.kind === "oneof" ? oneofSteps(member, rule) : fieldSteps(member, rule);
      return rule.check === undefined ? steps : [...steps, ruleStep(rule.check)];
    });
    plans.set(desc, plan);
  }
  return plan;
}

/** Recurses as deep as the schema. Only JSON can be nested without end, and `json-fault.ts` bounds that. */
function checkMessage(plan: Plan, message: Message, walk: Walk): void {
  for (const check of plan) {
    if (isFull(walk)) {
      return;
    }
    check(message as Fields, walk);
  }
}

function ruleStep(check: NonNullable<FieldRule["check"]>): Check<Fields> {
  return (message, walk) => {
    const violation = check(message);
    if (violation !== undefined) {
      walk.path.push(violation.field);
      report(walk, violation.description);
      walk.path.pop();
    }
  };
}

function oneofSteps(oneof: DescOneof, rule: FieldRule): Check<Fields>[] {
  const { name, localName } = oneof;
  const members = new Map(
    oneof.fields.map((field) => [field.localName, { name: field.name, check: valueCheck(field, {}, false) }]),
  );
  const missing = `is not set: exactly one of ${oneof.fields.map((field) => field.name).join(", ")} is required`;
  return [
    (message, walk) => {
      // Presence counts, not truth: an empty text and a JSON null are contents.
      const content = message[localName] as { readonly case?: string; readonly value?: unknown };
      if (content.case !== undefined) {
        const member = members.get(content.case);
        if (member?.check !== undefined) {
          walk.path.push(member.name);
          member.check(content.value, walk);
          walk.path.pop();
        }
      } else if (rule.required === true) {
        walk.path.push(name);
        report(walk, missing);
        walk.path.pop();
      }
    },
  ];
}

function fieldSteps(field: DescField, rule: FieldRule): Check<Fields>[] {
  const { name, localName } = field;
  const required = rule.required ?? isAnnotatedRequired(field);
  const check = containerCheck(field, valueCheck(field, rule, required));
  const missing = required ? missingText(field) : undefined;
  if (check === undefined && missing === undefined) {
    return [];
  }
  return [
    (message, walk) => {
      const value = message[localName];
      walk.path.push(name);
      if (missing !== undefined && isAbsent(value)) {
        report(walk, missing);
      } else if (check !== undefined && value !== undefined) {
        check(value, walk);
      }
      walk.path.pop();
    },
  ];
}

/** Whether the contract declares the field REQUIRED by `field_behavior` (R118). */
export function isAnnotatedRequired(field: DescField): boolean {
  return hasOption(field, field_behavior) && getOption(field, field_behavior).includes(FieldBehavior.REQUIRED);
}

/** Numbers and booleans without presence are never absent. The 0 of an enum is left to the check of its value. */
function isAbsent(value: unknown): boolean {
  if (typeof value === "string" || value instanceof Uint8Array || Array.isArray(value)) {
    return value.length === 0;
  }
  return value === undefined;
}

function missingText(field: DescField): string {
  switch (field.fieldKind) {
    case "list":
      return "is empty: at least one element is required";
    case "map":
      // An empty map looks like an absent one, so such a field needs a rule that allows it to be empty.
      throw new Error(`The map ${field.parent.typeName}.${field.name} can't be REQUIRED`);
    case "message":
      return `is missing: a ${field.message.name} is required`;
    case "enum":
      return `is missing: one of ${acceptedValues(field.enum.values, true)} is required`;
    case "scalar":
      return "is missing: a value that is not empty is required";
    default:
      return field satisfies never;
  }
}

/** Applies a check of single values to every value of the field. */
function containerCheck(field: DescField, check: ValueCheck | undefined): ValueCheck | undefined {
  if (check === undefined) {
    return undefined;
  }
  switch (field.fieldKind) {
    case "list":
      return (list, walk) => checkEach((list as readonly unknown[]).entries(), check, walk);
    case "map":
      return (map, walk) => {
        const entries = Object.entries(map as object).map(([key, value]) => [mapKey(key), value] as const);
        checkEach(entries, check, walk);
      };
    case "scalar":
    case "enum":
    case "message":
      return check;
    default:
      return field satisfies never;
  }
}

function checkEach(entries: Iterable<readonly [string | number, unknown]>, check: ValueCheck, walk: Walk): void {
  for (const [key, value] of entries) {
    if (isFull(walk)) {
      return;
    }
    walk.path.push(key);
    check(value, walk);
    walk.path.pop();
  }
}

/** The check of one value of a field: the value itself, an element of a list or a value of a map. */
function valueCheck(field: DescField, rule: FieldRule, required: boolean): ValueCheck | undefined {
  if (field.message !== undefined) {
    return messageCheck(field.message);
  }
  if (field.enum !== undefined) {
    return enumCheck(field.enum, required);
  }
  if (rule.bytesMax !== undefined) {
    return bytesCheck(rule.bytesMax);
  }
  return rule.range === undefined ? undefined : rangeCheck(...rule.range);
}

function messageCheck(desc: DescMessage): ValueCheck {
  switch (desc.typeName) {
    case "google.protobuf.Struct":
      return (json, walk) => report(walk, jsonFault(json as JsonValue));
    case "google.protobuf.Value":
      return (value, walk) => report(walk, valueFault(value as Value));
    case "google.protobuf.Timestamp":
      return (time, walk) => report(walk, timestampFault(time as Timestamp));
    default:
      if (desc.file.proto.package === "google.protobuf") {
        // protobuf-es holds several well-known types as something other than a message. Each new one needs a case.
        throw new Error(`No check for ${desc.typeName}`);
      }
      return (message, walk) => checkMessage(planOf(desc), message as Message, walk);
  }
}

/** Enums are open on the wire: the parser accepts any number. */
function enumCheck(desc: NonNullable<DescField["enum"]>, required: boolean): ValueCheck {
  const names = acceptedValues(desc.values, required);
  return (value, walk) => {
    if (value === 0 && required) {
      report(walk, `is ${desc.value[0]?.name}: one of ${names} is required`);
    } else if (desc.value[value as number] === undefined) {
      report(walk, `is ${value}, which ${desc.name} doesn't have: one of ${names} is accepted`);
    }
  };
}

function acceptedValues(
  values: readonly { readonly name: string; readonly number: number }[],
  required: boolean,
): string {
  return values
    .filter((value) => !required || value.number !== 0)
    .map((value) => value.name)
    .join(", ");
}

function bytesCheck(max: number): ValueCheck {
  const encoder = new TextEncoder();
  const fault = `must have at most ${max} bytes of UTF-8`;
  return (value, walk) => {
    // A UTF-16 unit takes one to three bytes, so most ids and all huge ones are decided without encoding.
    const { length } = value as string;
    if (length > max || (length * 3 > max && encoder.encode(value as string).length > max)) {
      report(walk, fault);
    }
  };
}

function rangeCheck(min: number, max: number): ValueCheck {
  const accepted = max === Infinity ? `${min} or more` : `${min} to ${max}`;
  return (value, walk) => {
    const number = value as number | bigint;
    if (number < min || number > max) {
      report(walk, `is ${number}: ${accepted} is accepted`);
    }
  };
}

/** The bounds of the well-known type. A time outside cannot be written as JSON. */
function timestampFault(time: Timestamp): string | undefined {
  const inRange =
    time.seconds >= -62_135_596_800n &&
    time.seconds <= 253_402_300_799n &&
    time.nanos >= 0 &&
    time.nanos <= 999_999_999;
  return inRange ? undefined : "is out of range: 0001-01-01T00:00:00Z to 9999-12-31T23:59:59.999999999Z is accepted";
}

function isFull(walk: Walk): boolean {
  return walk.violations.length >= violationsMax;
}

function report(walk: Walk, description: string | undefined): void {
  if (description === undefined) {
    return;
  }
  walk.violations.push({ field: pathText(walk.path), description });
}
