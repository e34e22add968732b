/**
 * Whether an error is the JavaScript engine's own. Its text names terms of the engine and differs from version to
 * version, so clients don't get it.
 */
export function isEngineError(error: unknown): boolean {
  return engineErrors.some((type) => error instanceof type);
}

const engineErrors = [SyntaxError, TypeError, RangeError, URIError, ReferenceError, EvalError];
