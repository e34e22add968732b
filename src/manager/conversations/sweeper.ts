import type { ManagerDeps } from "../manager-deps.ts";

/**
 * Removes expired conversations every `cleanupIntervalMs`, if the storage does not remove them itself. One round runs
 * at a time. A round that fails is logged, and the next one tries again. The returned function stops the sweeper, and
 * waits for a round under way.
 */
export function startSweeper(deps: ManagerDeps): () => Promise<void> {
  const { clock, options, storage, logger, hub } = deps;
  if (!options.enableCleanup || storage.traits.expiry !== "sweep") return async () => {};
  let stopped = false;
  let round: Promise<void> = Promise.resolve();
  let cancel = clock.after(options.cleanupIntervalMs, sweep);
  function sweep(): void {
    round = storage
      .cleanupExpiredConversations(options.conversationTtlMs)
      .then((removed) => {
        if (removed === 0) return;
        logger.info({ removed }, "Removed expired conversations");
        hub.wakeAll();
      })
      .catch((error: unknown) => logger.error({ err: error }, "Failed to remove expired conversations"))
      .then(() => {
        if (!stopped) cancel = clock.after(options.cleanupIntervalMs, sweep);
      });
  }
  return async () => {
    stopped = true;
    cancel();
    await round;
  };
}
