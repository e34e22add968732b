import {
  clone,
  create,
  type DescField,
  type DescMessage,
  type DescOneof,
  fromJson,
  getOption,
  hasOption,
  type JsonObject,
  type Message as ProtoMessage,
  ScalarType,
} from "@bufbuild/protobuf";
import { type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { type Value, ValueSchema } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { expect, test } from "vitest";
import { FieldBehavior, field_behavior } from "../../gen/google/api/field_behavior_pb.ts";
import { A2AService, PartSchema } from "../../gen/lf/a2a/v1/a2a_pb.ts";
import { validate } from "../../src/domain/validation/validate.ts";

/** Everything below is found through the descriptors and not through the plans that are tested. */
const requests = [...new Set(A2AService.methods.map((method) => method.input))];

function isRequired(member: DescField | DescOneof): boolean {
  if (member.kind === "oneof") {
    return member.parent === PartSchema;
  }
  return hasOption(member, field_behavior) && getOption(member, field_behavior).includes(FieldBehavior.REQUIRED);
}

function isWellKnown(desc: DescMessage): boolean {
  return desc.typeName.startsWith("google.protobuf.");
}

function requiredBelow(desc: DescMessage, found = new Set<string>()): Set<string> {
  for (const member of desc.members) {
    if (isRequired(member)) {
      found.add(`${desc.typeName}.${member.name}`);
    }
  }
  for (const field of desc.fields) {
    if (field.message !== undefined && !isWellKnown(field.message)) {
      requiredBelow(field.message, found);
    }
  }
  return found;
}

function messages(desc: DescMessage): fc.Arbitrary<ProtoMessage> {
  switch (desc.typeName) {
    case "google.protobuf.Struct":
      // Stands for the plain JSON that protobuf-es has in a field of this type.
      return fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 3 })) as unknown as fc.Arbitrary<
        ProtoMessage & JsonObject
      >;
    case "google.protobuf.Value":
      return fc.jsonValue({ maxDepth: 3 }).map((json): Value => fromJson(ValueSchema, json as JsonObject));
    case "google.protobuf.Timestamp":
      return fc.record({
        $typeName: fc.constant(desc.typeName),
        seconds: fc.bigInt({ min: -62_135_596_800n, max: 253_402_300_799n }),
        nanos: fc.integer({ min: 0, max: 999_999_999 }),
      });
    default: {
      const members = desc.members.map((member) => [member.localName, memberValues(member)] as const);
      return fc
        .record(Object.fromEntries(members), {
          requiredKeys: desc.members.filter(isRequired).map((member) => member.localName),
        })
        .map((init) => create(desc, init));
    }
  }
}

function memberValues(member: DescField | DescOneof): fc.Arbitrary<unknown> {
  if (member.kind === "oneof") {
    return fc.oneof(
      ...member.fields.map((field) => fc.record({ case: fc.constant(field.localName), value: values(field) })),
    );
  }
  return member.fieldKind === "list" ? fc.array(values(member), { minLength: 1, maxLength: 3 }) : values(member);
}

function values(field: DescField): fc.Arbitrary<unknown> {
  if (field.message !== undefined) {
    return messages(field.message);
  }
  if (field.enum !== undefined) {
    // The first value that is not UNSPECIFIED, since the only role of a client is ROLE_USER.
    return fc.constant(field.enum.values[1]?.number);
  }
  switch (field.scalar) {
    case ScalarType.STRING:
      return fc.string({ unit: "binary", minLength: 1, maxLength: 64 });
    case ScalarType.BYTES:
      return fc.uint8Array({ maxLength: 8 });
    case ScalarType.BOOL:
      return fc.boolean();
    case ScalarType.INT32:
      return fc.integer({ min: 1, max: 100 });
    default:
      throw new Error(`No values for ${field}`);
  }
}

interface Site {
  readonly name: string;
  readonly path: string;
  remove(): void;
}

/** Every REQUIRED field and oneof within a message. */
function sites(message: ReflectMessage, prefix = ""): Site[] {
  const found: Site[] = [];
  for (const member of message.desc.members) {
    const field = member.kind === "oneof" ? message.oneofCase(member) : member;
    if (field === undefined) {
      continue;
    }
    if (isRequired(member)) {
      found.push({
        name: `${message.desc.typeName}.${member.name}`,
        path: prefix + member.name,
        remove: () => message.clear(field),
      });
    }
    if (field.message === undefined || isWellKnown(field.message)) {
      continue;
    }
    if (field.fieldKind === "message" && message.isSet(field)) {
      found.push(...sites(message.get(field), `${prefix}${field.name}.`));
    } else if (field.fieldKind === "list" && field.listKind === "message") {
      const list = message.get(field);
      for (let index = 0; index < list.size; index++) {
        found.push(...sites(list.get(index) as ReflectMessage, `${prefix}${field.name}[${index}].`));
      }
    }
  }
  return found;
}

test.for(requests)("%s is valid until a REQUIRED field is removed, which alone is then named", (desc) => {
  const removed = new Set<string>();
  fc.assert(
    fc.property(messages(desc), (message) => {
      expect(validate(desc, message)).toEqual([]);
      sites(reflect(desc, message)).forEach((site, index) => {
        const copy = clone(desc, message);
        sites(reflect(desc, copy))[index]?.remove();
        expect(validate(desc, copy).map((violation) => violation.field)).toEqual([site.path]);
        removed.add(site.name);
      });
    }),
  );
  expect(removed).toEqual(requiredBelow(desc));
});
