import type { Input } from "./inputs.ts";
import type { Answer } from "./wire.ts";

/** What an answer says, whatever the way. */
export interface Outcome {
  /** "ok", or the code of the error: gRPC's number or name, Connect's name, JSON-RPC's number, or HTTP's status. */
  readonly code: string;
  /** All that a client is told of the error. */
  readonly told: string;
}

/**
 * Defects that are known: INTERNAL with these texts for inputs that are a client's fault. Empty means that there are
 * none.
 */
export const knownInternal: readonly RegExp[] = [];

/** The same for texts of the engine. */
export const knownEngineTexts: readonly RegExp[] = [];

/** gRPC and Connect define INTERNAL for this fault of a client: a message flagged as compressed without an encoding. */
const definedInternal: readonly RegExp[] = [
  /flagged as compressed, but there is no grpc-encoding/,
  /received compressed envelope, but do not know how to decompress/,
];

const internalCodes: ReadonlySet<string> = new Set([
  "2",
  "13",
  "15",
  "internal",
  "unknown",
  "data_loss",
  "INTERNAL",
  "UNKNOWN",
  "DATA_LOSS",
  "-32006",
]);

/** Texts of the engines below the server, which say nothing to a client. */
const engineTexts: readonly RegExp[] = [
  // V8
  /\b(?:Type|Range|Syntax|Reference|URI|Eval|Aggregate)Error\b/,
  /Unexpected (?:token|end of JSON|non-whitespace)|Unterminated string|Bad control character|in JSON at position/,
  /is not a function|is not iterable|" is not valid JSON|is not defined|Cannot (?:read|convert|mix|set|destructure)/,
  /call stack|heap|Invalid (?:array|string|typed array|time) |URI malformed/,
  /\bat \S+ \(|\.(?:ts|js|mjs):\d+/,
  // SQLite
  /sqlite|constraint failed|no such (?:table|column)|database (?:is locked|disk image)|datatype mismatch/i,
  // Node
  /\bERR_[A-Z]|\bE(?:CONN|PIPE|NOENT|INVAL|ADDR)|node:|Invalid state|encoded data was not valid/,
  // zlib
  /incorrect (?:header|data|length) check|invalid (?:stored block|distance|code lengths|block type|literal|window)/,
  /unexpected end of file|Z_[A-Z]+_ERROR|zlib|unknown compression method|Decompression failed/,
];

/** The first thing that is wrong with an answer; undefined if there is none. */
export function faultOf(input: Input, answer: Answer): string | undefined {
  const { edits, cutAt, request } = input;
  // HTTP/2 itself refuses some heads, such as one with a wrong length: only the stream, or the connection, tells it.
  // Over HTTP/1.1 the server waits for a body of that length.
  const isBadHead = input.faults.includes("head") && (request.version === 2 || "content-length" in request.headers);
  const mayBreak = edits !== undefined || cutAt !== undefined || isBadHead;
  if (answer.status === 0)
    return mayBreak && input.faults.length > 0 ? undefined : `no answer: ${answer.error ?? answer.end}`;
  const { code, told } = outcomeOf(answer);
  if (code === "ok") return undefined;
  const engineText = engineTexts.find((pattern) => pattern.test(told));
  if (engineText !== undefined && !knownEngineTexts.some((pattern) => pattern.test(told)))
    return `a text of the engine: ${engineText.exec(told)?.[0]}`;
  if (!internalCodes.has(code)) return undefined;
  return [...definedInternal, ...knownInternal].some((pattern) => pattern.test(told)) ? undefined : `INTERNAL: ${code}`;
}

/** Whether a line of the server's log, or of Node's, shows an error that nobody handled. */
export function isFaultyLine(line: string): boolean {
  if (line === "") return false;
  try {
    return JSON.parse(line).level >= errorLevel;
  } catch {
    // Node's warnings and the traces of a crash.
    return true;
  }
}

const errorLevel = 50;

export function outcomeOf({ status, headers, body }: Answer): Outcome {
  const type = headers["content-type"] ?? "";
  const text = body.toString();
  if (type.startsWith("application/grpc")) {
    const code = headers["grpc-status"] ?? /grpc-status: ?(\d+)/.exec(text)?.[1] ?? (status === 200 ? "0" : status);
    const message = headers["grpc-message"] ?? /grpc-message: ?([^\r\n]*)/.exec(text)?.[1] ?? "";
    return { code: String(code) === "0" ? "ok" : String(code), told: unescaped(String(message)) };
  }
  if (type.startsWith("application/connect")) {
    const told = /\{"error":.*\}/s.exec(text)?.[0];
    return told === undefined ? { code: "ok", told: "" } : { code: /"code":"(\w+)"/.exec(told)?.[1] ?? "", told };
  }
  if (type.startsWith("text/event-stream")) {
    const told = /^data: .*"error":.*$/m.exec(text)?.[0];
    return told === undefined ? { code: "ok", told: "" } : { code: codeIn(told), told };
  }
  if (status < 400) {
    const isError = /^(?:\[?\{"jsonrpc":"2.0","id":[^{}]*,)"error":/.test(text);
    return isError ? { code: codeIn(text), told: text } : { code: "ok", told: "" };
  }
  return { code: status === 500 ? "INTERNAL" : codeIn(text) || String(status), told: text };
}

/** The code in the JSON of an error. JSON-RPC has one code for INTERNAL and for errors that tell their reason. */
function codeIn(text: string): string {
  const code = /"status":"([A-Z_]+)"/.exec(text)?.[1] ?? /"code":"?([\w-]+)/.exec(text)?.[1] ?? "";
  if (code !== "-32603") return code;
  return /"reason":"(?:UNAVAILABLE|TOO_MANY)"|deadline|went away|hung up/.test(text) ? code : "INTERNAL";
}

function unescaped(message: string): string {
  try {
    return decodeURIComponent(message);
  } catch {
    return message;
  }
}
