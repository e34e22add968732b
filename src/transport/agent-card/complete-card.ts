import { clone, create } from "@bufbuild/protobuf";
import {
  type AgentCapabilities,
  AgentCapabilitiesSchema,
  type AgentCard,
  AgentCardSchema,
  type AgentInterface,
  AgentInterfaceSchema,
  AgentSkillSchema,
} from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { type FieldViolation, invalidRequest } from "../../domain/task-error.ts";
import { validate } from "../../domain/validate.ts";
import { servedVersion } from "../calls/a2a-version.ts";
import { jsonFieldPath } from "../proto-json/json-path.ts";
import { type AgentCardInit, capabilitiesOf } from "./capabilities.ts";

/** A binding of the contract that is served. */
export interface ServedBinding {
  /** As the card names it (R152). */
  readonly protocolBinding: "GRPC" | "JSONRPC" | "HTTP+JSON";
  /** What follows the public URL, beginning with a slash or empty. gRPC has none: its address is a host and a port. */
  readonly path?: string;
  /** Of A2A. Default: the version that is served by every binding. */
  readonly protocolVersion?: string;
}

/** What a card can't know by itself. */
export interface CardFacts {
  /** Where clients reach the server. */
  readonly publicUrl: URL;
  /** The preferred one first (R151). */
  readonly served: readonly ServedBinding[];
  readonly hasExtendedCard: boolean;
}

/** What is said of an agent whose author says nothing. Honest about that, and valid (R118, R119). */
const undescribed: AgentCardInit = { name: "Unnamed agent", description: "An agent whose author hasn't described it" };
/** What an agent takes and makes that doesn't say: anything. Text goes first, for clients that look for it by name. */
const anything = ["text/plain", "*/*"];

/** Bindings whose address is a URL of the web. */
const overHttp: ReadonlySet<string> = new Set<ServedBinding["protocolBinding"]>(["JSONRPC", "HTTP+JSON"]);

/**
 * A card as it is published: what its author left out is filled in from what is served. Throws TaskError
 * INVALID_REQUEST that names everything that can't be filled in, by its path in the card's JSON.
 *
 * Nothing in it is set to a default value, but for what REQUIRED fields hold: both readings of what a signature covers
 * are the same then (trap 28).
 */
export function completeCard(given: AgentCardInit | undefined, facts: CardFacts): AgentCard {
  const card = clone(AgentCardSchema, create(AgentCardSchema, given ?? undescribed));
  const faults: FieldViolation[] = [];
  if (card.signatures.length > 0)
    faults.push({
      field: "signatures",
      description: "are made by the server, over the completed card: leave them out",
    });
  if (card.capabilities?.pushNotifications)
    faults.push({ field: "capabilities.pushNotifications", description: "is true, but there are none: leave it out" });
  card.supportedInterfaces = interfacesOf(card.supportedInterfaces, facts, faults);
  card.capabilities = completeCapabilities(given, facts.hasExtendedCard);
  if (card.version === "") card.version = "0.0.0";
  if (card.defaultInputModes.length === 0) card.defaultInputModes = anything;
  if (card.defaultOutputModes.length === 0) card.defaultOutputModes = anything;
  if (card.documentationUrl === "") delete card.documentationUrl;
  if (card.iconUrl === "") delete card.iconUrl;
  if (card.skills.length === 0) {
    const { name, description } = card;
    card.skills = [create(AgentSkillSchema, { id: "default", name, description, tags: ["agent"] })];
  }
  for (const { field, description } of validate(AgentCardSchema, card))
    faults.push({ field: jsonFieldPath(field), description });
  for (const [index, { uri }] of card.capabilities.extensions.entries()) {
    if (uri === "")
      faults.push({
        field: `capabilities.extensions[${index}].uri`,
        description: "is missing: an extension is known by its URI",
      });
  }
  checkRequirements(card, faults);
  if (faults.length > 0) throw invalidRequest(faults);
  return card;
}

