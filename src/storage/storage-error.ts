/**
 * The only class of error that a storage throws.
 * - "unavailable": the database can't be reached or refuses the call for now. Another try may succeed.
 * - "missing": the call refers to something that doesn't exist.
 * - "running": a task of the conversation is SUBMITTED or WORKING, and the call would remove it.
 * - "lost": the database was removed or replaced while the storage was open. Another try succeeds once it is back.
 * - "invalid": the call breaks a rule of the port, such as the length of an id. Another try fails as well.
 * - "corrupt": the database contains something that the storage can't have written.
 * - "closed": the storage was closed.
 */
export class StorageError extends Error {
  override name = "StorageError";
  readonly code: "unavailable" | "missing" | "running" | "lost" | "invalid" | "corrupt" | "closed";
  /** "none": the call had no effect. "unknown": it may have had its effect. */
  readonly outcome: "none" | "unknown";

  constructor(
    code: StorageError["code"],
    message: string,
    options?: { readonly outcome?: "none" | "unknown"; readonly cause?: unknown },
  ) {
    super(message, options?.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.outcome = options?.outcome ?? "none";
  }

  get retryable(): boolean {
    return this.code === "unavailable" || this.code === "lost";
  }
}

/** The error "running" of a conversation. */
export function taskRuns(contextId: string): StorageError {
  return new StorageError("running", `A task of conversation "${contextId}" is running`);
}
