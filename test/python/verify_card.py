"""Verifies agent cards by programs that share nothing with ours: reads {"card": text, "keys": {kid: JWK}}, prints what each verifier found.

"sdk" is the verdict of the A2A project's own SDK, which parses the card and makes its canonical form anew: valid if one signature is. "each" holds a verdict for each
signature over the card's bytes as they were served, less the signatures, in the canonical form of another implementation of RFC 8785. "unknown" says whether the card has
members that version 1.0 doesn't know.
"""

import json
import sys

import jwt
import rfc8785
from a2a.types import AgentCard
from a2a.utils.signing import SignatureVerificationError, create_signature_verifier
from google.protobuf.json_format import Parse, ParseError
from jwt.api_jwk import PyJWK
from jwt.utils import base64url_decode, base64url_encode

algorithms = ["ES256", "ES384", "ES512", "EdDSA", "RS256"]
asked = json.load(sys.stdin)
keys = {kid: PyJWK.from_dict(jwk) for kid, jwk in asked["keys"].items()}


def by_sdk(text):
    card = Parse(text, AgentCard(), ignore_unknown_fields=True)

    def key_of(kid, _jku):
        if kid not in keys:
            raise jwt.exceptions.PyJWTError("unknown key")
        return keys[kid]

    try:
        create_signature_verifier(key_of, algorithms)(card)
    except SignatureVerificationError as error:
        return type(error).__name__
    return "valid"


def has_unknown_members(text):
    try:
        Parse(text, AgentCard())
    except ParseError:
        return True
    return False


def by_bytes(text):
    card = json.loads(text)
    payload = base64url_encode(rfc8785.dumps({name: value for name, value in card.items() if name != "signatures"}))
    verdicts = []
    for signature in card.get("signatures", []):
        header = json.loads(base64url_decode(signature["protected"]))
        token = b".".join([signature["protected"].encode(), payload, signature["signature"].encode()])
        try:
            jwt.api_jws.decode(token, keys[header["kid"]], algorithms=[header["alg"]])
            verdict = "valid"
        except (KeyError, jwt.exceptions.PyJWTError) as error:
            verdict = type(error).__name__
        verdicts.append({"header": header, "verdict": verdict})
    return verdicts


card_text = asked["card"]
json.dump({"sdk": by_sdk(card_text), "each": by_bytes(card_text), "unknown": has_unknown_members(card_text)}, sys.stdout)
