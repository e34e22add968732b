import { stripVTControlCharacters } from "node:util";

const levels: Readonly<Record<number, string>> = {
  10: "trace",
  20: "debug",
  30: "info",
  40: "warn",
  50: "error",
  60: "fatal",
};

/**
 * A line of the log for a reader at a terminal: time, level, text, then the fields. The stack of an error follows, one
 * frame a line. What clients and agents have chosen can't control the terminal: texts are quoted as in JSON.
 */
export function prettyLine(line: string): string {
  const { level, time, msg, pid, hostname, err, ...fields } = JSON.parse(line) as Readonly<Record<string, unknown>>;
  const clock = new Date(Number(time)).toISOString().slice(11, 23);
  const shown = Object.entries(fields).map(([name, value]) => `${name}=${valueText(value)}`);
  const head = [clock, (levels[Number(level)] ?? String(level)).padEnd(5), plain(String(msg)), ...shown].join(" ");
  return `${[head, ...errorLines(err)].join("\n")}\n`;
}

function errorLines(error: unknown): readonly string[] {
  if (typeof error !== "object" || error === null) return [];
  const { type, message, stack, cause, ...fields } = error as Readonly<Record<string, unknown>>;
  const texts = [String(type), ...(message === undefined ? [] : [String(message)])];
  const more = Object.entries(fields).map(([name, value]) => `${name}=${valueText(value)}`);
  const frames = typeof stack === "string" ? stack.split("\n").map((frame) => `      ${plain(frame)}`) : [];
  return [`    ${[plain(texts.join(": ")), ...more].join(" ")}`, ...frames, ...errorLines(cause)];
}

/** Words as they are, everything else as JSON. */
function valueText(value: unknown): string {
  return typeof value === "string" && /^[\w./:@-]+$/.test(value) ? value : plain(JSON.stringify(value));
}

/** Without what a terminal obeys. */
function plain(text: string): string {
  return stripVTControlCharacters(text).replaceAll(/\p{Cc}+/gu, " ");
}
