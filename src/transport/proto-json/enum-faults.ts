import type { DescEnum, DescField, DescMessage, JsonValue } from "@bufbuild/protobuf";
import type { FieldViolation } from "../../domain/task-error.ts";
import { violationsMax } from "../../domain/validate.ts";
import { type JsonPath, pathText } from "./json-path.ts";

/**
 * The values of enums in a JSON request that their types don't have. Readers of ProtoJSON that ignore unknown fields
 * ignore unknown enum names too, so that a filter with a typing error in it finds everything (trap 21): these are told,
 * and only these. What isn't of the right shape at all is left to the reader.
 */
export function enumFaults(schema: DescMessage, json: JsonValue): readonly FieldViolation[] {
  const violations: FieldViolation[] = [];
  checkMessage(planOf(schema), json, [], violations);
  return violations;
}

/** The fields of a type that are enums or lead to some, by the names they have in JSON. Most types have none. */
type Plan = ReadonlyMap<string, Step>;
interface Step {
  readonly field: DescField;
  check(value: JsonValue, path: JsonPath, violations: FieldViolation[]): void;
}

const plans = new WeakMap<DescMessage, Plan>();

function planOf(desc: DescMessage): Plan {
  const known = plans.get(desc);
  if (known !== undefined) return known;
  const plan = new Map<string, Step>();
  // Before its fields are looked at, for types that hold themselves.
  plans.set(desc, plan);
  // The well-known types have a JSON form of their own, without enums of ours.
  if (desc.file.proto.package === "google.protobuf") return plan;
  for (const field of desc.fields) {
    const { message, enum: enumType } = field;
    if (message !== undefined && planOf(message).size > 0) {
      const inner = planOf(message);
      addStep(plan, field, (value, path, violations) => checkMessage(inner, value, path, violations));
    } else if (enumType !== undefined && enumType.typeName !== "google.protobuf.NullValue") {
      addStep(plan, field, (value, path, violations) => checkEnum(enumType, value, path, violations));
    }
  }
  return plan;
}

function addStep(plan: Map<string, Step>, field: DescField, one: Step["check"]): void {
  const step: Step = { field, check: checkOf(field, one) };
  plan.set(field.name, step).set(field.jsonName, step);
}

/** Applies a check of one value to what the field holds. */
function checkOf(field: DescField, one: Step["check"]): Step["check"] {
  switch (field.fieldKind) {
    case "list":
      return (value, path, violations) => {
        if (Array.isArray(value)) for (const [index, item] of value.entries()) one(item, [...path, index], violations);
      };
    case "map":
      return (value, path, violations) => {
        if (isObject(value))
          for (const [key, item] of Object.entries(value)) one(item, [...path, `[${JSON.stringify(key)}]`], violations);
      };
    case "scalar":
    case "enum":
    case "message":
      return one;
    default:
      return field satisfies never;
  }
}

function checkMessage(plan: Plan, value: JsonValue, path: JsonPath, violations: FieldViolation[]): void {
  if (plan.size === 0 || !isObject(value)) return;
  for (const key of Object.keys(value)) {
    const step = plan.get(key);
    if (step !== undefined) step.check(value[key] ?? null, [...path, step.field.name], violations);
  }
}

function checkEnum(desc: DescEnum, value: JsonValue, path: JsonPath, violations: FieldViolation[]): void {
  if (violations.length >= violationsMax) return;
  const unknown =
    typeof value === "number"
      ? Number.isInteger(value) && desc.value[value] === undefined
      : typeof value === "string" && !namesOf(desc).has(value);
  if (unknown) {
    const accepted = desc.values.flatMap(({ name, number }) => (number === 0 ? [] : [name])).join(", ");
    violations.push({
      field: pathText(path),
      description: `is ${JSON.stringify(value)}, which ${desc.name} doesn't have: one of ${accepted} is accepted`,
    });
  }
}

const names = new WeakMap<DescEnum, ReadonlySet<string>>();

function namesOf(desc: DescEnum): ReadonlySet<string> {
  let known = names.get(desc);
  if (known === undefined) {
    known = new Set(desc.values.map(({ name }) => name));
    names.set(desc, known);
  }
  return known;
}

function isObject(value: JsonValue): value is { [key: string]: JsonValue } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
