import {
  type DescEnum,
  type DescField,
  type DescFile,
  type DescMessage,
  type DescMethod,
  getOption,
  hasOption,
  type Message,
  ScalarType,
} from "@bufbuild/protobuf";
import type { GenMessage } from "@bufbuild/protobuf/codegenv2";
import { reflect } from "@bufbuild/protobuf/reflect";
import {
  EnumOptionsSchema,
  EnumValueOptionsSchema,
  FeatureSet_FieldPresence,
  FieldOptionsSchema,
  FileOptionsSchema,
  MessageOptionsSchema,
  MethodOptionsSchema,
  OneofOptionsSchema,
  ServiceOptionsSchema,
} from "@bufbuild/protobuf/wkt";
import { http } from "../../gen/google/api/annotations_pb.ts";
import { method_signature } from "../../gen/google/api/client_pb.ts";
import { FieldBehavior, field_behavior } from "../../gen/google/api/field_behavior_pb.ts";
import type { HttpRule } from "../../gen/google/api/http_pb.ts";

/** What one row says, and the columns by which it is found on the other side. */
interface Section {
  readonly columns: readonly string[];
  readonly key: readonly number[];
  /** Whether the order of the rows is the order of the declarations. */
  readonly ordered: boolean;
}

const sections: Readonly<Record<string, Section>> = {
  "file-options": { columns: ["kind", "key", "value"], key: [1], ordered: false },
  fields: {
    columns: ["message", "number", "name", "type", "label", "required", "JSON name", "presence", "deprecated"],
    key: [0, 2],
    ordered: true,
  },
  enums: { columns: ["enum", "number", "value", "deprecated"], key: [0, 2], ordered: true },
  rpcs: {
    columns: [
      "service",
      "rpc",
      "request type",
      "response type",
      "streaming",
      "path",
      "http binding",
      "body",
      "additional bindings",
      "method signature",
    ],
    key: [0, 1],
    ordered: true,
  },
  reserved: { columns: ["kind", "where", "what"], key: [1, 2], ordered: false },
  "numbering-facts": { columns: ["kind", "message", "fact"], key: [1], ordered: true },
  totals: { columns: ["name", "count"], key: [0], ordered: false },
  // Holds no row in the contract: what a descriptor can say and the contract has no column for.
  surplus: { columns: ["where", "what"], key: [0, 1], ordered: false },
};

type Rows = readonly (readonly string[])[];
type Facts = ReadonlyMap<string, Rows>;

/**
 * Compares a compiled file with the facts of the contract (the text of `contract.tsv`), both ways. Returns one sentence
 * for each difference; none if the file declares exactly what the contract does. Throws if the facts cannot be read.
 */
export function contractDifferences(contract: string, file: DescFile): string[] {
  const expected = factsOf(contract);
  const actual = describe(file);
  return Object.entries(sections).flatMap(([name, section]) =>
    sectionDifferences(name, section, expected.get(name) ?? [], actual.get(name) ?? []),
  );
}

function sectionDifferences(name: string, section: Section, expected: Rows, actual: Rows): string[] {
  const differences: string[] = [];
  const wanted = byKey(name, section, expected, differences);
  const found = byKey(name, section, actual, differences);
  for (const [key, row] of wanted) {
    const other = found.get(key);
    if (other === undefined) {
      differences.push(`${name} ${key}: missing in the descriptor`);
      continue;
    }
    section.columns.forEach((column, index) => {
      if (row[index] !== other[index]) {
        differences.push(`${name} ${key}: ${column} is "${other[index]}", the contract says "${row[index]}"`);
      }
    });
  }
  for (const key of found.keys()) {
    if (!wanted.has(key)) {
      differences.push(`${name} ${key}: not in the contract`);
    }
  }
  if (section.ordered) {
    // Keys that only one side has are reported above, and must not make all that follows seem out of order.
    const places = [...wanted.keys()].filter((key) => found.has(key));
    const moved = [...found.keys()].filter((key) => wanted.has(key)).find((key, index) => places[index] !== key);
    if (moved !== undefined) {
      differences.push(`${name} ${moved}: declared out of the contract's order`);
    }
  }
  return differences;
}

