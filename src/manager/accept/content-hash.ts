import { hash } from "node:crypto";
import { create, toBinary, toJson } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import { type Message, MessageSchema } from "../../../gen/lf/a2a/v1/a2a_pb.ts";

/**
 * The SHA-256 of a message's encoding, in hexadecimal. Two sends with the same hash are the same message. protobuf-es
 * writes fields in the order of their numbers, so a message has the same bytes over every binding. The members of JSON
 * objects have no order on the wire, and Go clients change it from send to send, so they are hashed in sorted order.
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
