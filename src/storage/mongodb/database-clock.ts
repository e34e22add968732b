import { socketTimeoutMs } from "./limits.ts";

/**
 * An estimate of the database's clock, from the times that it has returned. It is used only for times that have slack:
 * whether something is over is decided by `$$NOW`.
 *
 * It is the later of two estimates. The one by this machine's wall clock is too early once that clock is set back, the
 * one by the monotonic clock once the machine was suspended. A late one keeps a record longer; an early one would have
 * it removed.
 */
export class DatabaseClock {
  #aheadOfWallMs = Number.NEGATIVE_INFINITY;
  #aheadOfMonotonicMs = Number.NEGATIVE_INFINITY;
  #wrongUntilMs = Number.NEGATIVE_INFINITY;

  get nowMs(): number {
    return Math.max(Date.now() + this.#aheadOfWallMs, performance.now() + this.#aheadOfMonotonicMs);
  }

  /** How far the database's clock is ahead of this machine's wall clock; 0 if it is behind. */
  get aheadMs(): number {
    return Math.max(this.nowMs - Date.now(), 0);
  }

  /**
   * Notes a time that the database has just returned. Says whether records that were written lately may have too early
   * an expiry: the estimate was found to be wrong by more than `slackMs`, now or while those writes were under way.
   */
  note(time: Date, slackMs = Number.POSITIVE_INFINITY): boolean {
    if (time.getTime() - this.nowMs > slackMs) this.#wrongUntilMs = performance.now() + socketTimeoutMs;
    this.#aheadOfWallMs = time.getTime() - Date.now();
    this.#aheadOfMonotonicMs = time.getTime() - performance.now();
    return performance.now() < this.#wrongUntilMs;
  }
}