function byKey(name: string, section: Section, rows: Rows, differences: string[]): Map<string, readonly string[]> {
  const result = new Map<string, readonly string[]>();
  for (const row of rows) {
    const key = section.key.map((index) => row[index]).join(".");
    if (result.has(key)) {
      differences.push(`${name} ${key}: stated twice`);
    }
    result.set(key, row);
  }
  return result;
}

/** Reads `contract.tsv`: a heading opens each section, the totals are in a comment of their own. */
function factsOf(contract: string): Facts {
  const facts = new Map<string, string[][]>();
  let name = "";
  for (const line of contract.split(/\r?\n/)) {
    const cells = line.split("\t");
    if (line.startsWith("# SECTION ")) {
      name = cells[0]?.slice("# SECTION ".length) ?? "";
      facts.set(name, []);
    } else if (line.startsWith("# totals: ")) {
      facts.set(
        "totals",
        line
          .slice("# totals: ".length)
          .split("\t")
          .map((total) => total.split("=")),
      );
    } else if (line !== "" && !line.startsWith("#")) {
      // One row for each import, so that each is found by itself.
      facts.get(name)?.push(cells[1] === "import" ? importRow(cells[2] ?? "") : cells);
      if (cells.length !== sections[name]?.columns.length) {
        throw new Error(`Cannot read a row of the section "${name}": ${line}`);
      }
    }
  }
  const unread = [...facts.keys()].filter((key) => !(key in sections));
  if (unread.length > 0) {
    throw new Error(`Unknown sections in the contract: ${unread.join(", ")}`);
  }
  return facts;
}

function importRow(path: string): string[] {
  return ["file", `import ${path}`, "imported"];
}

/** States a compiled file as rows of the same form. */
function describe(file: DescFile): Facts {
  const messages = file.messages.flatMap(withNested);
  const enums = [...file.enums, ...messages.flatMap((message) => message.nestedEnums)];
  const fields = messages.flatMap((message) => message.fields);
  const methods = file.services.flatMap((service) => service.methods);
  const name = (typeName: string) => localName(file, typeName);
  return new Map<string, Rows>([
    ["file-options", fileRows(file)],
    ["fields", fields.map((field) => fieldRow(field, file))],
    [
      "enums",
      enums.flatMap((descriptor) =>
        descriptor.values.map((value) => [
          name(descriptor.typeName),
          `${value.number}`,
          value.name,
          value.deprecated ? "deprecated" : "-",
        ]),
      ),
    ],
    ["rpcs", methods.map((method) => methodRow(method, file))],
    ["reserved", reservedRows([...messages, ...enums], file)],
    ["numbering-facts", messages.flatMap((message) => numberingRows(message, file))],
    [
      "totals",
      [
        ["messages", `${messages.length}`],
        ["fields", `${fields.length}`],
        ["REQUIRED fields", `${fields.filter((field) => behaviorOf(field) === "REQUIRED").length}`],
        ["fields with the optional keyword", `${fields.filter((field) => field.proto.proto3Optional).length}`],
        ["enums", `${enums.length}`],
        ["rpcs", `${methods.length}`],
      ],
    ],
    ["surplus", surplusRows(file, messages, enums)],
  ]);
}

function withNested(message: DescMessage): DescMessage[] {
  return [message, ...message.nestedMessages.flatMap(withNested)];
}

/** The contract gives names of its own package without the package. */
function localName(file: DescFile, typeName: string): string {
  const prefix = `${file.proto.package}.`;
  return typeName.startsWith(prefix) ? typeName.slice(prefix.length) : typeName;
}

function fileRows(file: DescFile): Rows {
  const options = file.proto.options && reflect(FileOptionsSchema, file.proto.options);
  return [
    ["file", "syntax", file.proto.syntax],
    ["file", "package", file.proto.package],
    ...(options?.fields ?? [])
      .filter((field) => options?.isSet(field))
      .map((field) => ["file", `option ${field.name}`, String(options?.get(field))]),
    ...file.proto.dependency.map(importRow),
    ...file.services.map((service) => ["file", "fully qualified gRPC service name", service.typeName]),
  ];
}

function fieldRow(field: DescField, file: DescFile): string[] {
  return [
    localName(file, field.parent.typeName),
    `${field.number}`,
    field.name,
    typeOf(field, file),
    labelOf(field),
    behaviorOf(field),
    field.jsonName,
    presenceOf(field),
    field.deprecated ? "deprecated" : "-",
  ];
}

