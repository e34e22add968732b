import type { OutgoingHttpHeaders } from "node:http";
import type { JsonObject } from "@bufbuild/protobuf";
import type { Logger } from "../../runtime/logger.ts";
import { retryAfterSeconds } from "../calls/call-limits.ts";
import { toConnectError } from "../errors/errors.ts";
import { jsonError } from "../errors/json-error.ts";

/** An error of HTTP itself, before there is a call: a wrong verb, an Accept that excludes everything. */
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

/** An error as an HTTP answer (R174). */
export interface ErrorAnswer {
  readonly http: number;
  readonly headers: OutgoingHttpHeaders;
  readonly body: { readonly error: JsonObject };
}

/** The answer for what a call threw, or what was thrown before it. Unexpected errors are logged. */
export function errorAnswer(error: unknown, logger: Logger): ErrorAnswer {
  if (error instanceof HttpFault) {
    const { http, status, message, headers } = error;
    return { http, headers, body: { error: { code: http, status, message, details: [] } } };
  }
  const { http, status, message, details } = jsonError(toConnectError(error, logger));
  const headers = http === 429 || http === 503 ? { "retry-after": String(retryAfterSeconds) } : {};
  return { http, headers, body: { error: { code: http, status, message, details: [...details] } } };
}
