import { type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";

/**
 * Whether a protobuf message has more values than `valuesMax`. One pass over its bytes that makes no message of them,
 * and that ends at the first value too many. Bytes that are no message of the type are counted up to their fault.
 *
 * A value is a field as often as it is there, known or not, or one element of a packed field. An entry of a map is one
 * value, and so is a `google.protobuf.Value`, so that free JSON has as many values here as in JSON.
 */
export function hasMoreValues(schema: DescMessage, bytes: Uint8Array, valuesMax: number): boolean {
  const pass: Pass = { reader: new BinaryReader(bytes), left: valuesMax, level: 0 };
  try {
    passMessage(schema, pass, bytes.byteLength);
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

function passMessage(desc: DescMessage, pass: Pass, length: number): void {
  const { reader } = pass;
  if (++pass.level > levelsMax) throw new Error("Too many levels");
  const fields = fieldsOf(desc);
  const end = reader.pos + length;
  // The kind of a Value was counted with the Value.
  let isCounted = desc.typeName === "google.protobuf.Value";
  while (reader.pos < end) {
    const [number, wireType] = reader.tag();
    const field = fields.get(number);
    if (!isCounted) take(pass);
    isCounted = false;
    if (field === undefined) reader.skip(wireType, number, levelsMax - pass.level);
    else passField(field, wireType, pass);
  }
  pass.level--;
}

function take(pass: Pass): void {
  if (--pass.left < 0) throw new Error("Too many values");
}

function passField(field: DescField, wireType: WireType, pass: Pass): void {
  const { reader } = pass;
  if (field.fieldKind === "map") passEntry(field, pass);
  else if (field.message !== undefined) passMessage(field.message, pass, reader.uint32());
  else if (field.fieldKind === "list" && wireType === WireType.LengthDelimited && !isText(field.scalar)) {
    const end = reader.uint32() + reader.pos;
    while (reader.pos < end) {
      take(pass);
      passScalar(field.scalar, reader);
    }
  } else passScalar(field.scalar, reader);
}

function passEntry(field: DescField & { fieldKind: "map" }, pass: Pass): void {
  const { reader } = pass;
  const length = reader.uint32();
  const end = reader.pos + length;
  // Key and value belong to the entry. What is there more often is counted.
  for (let free = 2; reader.pos < end; free--) {
    const [number, wireType] = reader.tag();
    if (free <= 0) take(pass);
    if (number === 1) passScalar(field.mapKey, reader);
    else if (number !== 2) reader.skip(wireType, number, levelsMax - pass.level);
    else if (field.mapKind === "message") passMessage(field.message, pass, reader.uint32());
    else passScalar(field.scalar, reader);
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
