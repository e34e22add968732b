import { type DestinationStream, type Logger, type LoggerOptions, pino } from "pino";
import { StorageError } from "../storage/storage-error.ts";

export interface ServerLogOptions {
  readonly level: NonNullable<LoggerOptions["level"]>;
  /** Logs the messages of all errors, those of agents and libraries included. They may quote user data. */
  readonly errorTexts: boolean;
}

/** The most causes of an error that are logged. */
const causesMax = 5;

/**
 * The log of a server: JSON lines without the contents of messages. The message of an error may quote user data, as an
 * agent's "can't parse ..." does. Therefore only the messages of the storage's and the operating system's errors are
 * logged; of other errors the class, the code and the stack are. Other properties of an error are never logged, since
 * drivers attach whole documents to their errors.
 */
export function createServerLog({ level, errorTexts }: ServerLogOptions, destination: DestinationStream): Logger {
  return pino(
    { level, serializers: { err: (error: unknown) => shownError(error, errorTexts, causesMax) } },
    destination,
  );
}

function shownError(error: unknown, texts: boolean, causes: number): object {
  if (!(error instanceof Error)) return { type: typeof error, ...(texts && { message: String(error) }) };
  const { message, cause } = error;
  const { code, reason } = error as { readonly code?: unknown; readonly reason?: unknown };
  return {
    type: error.constructor.name,
    ...(isWord(code) && { code }),
    ...(isWord(reason) && { reason }),
    ...((texts || isHarmless(error)) && { message }),
    ...placeOf(error),
    ...(cause !== undefined && causes > 0 && { cause: shownError(cause, texts, causes - 1) }),
  };
}

/** A code is a word or a number. A sentence may quote user data. */
function isWord(value: unknown): boolean {
  return typeof value === "number" || (typeof value === "string" && /^[\w-]{1,50}$/.test(value));
}

function isHarmless(error: Error): boolean {
  // Databases quote the values that they reject.
  if (error instanceof StorageError) return error.code !== "invalid";
  return "syscall" in error && "errno" in error;
}

/** The stack without the message that it begins with. */
function placeOf({ message, stack = "" }: Error): { readonly stack?: string } {
  const place = message === "" ? stack.indexOf("\n") : stack.indexOf(message) + message.length;
  const frames = stack.includes(message) ? stack.slice(place).split("\n").slice(1) : [];
  return frames.length > 0 ? { stack: frames.map((frame) => frame.trim()).join("\n") } : {};
}
