import type { OutgoingHttpHeaders } from "node:http";
import type { JsonObject } from "@bufbuild/protobuf";
import type { Logger } from "../../runtime/logger.ts";
import { retryAfterSeconds } from "../calls/call-limits.ts";
import { toConnectError } from "../errors/errors.ts";
import { jsonError } from "../errors/json-error.ts";

/** What HTTP itself has to say of a request, that no call has: the verb is wrong, nothing fits its Accept. */
export class HttpFault extends Error {
  override name = "HttpFault";
  readonly http: number;
  /** gRPC's name of the code. */
  readonly status: string;
  readonly headers: OutgoingHttpHeaders;

  constructor(http: number, status: string, message: string, headers: OutgoingHttpHeaders = {}) {
    super(message);
    this.http = http;
    this.status = status;
    this.headers = headers;
  }
}

/** An error as an answer of HTTP (R174). */
export interface ErrorAnswer {
  readonly http: number;
  readonly headers: OutgoingHttpHeaders;
  readonly body: { readonly error: JsonObject };
}

/** Whatever a call or the way to it threw, told as A2A's REST binding tells it. What nobody expected is logged. */
export function errorAnswer(error: unknown, logger: Logger): ErrorAnswer {
  if (error instanceof HttpFault) {
    const { http, status, message, headers } = error;
    return { http, headers, body: { error: { code: http, status, message, details: [] } } };
  }
  const { http, status, message, details } = jsonError(toConnectError(error, logger));
  const headers = http === 429 || http === 503 ? { "retry-after": String(retryAfterSeconds) } : {};
  return { http, headers, body: { error: { code: http, status, message, details: [...details] } } };
}
