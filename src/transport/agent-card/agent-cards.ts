import { createHash } from "node:crypto";
import type { ServerResponse } from "node:http";
import type { JsonObject } from "@bufbuild/protobuf";
import { type AgentCard, AgentCardSignatureSchema } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { invalidRequest, TaskError } from "../../domain/task-error.ts";
import type { Logger } from "../../runtime/logger.ts";
import { namedVersion, servedVersion, versionParameter } from "../admission/a2a-version.ts";
import { isRead, type NodeRequest, pathOf, type RequestHandler, respond } from "../listener/request-handler.ts";
import { toA2AJson } from "../proto-json/write-json.ts";
import type { AgentCardInit } from "./capabilities.ts";
import { cardJson } from "./card-json.ts";
import type { CardKey } from "./card-key.ts";
import { completeCard, type ServedBinding } from "./complete-card.ts";
import { contestedPaths, signaturesOf } from "./sign-card.ts";

export const agentCardPath = "/.well-known/agent-card.json";
/**
 * How long clients may cache a card (R153). A card changes when its server restarts with other settings or keys:
 * clients should see that within minutes.
 */
const maxAgeSeconds = 300;

export interface AgentCardsOptions {
  /** The author's card, not completed. */
  readonly card: AgentCardInit | undefined;
  readonly extendedCard: AgentCardInit | undefined;
  /** Every caller may read the extended card: callers are not authenticated yet. */
  readonly allowAnonymous: boolean;
  /** Where clients reach the server. Undefined: the address it listens on. */
  readonly publicUrl: URL | undefined;
  readonly served: readonly ServedBinding[];
  /** Each key signs the cards. Several are in use while one replaces another. */
  readonly keys: readonly CardKey[];
  /** The URL of the public keys for verifiers. */
  readonly keysUrl: URL | undefined;
  /** Adds the members that clients of older versions need to a card's JSON. */
  readonly withOlderMembers: (card: JsonObject) => JsonObject;
  readonly logger: Logger;
}

/** A server's completed cards, and the page of the public one. States: made → published. */
export class AgentCards {
  readonly #options: AgentCardsOptions;
  readonly #publication = Promise.withResolvers<Published>();

  /** Throws TaskError INVALID_REQUEST that names every fault of cards that can't be published. */
  constructor(options: AgentCardsOptions) {
    this.#options = options;
    if (options.extendedCard !== undefined && !options.allowAnonymous) {
      const description =
        "needs allowAnonymous: callers are not authenticated yet, so all who reach the port can read it";
      throw invalidRequest([{ field: "card.extended", description }]);
    }
    // The server's address isn't known yet. With any other in its place, all other faults are found now.
    this.#complete(new URL("http://localhost"));
  }

  /** Completes the cards with the server's address and signs them, once. `listening`: the address it listens on. */
  async publish(listening: URL): Promise<void> {
    const { publicUrl, logger } = this.#options;
    const { card, extended } = this.#complete(publicUrl ?? dialable(listening, logger));
    for (const each of [card, extended]) if (each !== undefined) await this.#sign(each);
    const json = cardJson(card);
    this.#publication.resolve({ served: pageOf(json), forAll: pageOf(await this.#withOlderMembers(json)), extended });
  }

