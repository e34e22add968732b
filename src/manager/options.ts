import { entryBytesMax, eventBytesMaxDefault, taskBytesMaxDefault } from "../domain/limits.ts";
import { type FieldViolation, invalidRequest } from "../domain/task-error.ts";

/** How a task manager behaves; every field has a default. Times in milliseconds. */
export interface ManagerOptions {
  /** Removes expired conversations, if the storage does not remove them itself. Default true. */
  readonly enableCleanup?: boolean;
  /** The time between two such removals. Default 30 s. */
  readonly cleanupIntervalMs?: number;
  /**
   * A server that sends no heartbeat for this long counts as dead, and the next one takes over its tasks. The same for
   * all servers of a database. Default 4 s.
   */
  readonly leaseMs?: number;
  /** A conversation expires this long after its last access. At least four times `leaseMs`. Default 1 h. */
  readonly conversationTtlMs?: number;
  /** A conversation with a task in INPUT_REQUIRED or AUTH_REQUIRED expires after this time instead. Default 7 days. */
  readonly interruptedTtlMs?: number;
  /** Tasks that run at once on this replica. Others wait as SUBMITTED. Default 100. */
  readonly maxRunningTasks?: number;
  /** Tasks that wait to run. Further ones are refused (RESOURCE_EXHAUSTED). Default 10,000. */
  readonly maxQueuedTasks?: number;
  /** A turn that takes longer is aborted, and its task ends FAILED. Default 1 h. */
  readonly turnTimeoutMs?: number;
  /** The same for a turn that yields nothing for this long. Default 10 min. */
  readonly turnIdleTimeoutMs?: number;
  /** The time in which a turn may yield last events after its signal was aborted. Default 5 s. */
  readonly cancelGraceMs?: number;
  /**
   * A turn that runs again after its server failed ("resume") is given up after so many runs in which servers failed:
   * its message may be the cause. The waits between the runs grow from 1 s to 1 min. Default 5.
   */
  readonly maxAttempts?: number;
  /** A message that is sent again within this time joins its first send. 0: never. Default 10 min. */
  readonly duplicateWindowMs?: number;
  /**
   * What happens to a known message id with other content. "lenient": it is a new message, with a warning in the log.
   * "strict": it is refused. Default "lenient".
   */
  readonly messageIds?: "lenient" | "strict";
  /** The largest message or event, in bytes. Default just under 4 MiB, the limit of gRPC clients. At most 12 MiB. */
  readonly maxEventBytes?: number;
  /** The largest task, in bytes over all its entries. Default 64 MiB. */
  readonly maxTaskBytes?: number;
}

export const managerDefaults: Required<ManagerOptions> = {
  enableCleanup: true,
  cleanupIntervalMs: 30_000,
  leaseMs: 4_000,
  conversationTtlMs: 3_600_000,
  interruptedTtlMs: 7 * 24 * 3_600_000,
  maxRunningTasks: 100,
  maxQueuedTasks: 10_000,
  turnTimeoutMs: 3_600_000,
  turnIdleTimeoutMs: 600_000,
  cancelGraceMs: 5_000,
  maxAttempts: 5,
  duplicateWindowMs: 600_000,
  messageIds: "lenient",
  maxEventBytes: eventBytesMaxDefault,
  maxTaskBytes: taskBytesMaxDefault,
};

/**
 * The least TTL of a conversation, in lease times: a server that died is noticed, and its tasks are taken over, well
 * before their conversations could expire.
 */
export const leasesPerTtl = 4;

/** The options with defaults filled in. Throws TaskError INVALID_REQUEST, which names every fault. */
export function checkedOptions(options: ManagerOptions): Required<ManagerOptions> {
  const checked = { ...managerDefaults, ...options };
  const violations: FieldViolation[] = [];
  const atLeast = (field: keyof ManagerOptions, least: number, most = Number.MAX_SAFE_INTEGER) => {
    const value = checked[field];
    if (
      typeof value !== "number" ||
      Number.isNaN(value) ||
      value < least ||
      (value > most && value !== Number.POSITIVE_INFINITY)
    ) {
      const upTo = most === Number.MAX_SAFE_INTEGER ? "" : ` to ${most}`;
      violations.push({ field, description: `must be a number from ${least}${upTo}, not ${String(value)}` });
    }
  };
  for (const field of [
    "cleanupIntervalMs",
    "leaseMs",
    "conversationTtlMs",
    "interruptedTtlMs",
    "maxRunningTasks",
    "maxAttempts",
    "turnTimeoutMs",
    "turnIdleTimeoutMs",
  ] as const)
    atLeast(field, 1);
  for (const field of ["maxQueuedTasks", "cancelGraceMs", "duplicateWindowMs"] as const) atLeast(field, 0);
  if (checked.conversationTtlMs < leasesPerTtl * checked.leaseMs) {
    const least = `${leasesPerTtl} times leaseMs (${checked.leaseMs})`;
    violations.push({
      field: "conversationTtlMs",
      description: `must be at least ${least}, not ${checked.conversationTtlMs}`,
    });
  }
  // A status with a short text needs some KiB. No storage holds an entry above the hard limit.
  atLeast("maxEventBytes", 4096, entryBytesMax);
  atLeast("maxTaskBytes", checked.maxEventBytes);
  if (violations.length > 0) throw invalidRequest(violations);
  return checked;
}
