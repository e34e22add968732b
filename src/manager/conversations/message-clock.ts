import type { Scope } from "../../domain/scope.ts";
import type { Clock } from "../../runtime/clock.ts";
import { ConversationMap } from "./conversation-map.ts";

/**
 * Gives messages their times. Histories are ordered by (time, task, sequence), and task ids are random. So of two
 * messages to different tasks in the same millisecond the later one gets the next millisecond: a client that sends one
 * after the other finds them in that order. That holds if the wall clock is set back meanwhile, by however much: the
 * order of a conversation matters more than its dates.
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
    return last !== undefined && last >= now ? last + 1 : now;
  }

  /** Notes that a message of that time is durable. */
  note(scope: Scope, contextId: string, timeMs: number): void {
    this.#lastMs.set(scope, contextId, Math.max(this.#lastMs.get(scope, contextId) ?? timeMs, timeMs));
  }
}

/** A conversation that falls out was noted long ago, and the clock has moved on since, unless it was set back. */
const conversationsMax = 1_000;
