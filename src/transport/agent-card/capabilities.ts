import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type AgentCardSchema, type AgentExtension, AgentExtensionSchema } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { eventSequence } from "../calls/event-sequence.ts";

/** A card as an agent's author writes it. Missing members are filled in when it is published. */
export type AgentCardInit = MessageInitShape<typeof AgentCardSchema>;

/** What the published card declares. Calls of other features are rejected (R7–R10). */
export interface Capabilities {
  readonly streaming: boolean;
  readonly pushNotifications: boolean;
  readonly extendedAgentCard: boolean;
  /** The author's, then the server's own. */
  readonly extensions: readonly AgentExtension[];
}

/** Extensions of the server, for every agent. */
const ownExtensions = [eventSequence];

/**
 * The capabilities of a card, completed: streaming unless the author turns it off, and an extended card if one is
 * configured. Push notifications don't exist yet.
 */
export function capabilitiesOf(card: AgentCardInit | undefined, hasExtendedCard: boolean): Capabilities {
  const declared = card?.capabilities;
  const extensions = [...(declared?.extensions ?? [])];
  for (const own of ownExtensions) if (!extensions.some(({ uri }) => uri === own.uri)) extensions.push(own);
  return {
    streaming: declared?.streaming ?? true,
    pushNotifications: false,
    extendedAgentCard: declared?.extendedAgentCard ?? hasExtendedCard,
    extensions: extensions.map((extension) => create(AgentExtensionSchema, extension)),
  };
}