/** A requirement that no declared scheme can meet would keep every client out. */
function checkRequirements(
  { securitySchemes, securityRequirements, skills }: AgentCard,
  faults: FieldViolation[],
): void {
  const wanted = [
    { owner: "", requirements: securityRequirements },
    ...skills.map((skill, index) => ({ owner: `skills[${index}].`, requirements: skill.securityRequirements })),
  ];
  for (const { owner, requirements } of wanted) {
    for (const [index, { schemes }] of requirements.entries()) {
      for (const name of Object.keys(schemes).filter((each) => !Object.hasOwn(securitySchemes, each))) {
        faults.push({
          field: `${owner}securityRequirements[${index}].schemes[${JSON.stringify(name)}]`,
          description: "is none of the card's securitySchemes",
        });
      }
    }
  }
}

function completeCapabilities(given: AgentCardInit | undefined, hasExtendedCard: boolean): AgentCapabilities {
  const { streaming, extendedAgentCard, extensions } = capabilitiesOf(given, hasExtendedCard);
  // False is left out: the contract reads both alike (R7–R9).
  return create(AgentCapabilitiesSchema, {
    ...(streaming && { streaming }),
    ...(extendedAgentCard && { extendedAgentCard }),
    extensions: [...extensions],
  });
}

/**
 * The author's interfaces, in his order, or those that are served, in ours. One of his without a URL is completed by
 * what is served: by what fits its binding, version and tenant. So he can name tenants alone. One with a URL is his to
 * know.
 */
function interfacesOf(
  given: readonly AgentInterface[],
  { publicUrl, served }: CardFacts,
  faults: FieldViolation[],
): AgentInterface[] {
  const wanted = given.length > 0 ? given : [create(AgentInterfaceSchema)];
  return wanted.flatMap((each, index) => {
    const field = `supportedInterfaces[${index}]`;
    if (each.url !== "") {
      const url = URL.parse(each.url);
      // `localhost:8080` is a URL too, of the scheme `localhost`.
      const isHttp = url?.protocol === "http:" || url?.protocol === "https:";
      if (overHttp.has(each.protocolBinding) && !isHttp)
        faults.push({ field: `${field}.url`, description: "must be an absolute URL, http or https" });
      else if (each.protocolBinding !== "GRPC" && url === null)
        faults.push({ field: `${field}.url`, description: "must be an absolute URL" });
      return [create(AgentInterfaceSchema, { ...each, protocolVersion: each.protocolVersion || servedVersion })];
    }
    const fitting = served.filter((binding) => fits(each, binding));
    if (fitting.length === 0) {
      const names = served
        .map(({ protocolBinding, protocolVersion = servedVersion }) => `${protocolBinding} ${protocolVersion}`)
        .join(", ");
      faults.push({ field, description: `needs a url, or to be one of what is served here: ${names}` });
    }
    return fitting.map((binding) => {
      const { protocolBinding, protocolVersion = servedVersion } = binding;
      return create(AgentInterfaceSchema, {
        ...each,
        protocolBinding,
        protocolVersion,
        url: addressOf(binding, publicUrl),
      });
    });
  });
}

function fits(wanted: AgentInterface, { protocolBinding, protocolVersion = servedVersion }: ServedBinding): boolean {
  if (wanted.protocolBinding !== "" && wanted.protocolBinding !== protocolBinding) return false;
  // Older versions know no tenants.
  if (wanted.tenant !== "" && protocolVersion !== servedVersion) return false;
  return wanted.protocolVersion === "" || wanted.protocolVersion === protocolVersion;
}

function addressOf({ protocolBinding, path = "" }: ServedBinding, publicUrl: URL): string {
  if (protocolBinding !== "GRPC") return publicUrl.href.replace(/\/$/, "") + path;
  return `${publicUrl.hostname}:${publicUrl.port || (publicUrl.protocol === "https:" ? "443" : "80")}`;
}
