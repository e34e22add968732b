/**
 * Takes log lines for operators; pino's logger is one. Log lines never hold the content of messages. But `err` is an
 * error as it was thrown, and an agent or a library may quote content in its text. The logger decides what of it is
 * written.
 */
export interface Logger {
  debug(fields: object, text: string): void;
  info(fields: object, text: string): void;
  warn(fields: object, text: string): void;
  error(fields: object, text: string): void;
  /** Whether lines of a level are written, so that none is built in vain. A logger without it writes all. */
  isLevelEnabled?(level: string): boolean;
}

export const silentLogger: Logger = { debug() {}, info() {}, warn() {}, error() {}, isLevelEnabled: () => false };
