import { StorageError } from "../storage-error.ts";

/** An error on its way between threads: structured clone keeps no class and no property of one. */
export interface WireError {
  /** Absent for a fault in the program. */
  readonly code?: StorageError["code"];
  readonly outcome: StorageError["outcome"];
  readonly message: string;
  readonly cause?: { readonly message: string; readonly stack: string | undefined };
}

/**
 * SQLite's primary result codes (https://www.sqlite.org/rescode.html) that say the database can't be reached or refuses
 * for now.
 */
const unavailableCodes: ReadonlySet<number> = new Set([
  3, // PERM
  5, // BUSY
  6, // LOCKED
  7, // NOMEM
  8, // READONLY
  9, // INTERRUPT
  10, // IOERR
  13, // FULL
  14, // CANTOPEN
  15, // PROTOCOL
  22, // NOLFS
  23, // AUTH
]);
/** CORRUPT and NOTADB; and CONSTRAINT, since the engine never asks for what a sound database refuses. */
const corruptCodes: ReadonlySet<number> = new Set([11, 26, 19]);
const tooBigCode = 18;

/**
 * What an error inside a worker means to the caller of the storage; an error that is none of SQLite's comes back as it
 * is.
 */
export function storageErrorOf(error: unknown, outcome: StorageError["outcome"] = "none"): unknown {
  if (error instanceof StorageError) {
    return error;
  }
  const code = resultCode(error);
  if (code === undefined) {
    return error;
  }
  const message = (error as Error).message;
  if (corruptCodes.has(code)) {
    return new StorageError("corrupt", `The SQLite database is damaged: ${message}`, { cause: error });
  }
  if (unavailableCodes.has(code)) {
    return new StorageError("unavailable", `The SQLite database can't be used: ${message}`, { outcome, cause: error });
  }
  if (code === tooBigCode) {
    return new StorageError("invalid", `More than SQLite holds in one value: ${message}`, { cause: error });
  }
  return error;
}

export function toWire(error: unknown): WireError {
  if (error instanceof StorageError) {
    const { code, outcome, message, cause } = error;
    return {
      code,
      outcome,
      message,
      ...(cause instanceof Error && { cause: { message: cause.message, stack: cause.stack } }),
    };
  }
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  return { outcome: "none", message, cause: { message, stack } };
}

export function fromWire(wire: WireError): Error {
  const cause =
    wire.cause === undefined ? undefined : Object.assign(new Error(wire.cause.message), { stack: wire.cause.stack });
  return wire.code === undefined
    ? new Error(wire.message, { cause })
    : new StorageError(wire.code, wire.message, { outcome: wire.outcome, cause });
}

function resultCode(error: unknown): number | undefined {
  if (error instanceof Error && "errcode" in error && typeof error.errcode === "number") {
    // The upper bits are the extended code.
    return error.errcode & 0xff;
  }
  return undefined;
}
