import { type DestinationStream, type Logger, type LoggerOptions, pino } from "pino";
import { StorageError } from "../storage/storage-error.ts";

export interface ServerLogOptions {
  readonly level: NonNullable<LoggerOptions["level"]>;
  /** Log the messages of all errors, also of those that an agent or a library threw. These may quote user data. */
  readonly errorTexts: boolean;
}

/** The number of nested causes that are logged with an error. */
const causesMax = 5;

/**
 * The log of a server: JSON lines without user data. No field of a line holds a message's content, but the message of
 * an error may quote it, such as an agent's "can't parse ...". So error messages are logged only where they are known
 * to be free of user data: those of the storage and of the operating system. Of all other errors only the class, the
 * code and the stack are logged. Other properties of an error are never logged: database drivers attach whole
 * documents to theirs.
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

/** True for a code: one word or a number. A sentence may quote user data. */
function isWord(value: unknown): boolean {
  return typeof value === "number" || (typeof value === "string" && /^[\w-]{1,50}$/.test(value));
}

function isHarmless(error: Error): boolean {
  // The message of an "invalid" error quotes the value that the database rejected.
  if (error instanceof StorageError) return error.code !== "invalid";
  return "syscall" in error && "errno" in error;
}

/** The stack without the error message that it begins with. */
function placeOf({ message, stack = "" }: Error): { readonly stack?: string } {
  const place = message === "" ? stack.indexOf("\n") : stack.indexOf(message) + message.length;
  const frames = stack.includes(message) ? stack.slice(place).split("\n").slice(1) : [];
  return frames.length > 0 ? { stack: frames.map((frame) => frame.trim()).join("\n") } : {};
}
