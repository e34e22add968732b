/**
 * Where a component says what an operator should know. pino's logger is one. Never given contents of messages; but
 * `err` holds an error as it was thrown, and its text may quote them where an agent or a library wrote it. What of it
 * is shown is the logger's to decide.
 */
export interface Logger {
  debug(fields: object, text: string): void;
  info(fields: object, text: string): void;
  warn(fields: object, text: string): void;
  error(fields: object, text: string): void;
}

export const silentLogger: Logger = { debug() {}, info() {}, warn() {}, error() {} };
