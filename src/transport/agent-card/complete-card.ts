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
import { validate } from "../../domain/validation/validate.ts";
import { servedVersion } from "../admission/a2a-version.ts";
import { jsonFieldPath } from "../proto-json/json-path.ts";
import { type AgentCardInit, capabilitiesOf } from "./capabilities.ts";

/** A binding of the contract that is served. */
export interface ServedBinding {
  /** Its name in the card (R152). */
  readonly protocolBinding: "GRPC" | "JSONRPC" | "HTTP+JSON";
  /** Appended to the public URL: empty, or begins with a slash. Not for gRPC: its address is a host and a port. */
  readonly path?: string;
  /** A version of A2A. Default: the version that every binding serves. */
  readonly protocolVersion?: string;
}

/** The facts of the server that complete a card. */
export interface CardFacts {
  /** Where clients reach the server. */
  readonly publicUrl: URL;
  /** The preferred one first (R151). */
  readonly served: readonly ServedBinding[];
  readonly hasExtendedCard: boolean;
}

/** The card of an agent without one: it says so, and is valid (R118, R119). */
const undescribed: AgentCardInit = { name: "Unnamed agent", description: "An agent whose author hasn't described it" };
/** Default modes of input and output: all. Text goes first, for clients that look for it by name. */
const anything = ["text/plain", "*/*"];

/** Bindings whose address is an HTTP URL. */
const overHttp: ReadonlySet<string> = new Set<ServedBinding["protocolBinding"]>(["JSONRPC", "HTTP+JSON"]);

/**
 * The card to publish: members that the author left out are filled in from what is served. Throws TaskError
 * INVALID_REQUEST that names all other faults by their paths in the card's JSON.
 *
 * Only REQUIRED fields hold default values. §8.4.1 can be read as signing the defaults of other fields or not: without
 * such fields both readings sign the same bytes.
 */
export function completeCard(given: AgentCardInit | undefined, facts: CardFacts): AgentCard {
  const card = clone(AgentCardSchema, create(AgentCardSchema, given ?? undescribed));
  const faults: FieldViolation[] = [];
  if (card.signatures.length > 0)
    faults.push({
      field: "signatures",
      description: "are made by the server over the completed card: leave them out",
    });
  if (card.capabilities?.pushNotifications)
    faults.push({
      field: "capabilities.pushNotifications",
      description: "is true, but push notifications are not supported: leave it out",
    });
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
        description: "is missing: the URI identifies an extension",
      });
  }
  checkRequirements(card, faults);
  if (faults.length > 0) throw invalidRequest(faults);
  return card;
}

/** No client could meet a requirement whose scheme isn't declared. */
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
          description: "is not one of the card's securitySchemes",
        });
      }
    }
  }
}

function completeCapabilities(given: AgentCardInit | undefined, hasExtendedCard: boolean): AgentCapabilities {
  const { streaming, extendedAgentCard, extensions } = capabilitiesOf(given, hasExtendedCard);
  // False is left out: it means the same (R7–R9).
  return create(AgentCapabilitiesSchema, {
    ...(streaming && { streaming }),
    ...(extendedAgentCard && { extendedAgentCard }),
    extensions: [...extensions],
  });
}

/**
 * The author's interfaces in the author's order, or the served ones in the server's order. An interface without a URL
 * becomes one for each served binding that fits its binding, version and tenant, so that a card can name tenants alone.
 * An interface with a URL is taken as it is.
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
      // `localhost:8080` is a URL with the scheme `localhost`.
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
      faults.push({ field, description: `needs a url, or must fit a served binding: ${names}` });
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
  // Older versions have no tenants.
  if (wanted.tenant !== "" && protocolVersion !== servedVersion) return false;
  return wanted.protocolVersion === "" || wanted.protocolVersion === protocolVersion;
}

function addressOf({ protocolBinding, path = "" }: ServedBinding, publicUrl: URL): string {
  if (protocolBinding !== "GRPC") return publicUrl.href.replace(/\/$/, "") + path;
  return `${publicUrl.hostname}:${publicUrl.port || (publicUrl.protocol === "https:" ? "443" : "80")}`;
}
