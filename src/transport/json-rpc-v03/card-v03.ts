import type { JsonObject } from "@bufbuild/protobuf";

/** The members of a card's JSON that are read here. The card was checked against the contract before. */
interface Card {
  readonly supportedInterfaces: readonly {
    readonly url: string;
    readonly protocolBinding: string;
    readonly protocolVersion: string;
  }[];
  readonly capabilities: { readonly extendedAgentCard?: boolean };
  readonly securitySchemes?: Readonly<Record<string, JsonObject>>;
  readonly securityRequirements?: readonly Requirement[];
  readonly skills: readonly { readonly securityRequirements?: readonly Requirement[] }[];
}

interface Requirement {
  readonly schemes?: Readonly<Record<string, { readonly list?: readonly string[] }>>;
}

/** The `type` that a scheme has in version 0.3, by the member of version 1.0 that holds it. */
const schemeTypes: Readonly<Record<string, string>> = {
  apiKeySecurityScheme: "apiKey",
  httpAuthSecurityScheme: "http",
  oauth2SecurityScheme: "oauth2",
  openIdConnectSecurityScheme: "openIdConnect",
  mtlsSecurityScheme: "mutualTLS",
};

/**
 * A card's JSON with the members of version 0.3 added (R198, R199): the address at the top, and security in the older
 * form. Members of version 1.0 don't change, and its clients ignore the others (R120). A card without an interface of
 * version 0.3 stays as it is.
 */
export function withV03Members(json: JsonObject): JsonObject {
  const card = json as unknown as Card;
  const older = card.supportedInterfaces.filter(({ protocolVersion }) => /^0\.3(\.|$)/.test(protocolVersion));
  const [preferred] = older;
  if (preferred === undefined) return json;
  const { securitySchemes, skills } = card;
  return {
    ...json,
    protocolVersion: "0.3.0",
    url: preferred.url,
    preferredTransport: preferred.protocolBinding,
    additionalInterfaces: older.map(({ url, protocolBinding }) => ({ url, transport: protocolBinding })),
    ...(card.capabilities.extendedAgentCard && { supportsAuthenticatedExtendedCard: true }),
    ...securityOf(card),
    ...(securitySchemes && {
      securitySchemes: Object.fromEntries(
        Object.entries(securitySchemes).map(([name, scheme]) => [name, schemeOf(scheme)]),
      ),
    }),
    skills: skills.map((skill) => ({ ...(skill as JsonObject), ...securityOf(skill) })),
  };
}

function securityOf({ securityRequirements }: { readonly securityRequirements?: readonly Requirement[] }): JsonObject {
  if (securityRequirements === undefined) return {};
  const security = securityRequirements.map(({ schemes = {} }) =>
    Object.fromEntries(Object.entries(schemes).map(([name, { list = [] }]) => [name, [...list]])),
  );
  return { security };
}

function schemeOf(scheme: JsonObject): JsonObject {
  const [[member, details] = ["", {}]] = Object.entries(scheme);
  const { location, ...others } = details as JsonObject;
  return { ...scheme, ...others, ...(location !== undefined && { in: location }), type: schemeTypes[member] ?? member };
}
