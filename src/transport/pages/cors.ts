import { cors as connectHeaders } from "@connectrpc/connect";
import cors from "cors";
import type { RequestHandler } from "../listener/request-handler.ts";

/** How long browsers may keep the answer to a preflight, seconds: the longest that any of them does. */
const maxAgeSeconds = 7_200;

/**
 * Lets pages of these origins call over gRPC-Web, Connect and A2A's HTTP bindings: answers preflights, and adds headers
 * to every other answer. `*` stands for every origin, `null` for pages without one (files, sandboxed frames), which
 * otherwise only `*` lets in. Cookies play no part: calls carry their credentials in headers.
 */
export function allowOrigins(origins: readonly string[]): RequestHandler {
  const allow = cors({
    origin: origins.includes("*") ? "*" : [...origins],
    methods: [...connectHeaders.allowedMethods, "HEAD", "DELETE"],
    // Which headers a page may send isn't limited: the preflight's are given back.
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
 * What an entry of `--cors-origins` must be instead; undefined if it can be used: as browsers write origins, or else it
 * would never match.
 */
export function originFault(origin: string): string | undefined {
  if (origin === "*" || origin === "null") return undefined;
  const { origin: written, protocol, host } = URL.parse(origin) ?? {};
  // A scheme of some extension has no origin by the URL standard, but browsers send one all the same.
  const own = written === "null" ? `${protocol}//${host}` : written;
  return own === origin && host !== ""
    ? undefined
    : "origins as browsers send them, with commas between: https://example.com, http://localhost:5173; or *, or null";
}
