import type { JsonObject } from "@bufbuild/protobuf";
import { type AgentCard, AgentCardSchema } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { toA2AJson } from "../proto-json/write-json.ts";

/** A card as A2A's JSON: REQUIRED fields are always there, others only if they are set (R118). */
export function cardJson(card: AgentCard): JsonObject {
  return toA2AJson(AgentCardSchema, card) as JsonObject;
}
