import { spawnSync } from "node:child_process";
import { createPublicKey, generateKeyPairSync, type KeyObject } from "node:crypto";
import { join } from "node:path";
import { inspect } from "node:util";
import { verifyAgentCardSignature } from "@a2a-js/sdk";
import { describe, expect, test, vi } from "vitest";
import { demoProcessor } from "../../../src/agent/demo-processor.ts";
import type { ServerOptions } from "../../../src/server/server-options.ts";
import type { AgentCardInit } from "../../../src/transport/agent-card/capabilities.ts";
import { readCardKey } from "../../../src/transport/agent-card/card-key.ts";
import { bindings } from "../../e2e/bindings.ts";
import { served } from "../../e2e/served.ts";
import { pythonPackages } from "../../python/packages.ts";

const generated = {
  ec256: generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey,
  ec384: generateKeyPairSync("ec", { namedCurve: "P-384" }).privateKey,
  ed25519: generateKeyPairSync("ed25519").privateKey,
  rsa: generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey,
};
const pem = (key: KeyObject) => key.export({ type: "pkcs8", format: "pem" }) as string;
const publicJwk = (key: KeyObject) => createPublicKey(key).export({ format: "jwk" });

/** Served once with these options to a client that names its version, or not; its text as it came. */
async function servedCard(
  options: Omit<ServerOptions, "storage" | "listener" | "processor">,
  headers: HeadersInit = { "A2A-Version": "1.0" },
): Promise<string> {
  await using server = await served({ processor: demoProcessor, ...options });
  return (await fetch(new URL("/.well-known/agent-card.json", server.url), { headers })).text();
}

interface Verdicts {
  readonly sdk: string;
  readonly unknown: boolean;
  readonly each: readonly { readonly header: object; readonly verdict: string }[];
}

async function verified(card: string, keys: Readonly<Record<string, KeyObject>>): Promise<Verdicts> {
  const publicKeys = Object.fromEntries(Object.entries(keys).map(([kid, key]) => [kid, publicJwk(key)]));
  // Without the machine's own packages, so that what verifies is what is listed.
  const env = { ...process.env, PYTHONPATH: await pythonPackages("card-verifiers.txt"), PYTHONDONTWRITEBYTECODE: "1" };
  const script = join(import.meta.dirname, "../../python/verify_card.py");
  const input = JSON.stringify({ card, keys: publicKeys });
  const { stdout, stderr, status } = spawnSync("python3", ["-S", script], {
    env,
    input,
    encoding: "utf8",
    timeout: 60_000,
  });
  if (status !== 0) throw new Error(`verify_card.py ended with ${status}: ${stderr}`);
  return JSON.parse(stdout);
}

/** What JCS is more than sorted keys for: order by UTF-16, escapes, numbers, and optional members of every kind. */
const awkward: AgentCardInit = {
  name: 'Ünïcode \u{1F600} \u2028 "quoted" \\ \u0007',
  description: "é and e\u0301 aren't the same",
  provider: { url: "https://example.org", organization: "Example" },
  documentationUrl: "https://example.org/docs?a=1&b=<2>",
  capabilities: {
    streaming: false,
    pushNotifications: false,
    extensions: [
      {
        uri: "urn:example:numbers:v1",
        required: true,
        params: {
          "\u{1F600}": 1e21,
          "\ufb33": -0.5,
          big: 9007199254740991,
          small: 1e-7,
          ten: 10.0,
          nested: [true, false, { z: 1, a: [1.5] }],
        },
      },
    ],
  },
  securitySchemes: { b: { scheme: { case: "apiKeySecurityScheme", value: { location: "header", name: "X-Key" } } } },
  skills: [{ id: "s", name: "s", description: "s", tags: ["t"], examples: ["e"], inputModes: ["text/plain"] }],
};

