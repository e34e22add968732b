import type { AgentExtension } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { TaskError } from "../../domain/task-error.ts";

/**
 * The header and the gRPC metadata in which a client lists the extensions that it supports, and the server those that
 * it activated (R143, R145).
 */
export const extensionsParameter = "A2A-Extensions";

const none: ReadonlySet<string> = new Set();

/** The URIs that a request lists, in several lines or with commas between, each once. */
export function requestedExtensions(header: Pick<Headers, "get">): ReadonlySet<string> {
  const listed = header.get(extensionsParameter);
  if (listed === null) return none;
  return new Set(
    listed
      .split(",")
      .map((uri) => uri.trim())
      .filter((uri) => uri !== ""),
  );
}

/**
 * The active extensions: the requested ones that the card declares. URIs compare exactly, so another version of an
 * extension is another extension; others are ignored (R146). Throws TaskError EXTENSION_SUPPORT_REQUIRED if the card
 * requires an extension that isn't requested (R10).
 */
export function activeExtensions(
  declared: readonly AgentExtension[],
  requested: ReadonlySet<string>,
): ReadonlySet<string> {
  if (requested.size === 0 && !declared.some(({ required }) => required)) return none;
  const missing = declared.filter(({ uri, required }) => required && !requested.has(uri)).map(({ uri }) => uri);
  if (missing.length > 0) {
    const list = missing.join(", ");
    throw new TaskError(
      "EXTENSION_SUPPORT_REQUIRED",
      `This agent requires extensions that ${extensionsParameter} doesn't name: ${list}`,
      {
        metadata: { requiredExtensions: list },
      },
    );
  }
  return new Set(declared.map(({ uri }) => uri).filter((uri) => requested.has(uri)));
}
