import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ArtifactSchema, MessageSchema, PartSchema } from "../../gen/lf/a2a/v1/a2a_pb.ts";
import { jsonOf, protoValue } from "./json-of.ts";
import type { ArtifactInit, MessageInit, PartInit, PlainPart } from "./processor-event.ts";
import { invalidAgentResponse } from "./task-error.ts";

type ProtoPart = MessageInitShape<typeof PartSchema>;

/**
 * The init with its parts as the generated code has them; the same object if they are so already. Throws TaskError
 * INVALID_AGENT_RESPONSE for a plain part with more than one content, or with data that JSON cannot hold.
 */
export function withProtoParts(init: MessageInit): MessageInitShape<typeof MessageSchema>;
export function withProtoParts(init: ArtifactInit): MessageInitShape<typeof ArtifactSchema>;
export function withProtoParts(init: { readonly parts?: readonly PartInit[] }): object {
  const { parts } = init;
  return parts === undefined || parts.every(isProto) ? init : { ...init, parts: parts.map(protoPart) };
}

function isProto(part: PartInit): part is ProtoPart {
  return !("text" in part || "data" in part || "raw" in part || "url" in part);
}

/** A part as the generated code has it. Throws as `withProtoParts` does. */
export function protoPart(part: PartInit): ProtoPart {
  if (isProto(part)) return part;
  const { text, data, raw, url, ...details } = part;
  const given = [text, data, raw, url].filter((content) => content !== undefined).length;
  if (given !== 1) throw invalidAgentResponse(`a part has one of text, data, raw and url, not ${given} of them`);
  return { ...details, content: contentOf(part) };
}

function contentOf({ text, data, raw, url }: PlainPart): NonNullable<ProtoPart["content"]> {
  if (text !== undefined) return { case: "text", value: text };
  if (raw !== undefined) return { case: "raw", value: raw };
  if (url !== undefined) return { case: "url", value: url };
  return { case: "data", value: protoValue(jsonOf(data, "the data of a part")) };
}
