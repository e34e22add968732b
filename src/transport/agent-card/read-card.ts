import { fromJson, type JsonValue } from "@bufbuild/protobuf";
import { type AgentCard, AgentCardSchema } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { invalidRequest, TaskError } from "../../domain/task-error.ts";
import { jsonFaults } from "../proto-json/json-faults.ts";

/**
 * A card from the JSON that its author wrote, still to be completed. Stricter than for requests: a member that a card
 * doesn't have is mostly a typing error. Throws TaskError INVALID_REQUEST that names every fault by its path in the
 * file.
 */
export function readCard(text: string): AgentCard {
  let json: JsonValue;
  try {
    json = JSON.parse(text);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new TaskError("INVALID_REQUEST", `The card is not valid JSON: ${reason}`, { cause: error });
  }
  const faults = jsonFaults(AgentCardSchema, json, { unknown: true, asWritten: true });
  if (faults.length > 0)
    throw invalidRequest(faults.map(({ field, description }) => ({ field: field || "card", description })));
  return fromJson(AgentCardSchema, json);
}
