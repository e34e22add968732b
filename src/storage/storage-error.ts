/**
 * The one kind of error that leaves a storage.
 * - "unavailable": the database can't be reached or refuses for now; trying again may help.
 * - "missing": what the call needs to exist doesn't.
 * - "invalid": the call breaks a rule of the port, such as an id that is too long. A fault of the caller; trying again
 *   doesn't help.
 * - "corrupt": the database holds what it can't hold.
 * - "closed": the storage was closed.
 */
export class StorageError extends Error {
  override name = "StorageError";
  readonly code: "unavailable" | "missing" | "invalid" | "corrupt" | "closed";
  /** "none": nothing changed. "unknown": it may have happened. */
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
    return this.code === "unavailable";
  }
}
