import { createHash } from "node:crypto";
import type { ServerResponse } from "node:http";
import type { JsonObject } from "@bufbuild/protobuf";
import { type AgentCard, AgentCardSignatureSchema } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { invalidRequest, TaskError } from "../../domain/task-error.ts";
import type { Logger } from "../../runtime/logger.ts";
import { namedVersion, servedVersion, versionParameter } from "../calls/a2a-version.ts";
import { isRead, type NodeRequest, pathOf, type RequestHandler, respond } from "../listener/request-handler.ts";
import { toA2AJson } from "../proto-json/write-json.ts";
import type { AgentCardInit } from "./capabilities.ts";
import { cardJson } from "./card-json.ts";
import type { CardKey } from "./card-key.ts";
import { completeCard, type ServedBinding } from "./complete-card.ts";
import { contestedPaths, signaturesOf } from "./sign-card.ts";

export const agentCardPath = "/.well-known/agent-card.json";
/**
 * How long a card may be used unasked (R153). A card changes when its server starts anew, with other settings or keys:
 * clients should notice within minutes.
 */
const maxAgeSeconds = 300;

export interface CardOptions {
  /** As its author wrote it. */
  readonly card: AgentCardInit | undefined;
  readonly extendedCard: AgentCardInit | undefined;
  /** Anybody may have the extended card: nothing asks callers who they are yet. */
  readonly allowAnonymous: boolean;
  /** Where clients reach the server; undefined: the address it listens on. */
  readonly publicUrl: URL | undefined;
  readonly served: readonly ServedBinding[];
  /** Each signs the cards; several while one takes the place of another. */
  readonly keys: readonly CardKey[];
  /** Where verifiers find the public keys. */
  readonly keysUrl: URL | undefined;
  /** A card's JSON with what clients of older versions look for beside what is there. */
  readonly withOlderMembers: (card: JsonObject) => JsonObject;
  readonly logger: Logger;
}

/** A server's cards: completed, and served to whoever asks. States: made → published. */
export class AgentCards {
  readonly #options: CardOptions;
  readonly #publication = Promise.withResolvers<Published>();

  /** Throws TaskError INVALID_REQUEST for cards that can't be published, naming every fault. */
  constructor(options: CardOptions) {
    this.#options = options;
    if (options.extendedCard !== undefined && !options.allowAnonymous) {
      const description =
        "needs allowAnonymous: there is no authentication yet, so anybody who reaches the port gets it";
      throw invalidRequest([{ field: "card.extended", description }]);
    }
    // Where the server will be reached isn't known yet; all else that may be wrong is.
    this.#complete(new URL("http://localhost"));
  }

  /**
   * Completes the cards by where the server is reached, and signs them, for good. `listening` is the address it listens
   * on.
   */
  async publish(listening: URL): Promise<void> {
    const { publicUrl, logger } = this.#options;
    const { card, extended } = this.#complete(publicUrl ?? dialable(listening, logger));
    for (const each of [card, extended]) if (each !== undefined) await this.#sign(each);
    const json = cardJson(card);
    this.#publication.resolve({ served: pageOf(json), forAll: pageOf(await this.#withOlderMembers(json)), extended });
  }

  /** The extended card; undefined if there is none. Waits until it is published. */
  async extended(): Promise<AgentCard | undefined> {
    return (await this.#publication.promise).extended;
  }

  /**
   * `/.well-known/agent-card.json` (R150), by GET and HEAD, with what lets clients and proxies keep it (R153). Refuses
   * no version: a client learns that from it. Whoever names the served version gets the card of that version; everybody
   * else, since most name none, one that older clients understand too.
   */
  readonly page: RequestHandler = (request, response) => {
    if (pathOf(request) !== agentCardPath) return false;
    if (!isRead(request, response)) return true;
    // It is there a moment after the port is.
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
      logger.warn({ paths }, "Some verifiers refuse the signature of an agent card with empty values: leave them out");
    card.signatures = await signaturesOf(cardJson(card), keys, keysUrl);
  }

  /**
   * Signed as it was, for verifiers that see only what they know of a card, and as it is then, for those that take its
   * text. One of a card's signatures has to be valid.
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

/** An address for the card. One that stands for all of the machine's is none that a client could dial. */
function dialable(listening: URL, logger: Logger): URL {
  if (listening.hostname !== "0.0.0.0" && listening.hostname !== "[::]") return listening;
  const named = new URL(listening);
  named.hostname = "localhost";
  logger.warn(
    { url: named.origin },
    "The agent card can only name this machine as localhost; say where clients reach it by publicUrl (--public-url)",
  );
  return named;
}

/** Says of each fault which of the two cards it is in. */
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
        requestHeader: new Headers(named === undefined ? {} : { [versionParameter]: String(named) }),
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

/** Whether an If-None-Match names the tag, by the weak comparison that RFC 9110 (13.1.2) asks for. */
function names(ifNoneMatch: string | undefined, etag: string): boolean {
  if (ifNoneMatch === undefined) return false;
  return ifNoneMatch.trim() === "*" || [...ifNoneMatch.matchAll(/"[^"]*"/g)].some(([tag]) => tag === etag);
}
