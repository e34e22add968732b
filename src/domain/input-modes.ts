import type { MessageInitShape } from "@bufbuild/protobuf";
import type { AgentCardSchema, Message } from "../../gen/lf/a2a/v1/a2a_pb.ts";
import { TaskError } from "./task-error.ts";

/**
 * Refuses a part whose media type the agent doesn't take (R24): neither its card's default input modes nor any skill's.
 * A card without default modes takes everything, whatever its skills name: so it says once it is published. A part that
 * doesn't say what it is is taken by every agent.
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

/**
 * A media type without parameters, in lower case: types compare case-insensitively, and parameters don't choose between
 * agents.
 */
function normalized(mediaType: string): string {
  return (mediaType.split(";")[0] ?? "").trim().toLowerCase();
}

function covers(mode: string, mediaType: string): boolean {
  return mode === "*/*" || mode === mediaType || (mode.endsWith("/*") && mediaType.startsWith(mode.slice(0, -1)));
}
