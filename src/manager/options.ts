import { entryBytesMax, eventBytesMaxDefault, taskBytesMaxDefault } from "../domain/limits.ts";
import { type FieldViolation, invalidRequest } from "../domain/task-error.ts";

/** How a task manager behaves; every field has a default. Times in milliseconds. */
export interface ManagerOptions {
  /** Remove expired conversations, where the storage doesn't do it by itself. Default true. */
  readonly enableCleanup?: boolean;
  /** How often. Default 30 s. */
  readonly cleanupIntervalMs?: number;
  /** A conversation expires this long after its last access. Default 1 h. */
  readonly conversationTtlMs?: number;
  /** How long INPUT_REQUIRED and AUTH_REQUIRED hold a conversation. Default 7 days. */
  readonly interruptedTtlMs?: number;
  /** Tasks that run at once on this replica; more stay SUBMITTED. Default 100. */
  readonly maxRunningTasks?: number;
  /** Tasks that wait for that; more are refused (RESOURCE_EXHAUSTED). Default 10,000. */
  readonly maxQueuedTasks?: number;
  /** A turn that takes longer is aborted and FAILED. Default 1 h. */
  readonly turnTimeoutMs?: number;
  /** So is one that yields nothing for this long. Default 10 min. */
  readonly turnIdleTimeoutMs?: number;
  /** What a turn has to yield last events once its signal is aborted. Default 5 s. */
  readonly cancelGraceMs?: number;
  /** A message sent again within this time joins the first. 0: never. Default 10 min. */
  readonly duplicateWindowMs?: number;
  /**
   * The same message id with other content: a new message ("lenient", with a warning in the log), or refused
   * ("strict"). Default "lenient".
   */
  readonly messageIds?: "lenient" | "strict";
  /** The largest message or event, bytes. Default just under 4 MiB, what gRPC clients take. At most 12 MiB. */
  readonly maxEventBytes?: number;
  /** The largest task, bytes over all its entries. Default 64 MiB. */
  readonly maxTaskBytes?: number;
}

export const managerDefaults: Required<ManagerOptions> = {
  enableCleanup: true,
  cleanupIntervalMs: 30_000,
  conversationTtlMs: 3_600_000,
  interruptedTtlMs: 7 * 24 * 3_600_000,
  maxRunningTasks: 100,
  maxQueuedTasks: 10_000,
  turnTimeoutMs: 3_600_000,
  turnIdleTimeoutMs: 600_000,
  cancelGraceMs: 5_000,
  duplicateWindowMs: 600_000,
  messageIds: "lenient",
  maxEventBytes: eventBytesMaxDefault,
  maxTaskBytes: taskBytesMaxDefault,
};

/** The options with defaults filled in. Throws TaskError INVALID_REQUEST that names every fault. */
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
      violations.push({
        field,
        description: `must be a number from ${least}${most === Number.MAX_SAFE_INTEGER ? "" : ` to ${most}`}, not ${String(value)}`,
      });
    }
  };
  for (const field of [
    "cleanupIntervalMs",
    "conversationTtlMs",
    "interruptedTtlMs",
    "maxRunningTasks",
    "turnTimeoutMs",
    "turnIdleTimeoutMs",
  ] as const)
    atLeast(field, 1);
  for (const field of ["maxQueuedTasks", "cancelGraceMs", "duplicateWindowMs"] as const) atLeast(field, 0);
  // Below a few KiB not even a status with a short text fits; above the hard limit of an entry nothing could be stored.
  atLeast("maxEventBytes", 4096, entryBytesMax);
  atLeast("maxTaskBytes", checked.maxEventBytes);
  if (violations.length > 0) throw invalidRequest(violations);
  return checked;
}