describe("a signed card is verified by programs that share nothing with ours", () => {
  test.each(Object.entries(generated))("by a key of the kind %s (R156–R159)", async (kid, key) => {
    const card = await servedCard({ card: { keys: [{ key: pem(key), kid }] } });
    const { sdk, each, unknown } = await verified(card, { [kid]: key });
    expect(unknown).toBe(false);
    const alg = { ec256: "ES256", ec384: "ES384", ed25519: "EdDSA", rsa: "RS256" }[kid];
    expect([sdk, each]).toEqual(["valid", [{ header: { alg, kid, typ: "JOSE" }, verdict: "valid" }]]);
  });

  test("by either of two keys while one takes the place of the other; jku says where they are", async () => {
    const { ec256, ed25519 } = generated;
    const cardKeysUrl = new URL("https://example.org/keys.json");
    const card = await servedCard({
      card: {
        keys: [
          { key: pem(ec256), kid: "old" },
          { key: pem(ed25519), kid: "new" },
        ],
        keysUrl: cardKeysUrl,
      },
    });
    for (const keys of [{ old: ec256 }, { new: ed25519 }]) expect((await verified(card, keys)).sdk).toBe("valid");
    const { each } = await verified(card, { old: ec256, new: ed25519 });
    expect(each.map(({ header, verdict }) => [header, verdict])).toEqual([
      [{ alg: "ES256", kid: "old", typ: "JOSE", jku: cardKeysUrl.href }, "valid"],
      [{ alg: "EdDSA", kid: "new", typ: "JOSE", jku: cardKeysUrl.href }, "valid"],
    ]);
  });

  test("any texts and numbers, and capabilities that are declared false (R157)", async () => {
    const { ec256 } = generated;
    const card = await servedCard({
      card: { agent: awkward, keys: [{ key: pem(ec256), kid: "k" }] },
      publicUrl: new URL("https://agents.example.org"),
    });
    const { sdk, each } = await verified(card, { k: ec256 });
    expect([sdk, each.map(({ verdict }) => verdict)]).toEqual(["valid", ["valid"]]);
  });

  test("with the members of version 0.3 too: one signature is of the card that version 1.0 sees, one of its text", async () => {
    const { ec256 } = generated;
    const card = await servedCard({ card: { agent: awkward, keys: [{ key: pem(ec256), kid: "k" }] } }, {});
    const { sdk, each, unknown } = await verified(card, { k: ec256 });
    expect([sdk, unknown, each.map(({ verdict }) => verdict)]).toEqual([
      "valid",
      true,
      ["InvalidSignatureError", "valid"],
    ]);
    const forged = card.replace('"url":"http://', '"url":"http://evil.');
    expect((await verified(forged, { k: ec256 })).each.map(({ verdict }) => verdict)).toEqual([
      "InvalidSignatureError",
      "InvalidSignatureError",
    ]);
  });

  test.each([[{ "A2A-Version": "1.0" }], [{}]])("in JavaScript too, with the headers %j", async (headers) => {
    const { ed25519 } = generated;
    const card = JSON.parse(
      await servedCard(
        { card: { agent: { ...awkward, capabilities: { streaming: true } }, keys: [{ key: pem(ed25519), kid: "k" }] } },
        headers,
      ),
    );
    const verify = verifyAgentCardSignature(async () => createPublicKey(ed25519));
    // It tells the console of each signature that isn't valid.
    using _ = vi.spyOn(console, "debug").mockImplementation(() => {});
    await verify(card);
    await expect(verify({ ...card, name: "Forged" })).rejects.toThrow("No valid signatures");
  });

  test("but not once a letter of it is another one, nor by another key", async () => {
    const { ec256 } = generated;
    const card = await servedCard({ card: { keys: [{ key: pem(ec256), kid: "k" }] } });
    const forged = card.replace("Echoes", "Echoe5");
    expect(forged).not.toBe(card);
    for (const [text, key] of [
      [forged, ec256],
      [card, generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey],
    ] as const) {
      const { sdk, each } = await verified(text, { k: key });
      expect([sdk, each.map(({ verdict }) => verdict)]).toEqual(["InvalidSignaturesError", ["InvalidSignatureError"]]);
    }
  });

  test("an unsigned card has no signatures", async () => {
    const card = await servedCard({});
    expect(JSON.parse(card)).not.toHaveProperty("signatures");
    expect((await verified(card, {})).sdk).toBe("NoSignatureError");
  });
});

