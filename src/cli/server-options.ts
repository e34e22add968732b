import type { ManagerOptions } from "../manager/options.ts";
import { storageWaitMs } from "../manager/shutdown.ts";
import type { OpenStorageOptions } from "../server/open-storage.ts";
import type { CardOptions, ServerListenerOptions, ServerOptions } from "../server/server-options.ts";
import type { Config } from "./config.ts";

/** What the files that settings name hold. */
export interface LoadedFiles {
  readonly card: CardOptions["agent"];
  readonly extendedCard: CardOptions["extended"];
  readonly cardKeys: CardOptions["keys"];
  readonly tls: ServerListenerOptions["tls"];
}

/** The settings of the server. A new setting is declared in config.ts and read here. */
export function serverOptions(
  config: Config,
  { card, extendedCard, cardKeys, tls }: LoadedFiles,
): Omit<ServerOptions, "processor" | "storage" | "logger"> {
  return {
    manager: managerOptions(config),
    listener: {
      host: config.host,
      port: config.port,
      tls,
      maxConnectionAgeMs: config.maxConnectionAge,
      maxConnectionAgeGraceMs: config.maxConnectionAgeGrace,
    },
    card: { agent: card, extended: extendedCard, keys: cardKeys, keysUrl: config.cardKeysUrl },
    calls: {
      bindings: config.bindings,
      a2aVersion: config.a2aVersion,
      maxReadingBytes: config.maxReadingBytes,
      maxConnectionReadingBytes: config.maxConnectionReadingBytes,
      maxAnswerBytes: config.maxAnswerBytes,
      maxConnectionAnswerBytes: config.maxConnectionAnswerBytes,
    },
    origins: { allowed: config.corsOrigins },
    publicUrl: config.publicUrl,
    allowAnonymous: config.allowAnonymous,
    drainTurnsMs: config.drainTurns,
    drainTimeoutMs: config.drainTimeout,
  };
}

/** The settings of the storage. */
export function storageOptions(config: Config): OpenStorageOptions {
  return { maxHistoryLength: config.maxHistoryLength, prefix: config.tablePrefix };
}

/** The settings of the task manager. */
export function managerOptions(config: Config): Required<ManagerOptions> {
  return {
    enableCleanup: config.cleanup,
    cleanupIntervalMs: config.cleanupInterval,
    leaseMs: config.lease,
    conversationTtlMs: config.conversationTtl,
    interruptedTtlMs: config.interruptedTtl,
    maxRunningTasks: config.maxRunningTasks,
    maxQueuedTasks: config.maxQueuedTasks,
    turnTimeoutMs: config.turnTimeout,
    turnIdleTimeoutMs: config.turnIdleTimeout,
    cancelGraceMs: config.cancelGrace,
    maxAttempts: config.maxAttempts,
    duplicateWindowMs: config.duplicateWindow,
    messageIds: config.messageIds,
    maxEventBytes: config.maxEventBytes,
    maxTaskBytes: config.maxTaskBytes,
  };
}

/**
 * How long a server may take to end, in milliseconds: the turns that run, then calls and, at the same time, the last
 * events of the turns that are left and their appends, then last answers and the storage. By default less than the 30 s
 * that Kubernetes gives.
 */
export function endLimitMs({ drainTimeout, cancelGrace }: Config, turnsMs: number): number {
  return Math.min(turnsMs + Math.max(drainTimeout, cancelGrace + storageWaitMs) + endMarginMs, timerMsMax);
}

/** A timer of Node's with a longer time ends at once. */
const timerMsMax = 2 ** 31 - 1;

/** Time for last answers, 1 s, and for closing the storage. */
const endMarginMs = 4_000;
