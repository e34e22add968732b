import { type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { freeNamesBytes, IndexNames, NameCosts, objectCost } from "../request-bounds/name-costs.ts";

/**
 * Whether a protobuf message has more values than `valuesMax`. One pass over its bytes that makes no message of them,
 * and that ends at the first value too many. Bytes that are no message of the type are counted up to their fault.
 *
 * A value is a field as often as it is there, known or not, or one element of a packed field. An entry of a map is one
 * value, and so is a `google.protobuf.Value`, so that free JSON has as many values here as in JSON. Names count by
 * their costs.
 *
 * A Struct that is there again is merged with what came before, and the library converts all of that each time. So it
 * counts again too.
 */
export function hasMoreValues(schema: DescMessage, bytes: Uint8Array, valuesMax: number): boolean {
  const pass: Pass = {
    reader: new BinaryReader(bytes),
    left: valuesMax,
    level: 0,
    costs: bytes.byteLength > freeNamesBytes ? new NameCosts() : undefined,
    structValues: 0,
  };
  try {
    passMessage(schema, pass, bytes.byteLength, false);
    return false;
  } catch {
    // The reader throws at the end of the bytes, and so does decoding them.
    return pass.left < 0;
  }
}

/** Nested messages that are looked at: the library decodes no more. */
const levelsMax = 100;

/** Reads by the types of the fields, as the library does: it ignores the wire type of a known field. */
interface Pass {
  readonly reader: BinaryReader;
  /** Values that may still come. */
  left: number;
  level: number;
  /** Undefined if names cost nothing. */
  readonly costs: NameCosts | undefined;
  /** Values in Structs so far. */
  structValues: number;
}

const fieldsByNumber = new WeakMap<DescMessage, ReadonlyMap<number, DescField>>();

function fieldsOf(desc: DescMessage): ReadonlyMap<number, DescField> {
  let fields = fieldsByNumber.get(desc);
  if (fields === undefined) {
    fields = new Map(desc.fields.map((field) => [field.number, field]));
    fieldsByNumber.set(desc, fields);
  }
  return fields;
}

/** `merged`: the same message was there before, and the two become one. */
function passMessage(desc: DescMessage, pass: Pass, length: number, merged: boolean): void {
  const { reader } = pass;
  if (++pass.level > levelsMax) throw new Error("Too many levels");
  if (pass.costs !== undefined && desc.typeName === "google.protobuf.Struct") take(pass, objectCost);
  const fields = fieldsOf(desc);
  const end = reader.pos + length;
  // The kind of a Value was counted with the Value.
  let isCounted = desc.typeName === "google.protobuf.Value";
  let messages: Set<DescField> | undefined;
  let names: Names | undefined;
  while (reader.pos < end) {
    const [number, wireType] = reader.tag();
    const field = fields.get(number);
    if (!isCounted) take(pass);
    isCounted = false;
    if (field === undefined) skip(wireType, number, pass);
    else if (field.fieldKind === "map") {
      if (pass.costs !== undefined) names ??= { costs: pass.costs, count: 0, indexes: new IndexNames() };
      passEntry(field, pass, names);
    } else if (field.fieldKind === "message") {
      messages ??= new Set();
      passMessageField(field, pass, merged || messages.has(field));
      messages.add(field);
    } else if (field.message !== undefined) passMessage(field.message, pass, reader.uint32(), false);
    else passScalars(field, wireType, pass);
  }
  if (names !== undefined) take(pass, names.indexes.cost(merged));
  pass.level--;
}

/** The names of the entries of a message's maps. */
interface Names {
  readonly costs: NameCosts;
  count: number;
  readonly indexes: IndexNames;
}

function take(pass: Pass, values = 1): void {
  pass.left -= values;
  if (pass.left < 0) throw new Error("Too many values");
}

function passMessageField(
  { message, parent }: DescField & { fieldKind: "message" },
  pass: Pass,
  merged: boolean,
): void {
  const length = pass.reader.uint32();
  // In a Value it is no JSON object but a message, which needs no conversion.
  const isConverted = message.typeName === "google.protobuf.Struct" && parent.typeName !== "google.protobuf.Value";
  if (isConverted && merged) take(pass, pass.structValues);
  const before = pass.left;
  passMessage(message, pass, length, merged);
  if (isConverted) pass.structValues += before - pass.left;
}

/** Skips an unknown field. What a group contains counts: the library looks at all of it. */
function skip(wireType: WireType, number: number, pass: Pass): void {
  const { reader } = pass;
  if (wireType !== WireType.StartGroup) {
    reader.skip(wireType, number);
    return;
  }
  if (++pass.level > levelsMax) throw new Error("Too many levels");
  for (;;) {
    const [inner, innerType] = reader.tag();
    if (innerType === WireType.EndGroup) break;
    take(pass);
    skip(innerType, inner, pass);
  }
  pass.level--;
}

function passScalars(field: DescField, wireType: WireType, pass: Pass): void {
  const { reader } = pass;
  if (field.fieldKind === "list" && wireType === WireType.LengthDelimited && !isText(field.scalar)) {
    const end = reader.uint32() + reader.pos;
    while (reader.pos < end) {
      take(pass);
      passScalar(field.scalar, reader);
    }
  } else passScalar(field.scalar, reader);
}

function passEntry(field: DescField & { fieldKind: "map" }, pass: Pass, names: Names | undefined): void {
  const { reader } = pass;
  const length = reader.uint32();
  const end = reader.pos + length;
  let hasValue = false;
  // Key and value belong to the entry. What is there more often is counted.
  for (let free = 2; reader.pos < end; free--) {
    const [number, wireType] = reader.tag();
    if (free <= 0) take(pass);
    if (number === 1 && names !== undefined && field.mapKey === ScalarType.STRING) {
      const name = reader.string();
      take(pass, names.costs.of(name, names.count++));
      names.indexes.add(name);
    } else if (number === 1) passScalar(field.mapKey, reader);
    else if (number !== 2) skip(wireType, number, pass);
    else if (field.mapKind === "message") {
      passMessage(field.message, pass, reader.uint32(), hasValue);
      hasValue = true;
    } else passScalar(field.scalar, reader);
  }
}

function isText(scalar: ScalarType | undefined): boolean {
  return scalar === ScalarType.STRING || scalar === ScalarType.BYTES;
}

/** Enums have no scalar type: they are written as a varint. */
function passScalar(scalar: ScalarType | undefined, reader: BinaryReader): void {
  switch (scalar) {
    case ScalarType.STRING:
    case ScalarType.BYTES:
      reader.skip(WireType.LengthDelimited);
      return;
    case ScalarType.DOUBLE:
    case ScalarType.FIXED64:
    case ScalarType.SFIXED64:
      reader.skip(WireType.Bit64);
      return;
    case ScalarType.FLOAT:
    case ScalarType.FIXED32:
    case ScalarType.SFIXED32:
      reader.skip(WireType.Bit32);
      return;
    default:
      reader.skip(WireType.Varint);
  }
}
