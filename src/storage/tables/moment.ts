import type { Retention } from "../storage.ts";

/**
 * The time of one operation, in milliseconds since the epoch, and what follows from it. The bounds are whole numbers
 * that a 64-bit column can be compared with.
 */
export interface Moment {
  readonly nowMs: number;
  /** A conversation that was last accessed before this is past its time, unless a task holds it. */
  readonly liveSince: number;
  /** A task in INPUT_REQUIRED or AUTH_REQUIRED holds its conversation if its status is younger than this. */
  readonly heldSince: number;
}

/** Nothing expires until `setRetention` is called. */
export const keepForever: Retention = {
  conversationTtlMs: Number.POSITIVE_INFINITY,
  interruptedTtlMs: Number.POSITIVE_INFINITY,
};

export function momentOf(nowMs: number, { conversationTtlMs, interruptedTtlMs }: Retention): Moment {
  return { nowMs, liveSince: before(nowMs, conversationTtlMs), heldSince: before(nowMs, interruptedTtlMs) };
}

/** The time `ageMs` ago. An infinite age gives a number below all times. */
export function before(nowMs: number, ageMs: number): number {
  return Math.max(Math.ceil(nowMs - ageMs), Number.MIN_SAFE_INTEGER);
}
