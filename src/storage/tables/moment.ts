import type { Retention } from "../storage.ts";

/**
 * The time of one operation, in milliseconds since the epoch, and what follows from it. The bounds are whole numbers
 * that a 64-bit column can be compared with.
 */
export interface Moment {
  /** The wall clock: the time that rows get. Never compare a row with it: the wall clock may have jumped since. */
  readonly nowMs: number;
  /** A conversation that was last accessed before this is past its time, unless a task holds it. */
  readonly liveSince: number;
  /** A task in INPUT_REQUIRED or AUTH_REQUIRED holds its conversation if its status is younger than this. */
  readonly heldSince: number;
  /** The earliest time that it can be for a row that lives so long. It decides whether the row's time is over. */
  readonly earliest: (lifetimeMs: number) => number;
}

/** Nothing expires until `setRetention` is called. */
export const keepForever: Retention = {
  conversationTtlMs: Number.POSITIVE_INFINITY,
  interruptedTtlMs: Number.POSITIVE_INFINITY,
};

/**
 * `earliest` is that of a `WallClock` read at `nowMs`. Without it the clock is taken at its word, which is right for
 * the clock of a database server.
 */
export function momentOf(
  nowMs: number,
  { conversationTtlMs, interruptedTtlMs }: Retention,
  earliest: Moment["earliest"] = () => nowMs,
): Moment {
  return {
    nowMs,
    liveSince: before(earliest(conversationTtlMs), conversationTtlMs),
    heldSince: before(earliest(interruptedTtlMs), interruptedTtlMs),
    earliest,
  };
}

/** The time before which a row is older than that, whatever the wall clock has done. */
export function olderThan({ earliest }: Moment, ageMs: number): number {
  return before(earliest(ageMs), ageMs);
}

/** The time `ageMs` ago. An infinite age gives a number below all times. */
function before(nowMs: number, ageMs: number): number {
  return Math.max(Math.ceil(nowMs - ageMs), Number.MIN_SAFE_INTEGER);
}