test("empty values of the author's, which verifiers read differently, are named in the log", async () => {
  const lines: unknown[] = [];
  const warn = (fields: object) => {
    lines.push(fields);
  };
  const silent = () => {};
  const capabilities = {
    extensions: [
      { uri: "urn:example:x:v1", params: { none: null, text: "", list: [[]], more: { is: {} }, zero: 0, no: false } },
    ],
  };
  const agent = { name: "N", description: "D", capabilities };
  const logger = { debug: silent, info: silent, warn, error: silent };
  await servedCard({ card: { agent }, logger });
  expect(lines).toEqual([]);
  await servedCard({ card: { agent, keys: [{ key: pem(generated.ec256) }] }, logger });
  const params = "capabilities.extensions.0.params";
  expect(lines).toEqual([{ paths: [`${params}.none`, `${params}.text`, `${params}.list.0`, `${params}.more.is`] }]);
});

test("the extended card is signed too", async () => {
  await using server = await served({
    processor: demoProcessor,
    card: { extended: { name: "E", description: "Extended" }, keys: [{ key: pem(generated.ec256) }] },
    allowAnonymous: true,
  });
  const card = await bindings[0]?.connect(server.url.origin).a2a.getExtendedAgentCard({});
  expect(card?.signatures).toHaveLength(1);
});

describe("a key", () => {
  const { ec256 } = generated;
  const jwk = ec256.export({ format: "jwk" });

  test("is named by its owner, else by itself, else by its thumbprint", async () => {
    const kids = [
      { key: pem(ec256), kid: "given" },
      { key: JSON.stringify({ ...jwk, kid: "own" }), kid: "given" },
      { key: JSON.stringify({ ...jwk, kid: "own" }) },
    ].map(async (each) => (await readCardKey(each, "card.keys[0]")).kid);
    expect(await Promise.all(kids)).toEqual(["given", "given", "own"]);
    const [fromPem, fromJwk] = await Promise.all(
      [pem(ec256), JSON.stringify(jwk)].map(async (key) => (await readCardKey({ key }, "k")).kid),
    );
    expect(fromPem).toMatch(/^[\w-]{43}$/);
    expect(fromJwk).toBe(fromPem);
  });

  const secret = pem(ec256).split("\n")[1] ?? "";
  test.each([
    ["a public key", createPublicKey(ec256).export({ type: "spki", format: "pem" }) as string],
    ["a public JWK", JSON.stringify(publicJwk(ec256))],
    [
      "a key with a passphrase",
      ec256.export({ type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "open-sesame" }) as string,
    ],
    ["a cut key", pem(ec256).slice(0, 120)],
    ["JSON that is none", `{"kty":"EC","d":"${secret}`],
    [
      "a curve that A2A's algorithms don't have",
      pem(generateKeyPairSync("ec", { namedCurve: "secp256k1" }).privateKey),
    ],
    ["RSA of 1024 bits", pem(generateKeyPairSync("rsa", { modulusLength: 1024 }).privateKey)],
    ["a key that can't sign", pem(generateKeyPairSync("x25519").privateKey)],
    ["nothing", ""],
  ])("is refused if it is %s, and nothing of it is said", async (_name, key) => {
    const error: unknown = await served({
      processor: demoProcessor,
      card: { keys: [{ key: pem(ec256) }, { key }] },
    }).then(
      () => expect.unreachable(),
      (reason) => reason,
    );
    expect(error).toMatchObject({ reason: "INVALID_REQUEST", violations: [{ field: "card.keys[1]" }] });
    const told = inspect(error, { depth: 10 });
    for (const line of key.split("\n").filter((each) => each.length > 30 && !each.startsWith("--")))
      expect(told).not.toContain(line.slice(0, 30));
  });
});
