import { cors as connectHeaders } from "@connectrpc/connect";
import cors from "cors";
import type { RequestHandler } from "../listener/request-handler.ts";

/** How long browsers may cache the answer to a preflight, seconds: the longest time that any of them allows. */
const maxAgeSeconds = 7_200;

/**
 * Allows pages of these origins to call over gRPC-Web, Connect and A2A's HTTP bindings: it answers preflights, and adds
 * headers to every other answer. `*` means every origin, `null` pages without an origin (files, sandboxed frames). Cookies
 * are not used: calls carry their credentials in headers.
 */
export function allowOrigins(origins: readonly string[]): RequestHandler {
  const allow = cors({
    origin: origins.includes("*") ? "*" : [...origins],
    methods: [...connectHeaders.allowedMethods, "HEAD", "DELETE"],
    // A page may send any header: those of the preflight are allowed.
    exposedHeaders: [...connectHeaders.exposedHeaders, "A2A-Extensions", "X-A2A-Extensions", "ETag"],
    maxAge: maxAgeSeconds,
  });
  return (request, response) => {
    let passed = false;
    allow(request, response, () => {
      passed = true;
    });
    return !passed;
  };
}

/**
 * What an entry of `--cors-origins` must be, or undefined if it is valid. It has to be written as browsers write origins,
 * or it would never match.
 */
export function originFault(origin: string): string | undefined {
  if (origin === "*" || origin === "null") return undefined;
  const { origin: written, protocol, host } = URL.parse(origin) ?? {};
  // The URL standard gives the scheme of a browser extension no origin, but browsers send one.
  const own = written === "null" ? `${protocol}//${host}` : written;
  return own === origin && host !== ""
    ? undefined
    : "origins as browsers send them, with commas between: https://example.com, http://localhost:5173; or *, or null";
}
