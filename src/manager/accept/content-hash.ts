import { hash } from "node:crypto";
import { create, toBinary, toJson } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import { type Message, MessageSchema } from "../../../gen/lf/a2a/v1/a2a_pb.ts";

/**
 * What makes two sends the same message: SHA-256 of its encoding, hexadecimal. protobuf-es writes fields in the order
 * of their numbers, so the same message gives the same bytes, over any binding. JSON objects are maps on the wire,
 * whose members have no order, and some clients (Go's) write them in another one each time: they are hashed with sorted
 * members.
 */
export function contentHash(message: Message, encoded: Uint8Array): string {
  if (!holdsJson(message)) return hash("sha256", encoded, "hex");
  const { metadata: _, ...rest } = { ...message, parts: message.parts.map(withoutJson) };
  const json = [
    message.metadata,
    ...message.parts.flatMap(({ metadata, content }) => [
      metadata,
      content.case === "data" && toJson(ValueSchema, content.value),
    ]),
  ];
  return hash(
    "sha256",
    Buffer.concat([toBinary(MessageSchema, rest), Buffer.from(JSON.stringify(json, sortMembers))]),
    "hex",
  );
}

function holdsJson({ metadata, parts }: Message): boolean {
  return metadata !== undefined || parts.some((part) => part.metadata !== undefined || part.content.case === "data");
}

type Part = Message["parts"][number];

function withoutJson({ metadata: _, ...part }: Part): Part {
  return part.content.case === "data" ? { ...part, content: { case: "data", value: create(ValueSchema) } } : part;
}

function sortMembers(_name: string, value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}
