import { createHash } from "node:crypto";
import type { ServerResponse } from "node:http";
import type { AgentCard } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { invalidRequest, TaskError } from "../../domain/task-error.ts";
import type { Logger } from "../../runtime/logger.ts";
import { answer, errorJson, pathOf, type RequestHandler } from "../request-handler.ts";
import type { AgentCardInit } from "./capabilities.ts";
import { cardJson } from "./card-json.ts";
import type { CardKey } from "./card-key.ts";
import { completeCard, type ServedBinding } from "./complete-card.ts";
import { contestedPaths, signaturesOf } from "./sign-card.ts";

export const agentCardPath = "/.well-known/agent-card.json";
/** How long a card may be used unasked (R153). A card changes when its server starts anew, with other settings or keys: clients should notice within minutes. */
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
      const description = "needs allowAnonymous: there is no authentication yet, so anybody who reaches the port gets it";
      throw invalidRequest([{ field: "extendedCard", description }]);
    }
    // Where the server will be reached isn't known yet; all else that may be wrong is.
    this.#complete(new URL("http://localhost"));
  }

  /** Completes the cards by where the server is reached, and signs them, for good. `listening` is the address it listens on. */
  async publish(listening: URL): Promise<void> {
    const { publicUrl, logger } = this.#options;
    const { card, extended } = this.#complete(publicUrl ?? dialable(listening, logger));
    for (const each of [card, extended]) if (each !== undefined) await this.#sign(each);
    const body = JSON.stringify(cardJson(card));
    const etag = `"${createHash("sha256").update(body).digest("base64url")}"`;
    this.#publication.resolve({ body, etag, extended });
  }

  /** The extended card; undefined if there is none. Waits until it is published. */
  async extended(): Promise<AgentCard | undefined> {
    return (await this.#publication.promise).extended;
  }

  /** `/.well-known/agent-card.json` (R150), by GET and HEAD, with what lets clients and proxies keep it (R153). Asks for no version: a client learns that from it. */
  readonly page: RequestHandler = (request, response) => {
    if (pathOf(request) !== agentCardPath) return false;
    if (request.method !== "GET" && request.method !== "HEAD") {
      answer(request, response, { status: 405, headers: { allow: "GET, HEAD" } }, errorJson(405, "METHOD_NOT_ALLOWED", "Use GET or HEAD"));
      return true;
    }
    // It is there a moment after the port is.
    void this.#publication.promise.then(({ body, etag }) => {
      const headers = { etag, "cache-control": `public, max-age=${maxAgeSeconds}` };
      if (names(request.headers["if-none-match"], etag)) {
        (response as ServerResponse).writeHead(304, headers);
        response.end();
      } else {
        answer(request, response, { status: 200, headers }, body);
      }
    });
    return true;
  };

  async #sign(card: AgentCard): Promise<void> {
    const { keys, keysUrl, logger } = this.#options;
    if (keys.length === 0) return;
    const paths = contestedPaths(cardJson(card));
    if (paths.length > 0) logger.warn({ paths }, "Some verifiers refuse the signature of an agent card with empty values: leave them out");
    card.signatures = await signaturesOf(card, keys, keysUrl);
  }

  #complete(publicUrl: URL): { readonly card: AgentCard; readonly extended: AgentCard | undefined } {
    const { card, extendedCard, served } = this.#options;
    const facts = { publicUrl, served, hasExtendedCard: extendedCard !== undefined };
    return {
      card: named("card", () => completeCard(card, facts)),
      extended: extendedCard && named("extendedCard", () => completeCard(extendedCard, facts)),
    };
  }
}

/** An address for the card. One that stands for all of the machine's is none that a client could dial. */
function dialable(listening: URL, logger: Logger): URL {
  if (listening.hostname !== "0.0.0.0" && listening.hostname !== "[::]") return listening;
  const named = new URL(listening);
  named.hostname = "localhost";
  logger.warn({ url: named.origin }, "The agent card can only name this machine as localhost; say where clients reach it by publicUrl (--public-url)");
  return named;
}

/** Says of each fault which of the two cards it is in. */
function named(which: string, complete: () => AgentCard): AgentCard {
  try {
    return complete();
  } catch (error) {
    if (!(error instanceof TaskError)) throw error;
    throw invalidRequest(error.violations.map(({ field, description }) => ({ field: `${which}.${field}`, description })));
  }
}

interface Published {
  readonly body: string;
  readonly etag: string;
  readonly extended: AgentCard | undefined;
}

/** Whether an If-None-Match names the tag, by the weak comparison that RFC 9110 (13.1.2) asks for. */
function names(ifNoneMatch: string | undefined, etag: string): boolean {
  if (ifNoneMatch === undefined) return false;
  return ifNoneMatch.trim() === "*" || [...ifNoneMatch.matchAll(/"[^"]*"/g)].some(([tag]) => tag === etag);
}
