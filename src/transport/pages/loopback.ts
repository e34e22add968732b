import { isIP } from "node:net";

/** Whether a host is reachable from this machine only. A name other than localhost may resolve to any address. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}