function typeOf(field: DescField, file: DescFile): string {
  const named = ({ typeName }: DescMessage | DescEnum) => localName(file, typeName);
  switch (field.fieldKind) {
    case "scalar":
      return scalarName(field.scalar);
    case "enum":
      return named(field.enum);
    case "message":
      return named(field.message);
    case "list":
      return field.listKind === "scalar" ? scalarName(field.scalar) : named(field.message ?? field.enum);
    case "map": {
      const value = field.mapKind === "scalar" ? scalarName(field.scalar) : named(field.message ?? field.enum);
      return `map<${scalarName(field.mapKey)}, ${value}>`;
    }
    default:
      return field satisfies never;
  }
}

function scalarName(scalar: ScalarType): string {
  const names: Readonly<Record<number, string>> = ScalarType;
  return (names[scalar] ?? `scalar ${scalar}`).toLowerCase();
}

function labelOf(field: DescField): string {
  switch (field.fieldKind) {
    case "list":
      return "repeated";
    case "map":
      return "map";
    default:
      if (field.oneof !== undefined) return `oneof ${field.oneof.name}`;
      return field.proto.proto3Optional ? "optional" : "singular";
  }
}

function behaviorOf(field: DescField): string {
  const names = Object.fromEntries(Object.entries(FieldBehavior).map(([name, number]) => [number, name]));
  return orNone(getOption(field, field_behavior).map((behavior) => names[behavior] ?? `${behavior}`));
}

function presenceOf(field: DescField): string {
  if (field.fieldKind === "list" || field.fieldKind === "map") {
    return "no (empty = absent)";
  }
  switch (field.presence) {
    case FeatureSet_FieldPresence.IMPLICIT:
      return "no (implicit default)";
    case FeatureSet_FieldPresence.EXPLICIT:
      return field.fieldKind === "message" && labelOf(field) === "singular" ? "yes (message)" : "yes";
    default:
      return "required by the wire format";
  }
}

function methodRow(method: DescMethod, file: DescFile): string[] {
  const rule = hasOption(method, http) ? getOption(method, http) : undefined;
  return [
    localName(file, method.parent.typeName),
    method.name,
    localName(file, method.input.typeName),
    localName(file, method.output.typeName),
    streamingOf(method),
    `/${method.parent.typeName}/${method.name}`,
    rule === undefined ? "-" : bindingOf(rule),
    rule?.body || "-",
    orNone((rule?.additionalBindings ?? []).map((binding) => `${bindingOf(binding)} (body ${binding.body || "-"})`)),
    orNone(getOption(method, method_signature)),
  ];
}

function streamingOf({ methodKind }: DescMethod): string {
  switch (methodKind) {
    case "unary":
      return "unary";
    case "server_streaming":
      return "server stream";
    case "client_streaming":
      return "client stream";
    case "bidi_streaming":
      return "stream both ways";
    default:
      return methodKind satisfies never;
  }
}

function bindingOf(rule: HttpRule): string {
  const { pattern } = rule;
  switch (pattern.case) {
    case undefined:
      return "-";
    case "custom":
      return `${pattern.value.kind} ${pattern.value.path}`;
    default:
      return `${pattern.case.toUpperCase()} ${pattern.value}`;
  }
}

function reservedRows(descriptors: readonly (DescMessage | DescEnum)[], file: DescFile): Rows {
  const rows = descriptors.flatMap((descriptor) => {
    const { proto } = descriptor;
    const extensions = "extensionRange" in proto ? proto.extensionRange : [];
    return [
      ...proto.reservedName.map((name) => `reserved name ${name}`),
      ...proto.reservedRange.map(({ start, end }) => `reserved numbers ${start} to ${end}`),
      ...extensions.map(({ start, end }) => `extension range ${start} to ${end}`),
    ].map((what) => ["reserved", localName(file, descriptor.typeName), what]);
  });
  const none = "no reserved numbers, reserved names or extension ranges are declared anywhere in the file";
  return rows.length === 0 ? [["reserved", "(none)", none]] : rows;
}

