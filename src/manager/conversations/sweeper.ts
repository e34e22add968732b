import type { ManagerDeps } from "../manager-deps.ts";

/**
 * Removes expired conversations every `cleanupIntervalMs`, if the storage does not remove them itself. One round runs
 * at a time. A round that fails is logged, and the next one tries again. The returned function stops the sweeper, and
 * waits for a round under way.
 *
 * Rounds pause when the wall clock and the monotonic clock have run apart by more than a tenth of the TTL: a clock that
 * was set forward by mistake must not remove anything. They go on one TTL later, when the wall clock is believed again.
 * If it has jumped once more meanwhile, they remove only what is expired by each of its offsets.
 */
export function startSweeper(deps: ManagerDeps): () => Promise<void> {
  const { clock, wallClock, options, storage, logger, hub } = deps;
  const { cleanupIntervalMs, conversationTtlMs } = options;
  if (!options.enableCleanup || storage.traits.expiry !== "sweep") return async () => {};
  let stopped = false;
  let pausedSinceMs: number | undefined;
  let round: Promise<void> = Promise.resolve();
  let cancel = clock.after(cleanupIntervalMs, sweep);
  function sweep(): void {
    round = (isPaused() ? Promise.resolve() : removeExpired()).then(() => {
      if (!stopped) cancel = clock.after(cleanupIntervalMs, sweep);
    });
  }
  function isPaused(): boolean {
    wallClock.read();
    const apartMs = wallClock.ranApartMs(conversationTtlMs);
    if (apartMs <= conversationTtlMs / 10) {
      pausedSinceMs = undefined;
      return false;
    }
    if (pausedSinceMs === undefined) {
      pausedSinceMs = clock.monotonic();
      logger.warn(
        { apartMs: Math.round(apartMs), pausedMs: conversationTtlMs },
        "The system clock has jumped, or the machine was suspended; no conversation is removed for one TTL",
      );
    }
    return clock.monotonic() - pausedSinceMs < conversationTtlMs;
  }
  function removeExpired(): Promise<void> {
    const aheadMs = wallClock.read() - wallClock.earliest(conversationTtlMs);
    return storage
      .cleanupExpiredConversations(conversationTtlMs + aheadMs)
      .then((removed) => {
        if (removed === 0) return;
        logger.info({ removed }, "Removed expired conversations");
        hub.wakeAll();
      })
      .catch((error: unknown) => logger.error({ err: error }, "Failed to remove expired conversations"));
  }
  return async () => {
    stopped = true;
    cancel();
    await round;
  };
}
