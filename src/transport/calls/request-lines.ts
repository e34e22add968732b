import type { IncomingHttpHeaders } from "node:http";
import type { HandlerContext } from "@connectrpc/connect";

/**
 * The header lines of a request. `Headers` are made only when they are asked for: to make them costs more than most of
 * a small call, and it needs one or two lines.
 */
export class RequestLines implements Pick<Headers, "get"> {
  readonly #lines: IncomingHttpHeaders;
  #headers: Headers | undefined;

  /** Holds the lines alone, not the request. */
  constructor(lines: IncomingHttpHeaders) {
    this.#lines = lines;
  }

  /** The value of a header, by its name in any case. Null without such a line. */
  get(name: string): string | null {
    if (this.#headers !== undefined) return this.#headers.get(name);
    const value = this.#lines[name.toLowerCase()];
    return value === undefined ? null : String(value);
  }

  /** All lines without HTTP/2's pseudo-headers. What is changed here is seen by `get`. */
  get headers(): Headers {
    this.#headers ??= new Headers(headerLines(this.#lines));
    return this.#headers;
  }
}

/** The lines without HTTP/2's pseudo-headers, one entry for each line. */
function headerLines(headers: IncomingHttpHeaders): [name: string, value: string][] {
  const lines: [string, string][] = [];
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined || name.startsWith(":")) continue;
    for (const one of Array.isArray(value) ? value : [value]) lines.push([name, one]);
  }
  return lines;
}

/** The headers of any call, for those who need a few of them. */
export function linesOf(context: HandlerContext & { readonly requestLines?: RequestLines }): Pick<Headers, "get"> {
  return context.requestLines ?? context.requestHeader;
}