function numberingRows(message: DescMessage, file: DescFile): Rows {
  const ascending = message.fields.every((field, index) => field.number > (message.fields[index - 1]?.number ?? 0));
  const order = message.fields.map((field) => `(${field.number}, '${field.name}')`).join(", ");
  return ascending
    ? []
    : [["numbering", localName(file, message.typeName), `declared out of numeric order: [${order}]`]];
}

function surplusRows(file: DescFile, messages: readonly DescMessage[], enums: readonly DescEnum[]): Rows {
  const name = ({ typeName }: DescMessage | DescEnum) => localName(file, typeName);
  const options = [
    optionRows("file", FileOptionsSchema, file.proto.options, { ignoreSet: true }),
    ...messages.map((message) => optionRows(name(message), MessageOptionsSchema, message.proto.options)),
    ...messages
      .flatMap((message) => message.oneofs)
      .map((oneof) => optionRows(`${name(oneof.parent)}.${oneof.name}`, OneofOptionsSchema, oneof.proto.options)),
    ...messages
      .flatMap((message) => message.fields)
      .map((field) =>
        optionRows(`${name(field.parent)}.${field.name}`, FieldOptionsSchema, field.proto.options, {
          known: ["deprecated"],
          extensions: [field_behavior.number],
        }),
      ),
    ...enums.map((descriptor) => optionRows(name(descriptor), EnumOptionsSchema, descriptor.proto.options)),
    ...enums
      .flatMap((descriptor) => descriptor.values)
      .map((value) =>
        optionRows(`${name(value.parent)}.${value.name}`, EnumValueOptionsSchema, value.proto.options, {
          known: ["deprecated"],
        }),
      ),
    ...file.services.map((service) => optionRows(service.name, ServiceOptionsSchema, service.proto.options)),
    ...file.services
      .flatMap((service) => service.methods)
      .map((method) =>
        optionRows(`${method.parent.name}.${method.name}`, MethodOptionsSchema, method.proto.options, {
          extensions: [http.number, method_signature.number],
        }),
      ),
  ].flat();
  const rules = file.services
    .flatMap((service) => service.methods)
    .flatMap((method) => ruleRows(`${method.parent.name}.${method.name}`, getOption(method, http)));
  const extensions = [...file.extensions, ...messages.flatMap((message) => message.nestedExtensions)];
  return [
    ...options,
    ...rules,
    ...extensions.map((extension) => ["file", `extension ${extension.typeName}`]),
    ...messages
      .filter((message) => message.fields.length === 0)
      .map((message) => [name(message), "message without fields"]),
    ...file.services
      .filter((service) => service.methods.length === 0)
      .map((service) => [service.name, "service without rpcs"]),
  ];
}

/** The parts of an HTTP rule that have no column. A binding below a binding means nothing and is not allowed. */
function ruleRows(where: string, rule: HttpRule): Rows {
  return [rule, ...rule.additionalBindings].flatMap((binding) => [
    ...(binding.selector === "" ? [] : [[where, `selector ${binding.selector}`]]),
    ...(binding.responseBody === "" ? [] : [[where, `response body ${binding.responseBody}`]]),
    ...(binding === rule || binding.additionalBindings.length === 0 ? [] : [[where, "binding below a binding"]]),
  ]);
}

interface Allowed {
  readonly known?: readonly string[];
  /** Numbers of the custom options. */
  readonly extensions?: readonly number[];
  /** The set options are compared elsewhere; only custom ones count here. */
  readonly ignoreSet?: boolean;
}

function optionRows<T extends Message>(
  where: string,
  schema: GenMessage<T>,
  options: T | undefined,
  { known = [], extensions = [], ignoreSet = false }: Allowed = {},
): Rows {
  if (options === undefined) {
    return [];
  }
  const reflected = reflect(schema, options);
  const set = reflected.fields.filter((field) => !ignoreSet && reflected.isSet(field) && !known.includes(field.name));
  // Custom options are kept as unknown fields, one for each element of a list.
  const custom = new Set((options.$unknown ?? []).map(({ no }) => no).filter((number) => !extensions.includes(number)));
  return [
    ...set.map((field) => [where, `option ${field.name}`]),
    ...[...custom].map((number) => [where, `custom option ${number}`]),
  ];
}

function orNone(values: readonly string[]): string {
  return values.length === 0 ? "-" : values.join("; ");
}
