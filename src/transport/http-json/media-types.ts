import Negotiator from "negotiator";
import type { NodeRequest } from "../listener/request-handler.ts";

/** A2A's own type, which is the default, and plain JSON, which many clients send and accept. */
export const jsonTypes = ["application/a2a+json", "application/json"] as const;
export type JsonType = (typeof jsonTypes)[number];
export const eventStreamType = "text/event-stream";

/** Whether the Content-Type says JSON in UTF-8. */
export function isJsonBody({ headers }: NodeRequest): boolean {
  if (headers["content-type"] === "application/json") return true;
  const [type = "", ...parameters] = (headers["content-type"] ?? "").toLowerCase().split(";");
  const charset = parameters.map((parameter) => parameter.trim()).find((parameter) => parameter.startsWith("charset="));
  return isJsonType(type.trim()) && (charset === undefined || /^charset="?utf-?8"?$/.test(charset));
}

/**
 * The type of a JSON answer: the one that Accept prefers, else that of the request's body, else A2A's. Undefined if
 * Accept excludes both. A request for a stream may accept event streams only: its refusal is JSON nevertheless.
 */
export function answerType({ headers }: NodeRequest, isStream: boolean): JsonType | undefined {
  const given = bareType(headers["content-type"]?.toLowerCase());
  const standard = isJsonType(given) ? given : jsonTypes[0];
  // As nearly all requests are: an empty header excludes nothing either.
  if (!headers.accept || headers.accept === "*/*") return standard;
  const types = [standard, ...jsonTypes.filter((type) => type !== standard), ...(isStream ? [eventStreamType] : [])];
  // If Accept has no preference, as with `*/*`, the first of the list wins. JSON has no charset, but clients ask for
  // one.
  const available = types.flatMap((type) => [type, `${type};charset=utf-8`]);
  const accepted = new Negotiator({ headers: { accept: headers.accept } }).mediaTypes(available).map(bareType);
  if (accepted.length === 0) return undefined;
  return accepted.find(isJsonType) ?? standard;
}

/** Whether Accept includes event streams and no JSON. */
export function acceptsEventsOnly({ headers: { accept } }: NodeRequest): boolean {
  if (accept === undefined || !accept.includes(eventStreamType)) return false;
  const accepted = new Negotiator({ headers: { accept } }).mediaTypes([...jsonTypes, eventStreamType]);
  return accepted.length === 1 && accepted[0] === eventStreamType;
}

/** Without its parameters. */
function bareType(type = ""): string {
  return type.split(";", 1)[0]?.trim() ?? "";
}

function isJsonType(type: string): type is JsonType {
  return (jsonTypes as readonly string[]).includes(type);
}
