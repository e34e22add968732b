import { type DescMessage, type Message, toBinary } from "@bufbuild/protobuf";
import type { Exchange } from "../calls/exchange.ts";
import { partBytesMax } from "../load/load-limits.ts";
import { binaryPieces, jsonPieces } from "./answer-pieces.ts";
import type { Pieces } from "./task-lists.ts";

/** The room of an exchange that its answers take. */
type AnswerPlace = Pick<Exchange, "isLarge" | "countMade" | "roomFor">;

/** Whether a message exists only for its answer, or is an event of a log, which stays there while its answer waits. */
export type AnswerKind = "unary" | "event";

/**
 * A message in protobuf: at once if it is small, else in pieces once there is room for them. The pieces hold room until
 * `releaseTaken` of their exchange.
 */
export function binaryAnswer(
  exchange: AnswerPlace,
  schema: DescMessage,
  message: Message,
  kind: AnswerKind,
): Uint8Array | Promise<Pieces> {
  if (exchange.isLarge) return binaryPieces(schema, message, exchange.countMade);
  const bytes = toBinary(schema, message);
  return bytes.byteLength <= partBytesMax ? bytes : alone(exchange, bytes, () => toBinary(schema, message), kind);
}

/** The same in JSON. `write` makes the text of a message with all that stands around it. */
export function jsonAnswer(
  exchange: AnswerPlace,
  message: Message,
  write: (message: Message) => string,
  kind: AnswerKind,
): string | Promise<Pieces> {
  if (exchange.isLarge) return jsonPieces(message, write, exchange.countMade);
  const text = write(message);
  // At most three bytes for each unit of a text.
  if (text.length * 3 <= partBytesMax || Buffer.byteLength(text) <= partBytesMax) return text;
  return alone(exchange, Buffer.from(text), () => Buffer.from(write(message)), kind);
}

/** Keeps no hold of `made` while it waits. */
function alone(exchange: AnswerPlace, made: Uint8Array, encode: () => Uint8Array, kind: AnswerKind): Promise<Pieces> {
  const room = exchange.roomFor(made, encode, kind === "unary" ? made.byteLength : 0);
  return Promise.resolve(room).then(asPieces);
}

function asPieces(bytes: Uint8Array): Pieces {
  return { pieces: [bytes], bytes: bytes.byteLength };
}
