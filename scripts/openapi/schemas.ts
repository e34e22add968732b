import { type DescEnum, type DescField, type DescMessage, type JsonObject, ScalarType } from "@bufbuild/protobuf";
import { isWrapperDesc } from "@bufbuild/protobuf/wkt";
import { isAnnotatedRequired } from "../../src/domain/validation/validate.ts";
import { descriptionOf } from "./description.ts";

/** The schemas of the types that the document refers to. Each type is described once. */
export class OpenApiSchemas {
  readonly #schemas = new Map<string, JsonObject>();

  /** By the full names of the types. */
  get components(): JsonObject {
    return Object.fromEntries([...this.#schemas].toSorted(([a], [b]) => (a < b ? -1 : 1)));
  }

  message(desc: DescMessage): JsonObject {
    const wellKnown = this.#wellKnown(desc);
    if (wellKnown !== undefined) return wellKnown;
    if (!this.#schemas.has(desc.typeName)) {
      // Before the fields: a type may contain itself.
      this.#schemas.set(desc.typeName, {});
      this.#schemas.set(desc.typeName, this.object(desc, desc.fields));
    }
    return { $ref: `#/components/schemas/${desc.typeName}` };
  }

  /** A message with only these fields. */
  object(desc: DescMessage, fields: readonly DescField[]): JsonObject {
    const properties = Object.fromEntries(fields.map((field) => [field.jsonName, this.field(field)]));
    const required = fields.filter(isAnnotatedRequired).map(({ jsonName }) => jsonName);
    const oneofs = desc.oneofs.map(
      (oneof) => `\`${oneof.name}\` is one of ${oneof.fields.map(({ jsonName }) => `\`${jsonName}\``).join(", ")}.`,
    );
    const description = [...Object.values(descriptionOf(desc)), ...oneofs].join("\n\n");
    return {
      title: desc.name,
      ...(description !== "" && { description }),
      type: "object",
      properties,
      ...(required.length > 0 && { required }),
    };
  }

  field(field: DescField): JsonObject {
    return { ...this.#unnamed(field), ...descriptionOf(field) };
  }

  #unnamed(field: DescField): JsonObject {
    switch (field.fieldKind) {
      case "list":
        return { type: "array", items: this.#single(field) };
      case "map":
        return { type: "object", additionalProperties: this.#single(field) };
      case "scalar":
      case "enum":
      case "message":
        return this.#single(field);
      default:
        return field satisfies never;
    }
  }

  #single(field: DescField): JsonObject {
    if (field.message !== undefined) return this.message(field.message);
    if (field.enum !== undefined) return this.#enum(field.enum);
    return field.scalar === undefined ? {} : scalarSchema(field.scalar);
  }

  #enum(desc: DescEnum): JsonObject {
    if (desc.typeName === "google.protobuf.NullValue") return { type: "null" };
    const values = desc.values.map((value) => ({ name: value.name, ...descriptionOf(value) }));
    const lines = values.flatMap(({ name, description }) =>
      description === undefined ? [] : [`- \`${name}\`: ${description}`],
    );
    const description = [...Object.values(descriptionOf(desc)), ...(lines.length > 0 ? [lines.join("\n")] : [])].join(
      "\n\n",
    );
    this.#schemas.set(desc.typeName, {
      title: desc.name,
      ...(description !== "" && { description }),
      type: "string",
      enum: values.map(({ name }) => name),
    });
    return { $ref: `#/components/schemas/${desc.typeName}` };
  }

  #wellKnown(desc: DescMessage): JsonObject | undefined {
    if (isWrapperDesc(desc)) return this.field(desc.fields[0]);
    switch (desc.typeName) {
      case "google.protobuf.Timestamp":
        return { type: "string", format: "date-time" };
      case "google.protobuf.Duration":
        return { type: "string", pattern: "^-?[0-9]+(\\.[0-9]{1,9})?s$" };
      case "google.protobuf.FieldMask":
        return { type: "string" };
      case "google.protobuf.Struct":
      case "google.protobuf.Empty":
        return { type: "object" };
      case "google.protobuf.Any":
        return { type: "object", properties: { "@type": { type: "string" } }, required: ["@type"] };
      case "google.protobuf.ListValue":
        return { type: "array", items: {} };
      case "google.protobuf.Value":
        return { description: "Any JSON value" };
      default:
        return undefined;
    }
  }
}

function scalarSchema(scalar: ScalarType): JsonObject {
  switch (scalar) {
    case ScalarType.STRING:
      return { type: "string" };
    case ScalarType.BYTES:
      return { type: "string", contentEncoding: "base64" };
    case ScalarType.BOOL:
      return { type: "boolean" };
    case ScalarType.DOUBLE:
    case ScalarType.FLOAT:
      return { type: "number" };
    case ScalarType.INT32:
    case ScalarType.SINT32:
    case ScalarType.SFIXED32:
    case ScalarType.UINT32:
    case ScalarType.FIXED32:
      return { type: "integer", format: "int32" };
    case ScalarType.INT64:
    case ScalarType.SINT64:
    case ScalarType.SFIXED64:
    case ScalarType.UINT64:
    case ScalarType.FIXED64:
      // As a string: JavaScript reads JSON's numbers exactly only to 2^53.
      return { type: "string", format: "int64" };
    default:
      return scalar satisfies never;
  }
}
