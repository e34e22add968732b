import type { Scope } from "../../domain/scope.ts";
import type { ManagerDeps } from "../manager-deps.ts";
import { ConversationMap } from "./conversation-map.ts";

/**
 * Records accesses to conversations in the storage. No call waits for that. Each conversation is recorded at most once
 * per sixtieth of its TTL, so that a poll every second does not cause a write every second.
 */
export class AccessTracker {
  readonly #deps: ManagerDeps;
  /** The monotonic time of the last record of each conversation: a wall clock that is set back delays no record. */
  readonly #notedMs = new ConversationMap<number>(conversationsMax);

  constructor(deps: ManagerDeps) {
    this.#deps = deps;
  }

  touch(scope: Scope, contextId: string): void {
    const { clock, options, storage, logger } = this.#deps;
    const now = clock.monotonic();
    const noted = this.#notedMs.get(scope, contextId);
    if (noted !== undefined && now - noted < Math.min(options.conversationTtlMs, dayMs) / 60) return;
    this.#notedMs.set(scope, contextId, now);
    storage.updateConversationAccess(scope, contextId).catch((error: unknown) => {
      this.#notedMs.delete(scope, contextId);
      logger.warn({ err: error }, "Failed to record an access to a conversation");
    });
  }
}

/** A few MB at most. A conversation that falls out is only recorded once more. */
const conversationsMax = 10_000;

/** Bounds how late an access may be recorded, also where nothing expires: a later start may have a time to live. */
const dayMs = 86_400_000;
