import { create, type JsonObject, type JsonValue } from "@bufbuild/protobuf";
import canonicalize from "canonicalize";
import { FlattenedSign } from "jose";
import { type AgentCardSignature, AgentCardSignatureSchema } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import type { CardKey } from "./card-key.ts";

/**
 * One signature of a card's JSON for each key (R156): a detached JWS over the canonical form without signatures (R157,
 * R158). A2A's JSON of a card has the fields that §8.4.1 signs: all REQUIRED ones, and optional ones that are set.
 *
 * @param keysUrl the URL of the public keys for verifiers (`jku`).
 */
export async function signaturesOf(
  card: JsonObject,
  keys: readonly CardKey[],
  keysUrl: URL | undefined,
): Promise<AgentCardSignature[]> {
  const payload = new TextEncoder().encode(canonicalCard(card));
  return Promise.all(
    keys.map(async ({ key, alg, kid }) => {
      const header = { alg, kid, typ: "JOSE", ...(keysUrl && { jku: keysUrl.href }) };
      const { protected: protectedHeader = "", signature } = await new FlattenedSign(payload)
        .setProtectedHeader(header)
        .sign(key);
      return create(AgentCardSignatureSchema, { protected: protectedHeader, signature });
    }),
  );
}

/** The text that signatures cover: JCS (RFC 8785) of the card without signatures. */
function canonicalCard({ signatures: _, ...signed }: JsonObject): string {
  const text = canonicalize(signed);
  if (text === undefined) throw new Error("The agent card cannot be written as canonical JSON");
  return text;
}

/**
 * The paths of empty strings, arrays, objects and nulls in a card. Verifiers differ on whether §8.4 signs them, so some
 * reject the signature of such a card. A completed card has them only if its author wrote them: empty OAuth scopes or
 * extension parameters.
 */
export function contestedPaths(json: JsonValue, path = ""): readonly string[] {
  if (json === null || json === "") return [path];
  if (typeof json !== "object") return [];
  const members = Object.entries(json);
  if (members.length === 0) return [path];
  return members.flatMap(([name, value]) => contestedPaths(value as JsonValue, path === "" ? name : `${path}.${name}`));
}
