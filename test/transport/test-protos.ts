import type { MessageInitShape } from "@bufbuild/protobuf";
import { create, createFileRegistry, type DescMessage, type DescService, setExtension } from "@bufbuild/protobuf";
import {
  type FieldDescriptorProto,
  FieldDescriptorProtoSchema,
  FieldOptionsSchema,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  file_google_protobuf_duration,
  file_google_protobuf_field_mask,
  file_google_protobuf_struct,
  file_google_protobuf_timestamp,
  file_google_protobuf_wrappers,
  FieldDescriptorProto_Label as Label,
  MethodOptionsSchema,
  FieldDescriptorProto_Type as Type,
} from "@bufbuild/protobuf/wkt";
import { http } from "../../gen/google/api/annotations_pb.ts";
import { FieldBehavior, field_behavior } from "../../gen/google/api/field_behavior_pb.ts";
import { HttpRuleSchema } from "../../gen/google/api/http_pb.ts";

/**
 * Types and rules that our own protos don't have, for code that must serve any: made here, as if they came from
 * `test.proto`.
 */

type Init = {
  readonly type?: Type;
  readonly typeName?: string;
  readonly repeated?: boolean;
  readonly required?: boolean;
  readonly optional?: boolean;
  readonly oneof?: boolean;
};

function field(
  name: string,
  number: number,
  { type = Type.STRING, typeName, repeated, required, optional, oneof }: Init = {},
): FieldDescriptorProto {
  const options = create(FieldOptionsSchema);
  if (required) setExtension(options, field_behavior, [FieldBehavior.REQUIRED]);
  return create(FieldDescriptorProtoSchema, {
    name,
    number,
    type,
    jsonName: name.replaceAll(/_(\w)/g, (_, letter: string) => letter.toUpperCase()),
    label: repeated ? Label.REPEATED : Label.OPTIONAL,
    options,
    ...(typeName !== undefined && { typeName }),
    ...(optional && { proto3Optional: true, oneofIndex: 1 }),
    ...(oneof && { oneofIndex: 0 }),
  });
}

const message = (typeName: string, more: Init = {}): Init => ({ type: Type.MESSAGE, typeName, ...more });
const colour = (more: Init = {}): Init => ({ type: Type.ENUM, typeName: ".test.Colour", ...more });

const everything = [
  field("name", 1),
  field("count", 2, { type: Type.INT32 }),
  field("big_count", 3, { type: Type.UINT64 }),
  field("is_open", 4, { type: Type.BOOL }),
  field("ratio", 5, { type: Type.DOUBLE }),
  field("raw_bytes", 6, { type: Type.BYTES }),
  field("colour", 7, colour()),
  field("tags", 8, { repeated: true }),
  field("numbers", 9, { type: Type.INT32, repeated: true }),
  field("colours", 10, colour({ repeated: true })),
  field("at_time", 11, message(".google.protobuf.Timestamp")),
  field("lasting", 12, message(".google.protobuf.Duration")),
  field("mask", 13, message(".google.protobuf.FieldMask")),
  field("boxed_bool", 14, message(".google.protobuf.BoolValue")),
  field("boxed_text", 15, message(".google.protobuf.StringValue")),
  field("inner", 16, message(".test.Everything")),
  field("inners", 17, message(".test.Everything", { repeated: true })),
  field("free", 18, message(".google.protobuf.Struct")),
  field("choice_text", 19, { oneof: true }),
  field("choice_number", 20, { type: Type.INT32, oneof: true }),
  field("maybe", 21, { type: Type.INT32, optional: true }),
  field("by_colour", 22, message(".test.Everything.ByColourEntry", { repeated: true })),
];

const required = [
  field("text", 1, { required: true }),
  field("number", 2, { type: Type.INT32, required: true }),
  field("long", 3, { type: Type.INT64, required: true }),
  field("yes", 4, { type: Type.BOOL, required: true }),
  field("colour", 5, colour({ required: true })),
  field("list", 6, { repeated: true, required: true }),
  field("raw", 7, { type: Type.BYTES, required: true }),
  field("inner", 8, message(".test.Required", { required: true })),
  field("inners", 9, message(".test.Required", { repeated: true })),
  field("not_required", 10),
  field("times", 11, message(".google.protobuf.Timestamp", { repeated: true })),
];

type Rule = MessageInitShape<typeof HttpRuleSchema>;

function method(name: string, rule: Rule, serverStreaming = false) {
  const options = create(MethodOptionsSchema);
  setExtension(options, http, create(HttpRuleSchema, rule));
  return { name, inputType: ".test.Everything", outputType: ".test.Everything", serverStreaming, options };
}

const file = create(FileDescriptorProtoSchema, {
  name: "test.proto",
  package: "test",
  syntax: "proto3",
  dependency: ["timestamp", "duration", "field_mask", "wrappers", "struct"].map(
    (name) => `google/protobuf/${name}.proto`,
  ),
  enumType: [
    {
      name: "Colour",
      value: ["COLOUR_UNSPECIFIED", "COLOUR_RED", "COLOUR_BLUE"].map((name, number) => ({ name, number })),
    },
  ],
  messageType: [
    {
      name: "Everything",
      field: everything,
      oneofDecl: [{ name: "choice" }, { name: "_maybe" }],
      nestedType: [
        { name: "ByColourEntry", field: [field("key", 1), field("value", 2, colour())], options: { mapEntry: true } },
      ],
    },
    { name: "Required", field: required },
  ],
  service: [
    {
      name: "TestService",
      method: [
        method("Whole", { pattern: { case: "post", value: "/things/{name}" }, body: "*" }),
        method("Part", { pattern: { case: "put", value: "/things/{name}/inner" }, body: "inner" }),
        method("Shelf", { pattern: { case: "get", value: "/v1/{name=shelves/*/books/*}" } }),
        method("Files", { pattern: { case: "get", value: "/files/{inner.name=**}" } }),
        method("Counted", { pattern: { case: "get", value: "/counts/{big_count}" } }),
        method("Custom", { pattern: { case: "custom", value: { kind: "PURGE", path: "/things/{name}" } } }),
        method(
          "Watch",
          {
            pattern: { case: "get", value: "/things/{name}:watch" },
            additionalBindings: [{ pattern: { case: "get", value: "/watch" } }],
          },
          true,
        ),
      ],
    },
  ],
});

const dependencies = [
  file_google_protobuf_timestamp,
  file_google_protobuf_duration,
  file_google_protobuf_field_mask,
  file_google_protobuf_wrappers,
  file_google_protobuf_struct,
];
const registry = createFileRegistry(
  create(FileDescriptorSetSchema, { file: [...dependencies.map(({ proto }) => proto), file] }),
);

function found<T>(desc: T | undefined): T {
  if (desc === undefined) throw new Error("The test's proto lacks a type");
  return desc;
}

export const EverythingSchema: DescMessage = found(registry.getMessage("test.Everything"));
export const RequiredSchema: DescMessage = found(registry.getMessage("test.Required"));
export const TestService: DescService = found(registry.getService("test.TestService"));
