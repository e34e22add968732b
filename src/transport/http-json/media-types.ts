import Negotiator from "negotiator";
import type { Request } from "../request-handler.ts";

/** A2A's own type, the default, and plain JSON (trap 4). */
export const jsonTypes = ["application/a2a+json", "application/json"] as const;
export type JsonType = (typeof jsonTypes)[number];
export const eventStreamType = "text/event-stream";

/** Whether a body is JSON in UTF-8 by its Content-Type. */
export function isJsonBody({ headers }: Request): boolean {
  const [type = "", ...parameters] = (headers["content-type"] ?? "").toLowerCase().split(";");
  const charset = parameters.map((parameter) => parameter.trim()).find((parameter) => parameter.startsWith("charset="));
  return isJsonType(type.trim()) && (charset === undefined || /^charset="?utf-?8"?$/.test(charset));
}

/**
 * The type of a JSON answer: what Accept prefers, else that of the request's body, else A2A's. Undefined if Accept excludes both. Whoever asks for a stream may accept
 * nothing else, and gets its refusal in JSON all the same.
 */
export function answerType({ headers }: Request, isStream: boolean): JsonType | undefined {
  const [given = ""] = (headers["content-type"] ?? "").toLowerCase().split(";");
  const standard = isJsonType(given.trim()) ? given.trim() : jsonTypes[0];
  // The first of the list wins where Accept doesn't say, as with `*/*`.
  const available = [standard, ...jsonTypes.filter((type) => type !== standard), ...(isStream ? [eventStreamType] : [])];
  const accepted = new Negotiator({ headers: { ...(headers.accept !== undefined && { accept: headers.accept }) } }).mediaTypes(available);
  if (accepted.length === 0) return undefined;
  return accepted.find(isJsonType) ?? jsonTypes[0];
}

function isJsonType(type: string): type is JsonType {
  return (jsonTypes as readonly string[]).includes(type);
}
