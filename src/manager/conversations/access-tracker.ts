import type { Scope } from "../../domain/scope.ts";
import type { ManagerDeps } from "../manager-deps.ts";
import { ConversationMap } from "./conversation-map.ts";

/**
 * Notes accesses to conversations, off the path of whoever makes them: each at most once per sixtieth of the TTL
 * (DESIGN 6), so that a poll every second doesn't become a write every second.
 */
export class AccessTracker {
  readonly #deps: ManagerDeps;
  /** When each was noted last. */
  readonly #notedMs = new ConversationMap<number>(conversationsMax);

  constructor(deps: ManagerDeps) {
    this.#deps = deps;
  }

  touch(scope: Scope, contextId: string): void {
    const { clock, options, storage, logger } = this.#deps;
    const now = clock.now();
    const noted = this.#notedMs.get(scope, contextId);
    if (noted !== undefined && now - noted < options.conversationTtlMs / 60) return;
    this.#notedMs.set(scope, contextId, now);
    storage.updateConversationAccess(scope, contextId).catch((error: unknown) => {
      this.#notedMs.delete(scope, contextId);
      logger.warn({ err: error }, "An access to a conversation could not be noted");
    });
  }
}

/** A few MB at most; one that falls out is only noted once more. */
const conversationsMax = 10_000;
