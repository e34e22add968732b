import { type DestinationStream, type Logger, type LoggerOptions, pino } from "pino";
import { StorageError } from "../storage/storage-error.ts";

export interface ServerLogOptions {
  readonly level: NonNullable<LoggerOptions["level"]>;
  /** Show the texts of all errors, also of those an agent or a library threw: they may quote what was said. */
  readonly errorTexts: boolean;
}

/** How many causes behind an error are shown. */
const causesMax = 5;

/**
 * The log of a server: JSON lines without the contents of messages. Those never are among the fields of a line; but
 * errors are, and the text of an error may quote anything, as an agent's "can't parse ..." does. So only texts known to
 * be free of that are shown, the storage's and the operating system's; of other errors the class, the code and the
 * place remain. Nothing else of an error is shown in any case: drivers hang whole documents on theirs.
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

/** Codes are words or numbers; a sentence is none. */
function isWord(value: unknown): boolean {
  return typeof value === "number" || (typeof value === "string" && /^[\w-]{1,50}$/.test(value));
}

function isHarmless(error: Error): boolean {
  // Databases quote the values they refuse.
  if (error instanceof StorageError) return error.code !== "invalid";
  return "syscall" in error && "errno" in error;
}

/** The stack behind the text that it begins with. */
function placeOf({ message, stack = "" }: Error): { readonly stack?: string } {
  const place = message === "" ? stack.indexOf("\n") : stack.indexOf(message) + message.length;
  const frames = stack.includes(message) ? stack.slice(place).split("\n").slice(1) : [];
  return frames.length > 0 ? { stack: frames.map((frame) => frame.trim()).join("\n") } : {};
}
