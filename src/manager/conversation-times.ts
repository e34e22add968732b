import type { Scope } from "../domain/scope.ts";
import type { Clock } from "../runtime/clock.ts";

/**
 * When the last message of a conversation was made. Histories are in the order (time, task, sequence), and task ids are random: a message that comes after another one of the
 * same millisecond, to another task, is given the next millisecond, so that whoever sends one after the other finds them in that order.
 */
export class ConversationTimes {
  readonly #clock: Clock;
  /** By conversation, the one noted longest ago first. */
  readonly #lastMs = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The time for a message that comes now: later than all noted in its conversation. */
  next(scope: Scope, contextId: string): number {
    const now = this.#clock.now();
    const last = this.#lastMs.get(idOf(scope, contextId));
    // A clock that was set back by more than that orders nothing any more, here as everywhere else.
    return last !== undefined && last >= now && last - now < aheadMsMax ? last + 1 : now;
  }

  /** A message of that time is durable. */
  note(scope: Scope, contextId: string, timeMs: number): void {
    const id = idOf(scope, contextId);
    const last = this.#lastMs.get(id) ?? timeMs;
    this.#lastMs.delete(id);
    this.#lastMs.set(id, Math.max(last, timeMs));
    if (this.#lastMs.size <= conversationsMax) return;
    const oldest = this.#lastMs.keys().next();
    if (!oldest.done) this.#lastMs.delete(oldest.value);
  }
}

function idOf({ tenant, owner }: Scope, contextId: string): string {
  return JSON.stringify([tenant, owner, contextId]);
}

/** What falls out was noted thousands of messages ago: the clock has gone on since. */
const conversationsMax = 1_000;
/** A conversation gets no thousand messages a second for long. */
const aheadMsMax = 1_000;
