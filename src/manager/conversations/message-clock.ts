import type { Scope } from "../../domain/scope.ts";
import type { Clock } from "../../runtime/clock.ts";
import { ConversationMap } from "./conversation-map.ts";

/**
 * Gives messages their times. Histories are ordered by (time, task, sequence), and task ids are random. So of two
 * messages to different tasks in the same millisecond the later one gets the next millisecond: a client that sends one
 * after the other finds them in that order.
 */
export class MessageClock {
  readonly #clock: Clock;
  readonly #lastMs = new ConversationMap<number>(conversationsMax);

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The time for a message that comes now: later than every message noted in its conversation. */
  next(scope: Scope, contextId: string): number {
    const now = this.#clock.now();
    const last = this.#lastMs.get(scope, contextId);
    // After the system clock was set back by more than that, times order nothing, here or elsewhere.
    return last !== undefined && last >= now && last - now < aheadMsMax ? last + 1 : now;
  }

  /** Notes that a message of that time is durable. */
  note(scope: Scope, contextId: string, timeMs: number): void {
    this.#lastMs.set(scope, contextId, Math.max(this.#lastMs.get(scope, contextId) ?? timeMs, timeMs));
  }
}

/** A conversation that falls out was noted long ago, and the clock has moved on since. */
const conversationsMax = 1_000;
/** A conversation does not get a thousand messages a second for long. */
const aheadMsMax = 1_000;