  /** The extended card, once it is published. Undefined if there is none. */
  async extended(): Promise<AgentCard | undefined> {
    return (await this.#publication.promise).extended;
  }

  /**
   * `/.well-known/agent-card.json` (R150), by GET and HEAD, with caching headers (R153). Refuses no version, since
   * clients learn the versions from the card. A request that names the served version gets the card of that version.
   * All others get one that older clients understand too: most clients name no version.
   */
  readonly page: RequestHandler = (request, response) => {
    if (pathOf(request) !== agentCardPath) return false;
    if (!isRead(request, response)) return true;
    // The port is open a moment before the card is published.
    void this.#publication.promise.then(({ served, forAll }) => {
      const { body, etag } = namesServedVersion(request) ? served : forAll;
      (response as ServerResponse).appendHeader("vary", versionParameter);
      const headers = { etag, "cache-control": `public, max-age=${maxAgeSeconds}` };
      if (names(request.headers["if-none-match"], etag)) {
        (response as ServerResponse).writeHead(304, headers);
        response.end();
      } else {
        respond(request, response, { status: 200, headers }, body);
      }
    });
    return true;
  };

  async #sign(card: AgentCard): Promise<void> {
    const { keys, keysUrl, logger } = this.#options;
    if (keys.length === 0) return;
    const paths = contestedPaths(cardJson(card));
    if (paths.length > 0)
      logger.warn({ paths }, "Some verifiers reject the signature of an agent card with empty values: leave them out");
    card.signatures = await signaturesOf(cardJson(card), keys, keysUrl);
  }

  /**
   * Two signatures per key: over the 1.0 card, and over the card with the older members. Some verifiers check only the
   * members they know, others the whole text. A card is valid if one of its signatures is.
   */
  async #withOlderMembers(json: JsonObject): Promise<JsonObject> {
    const { keys, keysUrl, withOlderMembers } = this.#options;
    const more = withOlderMembers(json);
    if (more === json || keys.length === 0) return more;
    const signatures = (await signaturesOf(more, keys, keysUrl)).map((signature) =>
      toA2AJson(AgentCardSignatureSchema, signature),
    );
    return { ...more, signatures: [...(json.signatures as JsonObject[]), ...signatures] };
  }

  #complete(publicUrl: URL): { readonly card: AgentCard; readonly extended: AgentCard | undefined } {
    const { card, extendedCard, served } = this.#options;
    const facts = { publicUrl, served, hasExtendedCard: extendedCard !== undefined };
    return {
      card: named("card.agent", () => completeCard(card, facts)),
      extended: extendedCard && named("card.extended", () => completeCard(extendedCard, facts)),
    };
  }
}

/** The address for the card. A client can't connect to the unspecified address (0.0.0.0, ::). */
function dialable(listening: URL, logger: Logger): URL {
  if (listening.hostname !== "0.0.0.0" && listening.hostname !== "[::]") return listening;
  const named = new URL(listening);
  named.hostname = "localhost";
  logger.warn(
    { url: named.origin },
    "The agent card names this machine as localhost; set the address for clients by publicUrl (--public-url)",
  );
  return named;
}

/** Puts the name of the card before the field of each fault. */
function named(which: string, complete: () => AgentCard): AgentCard {
  try {
    return complete();
  } catch (error) {
    if (!(error instanceof TaskError)) throw error;
    throw invalidRequest(
      error.violations.map(({ field, description }) => ({ field: `${which}.${field}`, description })),
    );
  }
}

interface Page {
  readonly body: string;
  readonly etag: string;
}

function pageOf(card: JsonObject): Page {
  const body = JSON.stringify(card);
  return { body, etag: `"${createHash("sha256").update(body).digest("base64url")}"` };
}

function namesServedVersion({ headers, url = "" }: NodeRequest): boolean {
  const named = headers[versionParameter.toLowerCase()];
  try {
    return (
      namedVersion({
        lines: new Headers(named === undefined ? {} : { [versionParameter]: String(named) }),
        url,
      }) === servedVersion
    );
  } catch {
    return false;
  }
}

interface Published {
  readonly served: Page;
  readonly forAll: Page;
  readonly extended: AgentCard | undefined;
}

/** Whether an If-None-Match names the tag, by weak comparison (RFC 9110, section 13.1.2). */
function names(ifNoneMatch: string | undefined, etag: string): boolean {
  if (ifNoneMatch === undefined) return false;
  return ifNoneMatch.trim() === "*" || [...ifNoneMatch.matchAll(/"[^"]*"/g)].some(([tag]) => tag === etag);
}
