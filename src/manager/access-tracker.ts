import type { Scope } from "../domain/scope.ts";
import type { ManagerDeps } from "./manager-deps.ts";

/**
 * Notes accesses to conversations, off the path of whoever makes them: each at most once per sixtieth of the TTL (DESIGN 6), so that a poll
 * every second doesn't become a write every second.
 */
export class AccessTracker {
  readonly #deps: ManagerDeps;
  /** When each was noted last, oldest first. */
  readonly #notedMs = new Map<string, number>();

  constructor(deps: ManagerDeps) {
    this.#deps = deps;
  }

  touch(scope: Scope, contextId: string): void {
    const { clock, options, storage, logger } = this.#deps;
    const now = clock.now();
    const id = JSON.stringify([scope.tenant, scope.owner, contextId]);
    const noted = this.#notedMs.get(id);
    if (noted !== undefined && now - noted < options.conversationTtlMs / 60) return;
    this.#notedMs.delete(id);
    this.#notedMs.set(id, now);
    if (this.#notedMs.size > conversationsMax) {
      const oldest = this.#notedMs.keys().next();
      if (!oldest.done) this.#notedMs.delete(oldest.value);
    }
    storage.updateConversationAccess(scope, contextId).catch((error: unknown) => {
      this.#notedMs.delete(id);
      logger.warn({ err: error }, "An access to a conversation could not be noted");
    });
  }
}

/** A few MB at most; one that falls out is only noted once more. */
const conversationsMax = 10_000;
