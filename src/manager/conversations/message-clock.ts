import type { Scope } from "../../domain/scope.ts";
import type { Clock } from "../../runtime/clock.ts";
import { ConversationMap } from "./conversation-map.ts";

/**
 * When the last message of a conversation was made. Histories are in the order (time, task, sequence), and task ids are
 * random: a message that comes after another one of the same millisecond, to another task, is given the next
 * millisecond, so that whoever sends one after the other finds them in that order.
 */
export class MessageClock {
  readonly #clock: Clock;
  readonly #lastMs = new ConversationMap<number>(conversationsMax);

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The time for a message that comes now: later than all noted in its conversation. */
  next(scope: Scope, contextId: string): number {
    const now = this.#clock.now();
    const last = this.#lastMs.get(scope, contextId);
    // A clock that was set back by more than that orders nothing any more, here as everywhere else.
    return last !== undefined && last >= now && last - now < aheadMsMax ? last + 1 : now;
  }

  /** A message of that time is durable. */
  note(scope: Scope, contextId: string, timeMs: number): void {
    this.#lastMs.set(scope, contextId, Math.max(this.#lastMs.get(scope, contextId) ?? timeMs, timeMs));
  }
}

/** What falls out was noted thousands of messages ago: the clock has gone on since. */
const conversationsMax = 1_000;
/** A conversation gets no thousand messages a second for long. */
const aheadMsMax = 1_000;
