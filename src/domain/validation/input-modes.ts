import type { MessageInitShape } from "@bufbuild/protobuf";
import type { AgentCardSchema, Message } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { TaskError } from "../task-error.ts";

/**
 * Refuses a part whose media type is neither in the card's default input modes nor in those of a skill (R24). A card
 * without default modes accepts everything, as the published card states. A part without a media type is accepted by
 * every agent.
 */
export function checkInputModes(message: Message, card: MessageInitShape<typeof AgentCardSchema> | undefined): void {
  const defaults = card?.defaultInputModes ?? [];
  if (defaults.length === 0) return;
  const modes = [...defaults, ...(card?.skills ?? []).flatMap((skill) => skill.inputModes ?? [])].map(normalized);
  for (const [index, part] of message.parts.entries()) {
    if (part.mediaType === "" || modes.some((mode) => covers(mode, normalized(part.mediaType)))) continue;
    throw new TaskError(
      "CONTENT_TYPE_NOT_SUPPORTED",
      `message.parts[${index}].media_type: "${part.mediaType}" is not among ${modes.join(", ")}`,
      {
        metadata: { mediaType: part.mediaType },
      },
    );
  }
}

/** A media type in lower case, without parameters: media types ignore case, and parameters do not matter here. */
function normalized(mediaType: string): string {
  return (mediaType.split(";")[0] ?? "").trim().toLowerCase();
}

function covers(mode: string, mediaType: string): boolean {
  return mode === "*/*" || mode === mediaType || (mode.endsWith("/*") && mediaType.startsWith(mode.slice(0, -1)));
}
