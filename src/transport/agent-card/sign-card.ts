import { create, type JsonObject, type JsonValue } from "@bufbuild/protobuf";
import canonicalize from "canonicalize";
import { FlattenedSign } from "jose";
import { type AgentCardSignature, AgentCardSignatureSchema } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import type { CardKey } from "./card-key.ts";

/**
 * A signature of a card's JSON with each key (R156): a JWS over its canonical form without signatures, detached (R157,
 * R158). What A2A's JSON has of a card is what §8.4.1 wants to be signed: REQUIRED fields always, optional ones that
 * are set, nothing else at its default.
 *
 * @param keysUrl where verifiers find the public keys (`jku`).
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

/** What signatures cover: JCS (RFC 8785) of the card without them. */
function canonicalCard({ signatures: _, ...signed }: JsonObject): string {
  const text = canonicalize(signed);
  if (text === undefined) throw new Error("A card has no canonical form");
  return text;
}

/**
 * Where a card holds what readers of §8.4 leave out or keep as each understands it: empty texts, lists and objects, and
 * null (trap 28). A complete card has none of its own making; its author's OAuth scopes and extension parameters may be
 * empty. Verifiers may refuse the signature of such a card.
 */
export function contestedPaths(json: JsonValue, path = ""): readonly string[] {
  if (json === null || json === "") return [path];
  if (typeof json !== "object") return [];
  const members = Object.entries(json);
  if (members.length === 0) return [path];
  return members.flatMap(([name, value]) => contestedPaths(value as JsonValue, path === "" ? name : `${path}.${name}`));
}
