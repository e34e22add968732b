import { createPrivateKey, createPublicKey, type KeyObject } from "node:crypto";
import { calculateJwkThumbprint, FlattenedSign } from "jose";
import { invalidRequest } from "../../domain/task-error.ts";

/** A private key that signs cards, as configured. */
export interface CardKeyText {
  /** PEM (PKCS#8), or a JWK as JSON. EC on P-256, P-384 or P-521, Ed25519, or RSA from 2048 bits. */
  readonly key: string;
  /** The id of the key for verifiers. Default: the JWK's own, else the thumbprint of the key (RFC 7638). */
  readonly kid?: string;
}

/** A key that can sign. No log has it: only its id is shown. */
export interface CardKey {
  readonly key: KeyObject;
  readonly kid: string;
  readonly alg: string;
}

/**
 * Reads a key and signs with it once. Throws TaskError INVALID_REQUEST for an unusable key. No error has the key's text
 * or a parser's message, since parsers quote their input. `field` names the setting in the error.
 */
export async function readCardKey({ key: text, kid }: CardKeyText, field: string): Promise<CardKey> {
  const unusable = (description: string) => invalidRequest([{ field, description }]);
  const parsed = parse(text);
  if (parsed === undefined) throw unusable("must be a private key without a passphrase, PEM (PKCS#8) or JWK");
  const { key, ownKid } = parsed;
  const alg = algorithmOf(key);
  if (alg === undefined) throw unusable("must be EC on P-256, P-384 or P-521, Ed25519, or RSA");
  try {
    await new FlattenedSign(new Uint8Array()).setProtectedHeader({ alg }).sign(key);
  } catch {
    throw unusable(`can't sign with ${alg}; RSA needs 2048 bits`);
  }
  const publicJwk = createPublicKey(key).export({ format: "jwk" });
  return {
    key,
    alg,
    kid: kid ?? ownKid ?? (await calculateJwkThumbprint(publicJwk as Parameters<typeof calculateJwkThumbprint>[0])),
  };
}

function parse(text: string): { readonly key: KeyObject; readonly ownKid?: string } | undefined {
  try {
    if (!text.trimStart().startsWith("{")) return { key: createPrivateKey(text) };
    const jwk = JSON.parse(text) as { readonly kid?: unknown };
    return {
      key: createPrivateKey({ key: jwk as never, format: "jwk" }),
      ...(typeof jwk.kid === "string" && jwk.kid !== "" && { ownKid: jwk.kid }),
    };
  } catch {
    return undefined;
  }
}

function algorithmOf({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): string | undefined {
  switch (asymmetricKeyType) {
    case "ec":
      return { prime256v1: "ES256", secp384r1: "ES384", secp521r1: "ES512" }[asymmetricKeyDetails?.namedCurve ?? ""];
    case "ed25519":
      return "EdDSA";
    case "rsa":
      return "RS256";
    default:
      return undefined;
  }
}
