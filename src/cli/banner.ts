import { shownStorageUrl } from "../server/open-storage.ts";
import { type Config, durationText } from "./config.ts";

/** What a person at a terminal sees at the start: where the server is, and a first call to paste. */
export function banner(config: Config, url: URL, storageUrl: string, version: string): string {
  return [
    `A2A Task Manager ${version}`,
    `  address   ${url.origin}  (${config.bindings.join(", ")}; HTTP/1.1 and HTTP/2)`,
    `  storage   ${shownStorageUrl(storageUrl)}`,
    `  TTL       ${ttlText(config, storageUrl)}`,
    `  agent     ${config.processor ?? "demo: say hello, stream 10, count 5 1000, ask, fail, ..."}`,
    "",
    "Try it:",
    `  curl -s${url.protocol === "https:" ? "k" : ""} ${url.origin}${firstCall(config)}`,
    "",
    "",
  ].join("\n");
}

/** What becomes of conversations. On a durable storage it says that data is removed: nobody expects it there. */
function ttlText({ conversationTtl, cleanup }: Config, storageUrl: string): string {
  if (conversationTtl === Number.POSITIVE_INFINITY) return "never";
  const after = `${durationText(conversationTtl)} after the last access to a conversation`;
  if (!cleanup) return `${after}, not deleted but invisible (--no-cleanup)`;
  return storageUrl === "memory:" ? after : `${after}; then its data is removed (--conversation-ttl never keeps it)`;
}

/** A first call with curl, by an enabled protocol that curl can speak. */
function firstCall({ bindings }: Config): string {
  const request = '{"message":{"messageId":"\'$(date +%s%N)\'","role":"ROLE_USER","parts":[{"text":"hello"}]}}';
  const post = (path: string, body: string) =>
    `${path} -H 'content-type: application/json' -H 'A2A-Version: 1.0' -d '${body}'`;
  if (bindings.includes("http+json")) return post("/message:send", request);
  if (bindings.includes("json-rpc"))
    return post("/", `{"jsonrpc":"2.0","id":1,"method":"SendMessage","params":${request}}`);
  if (bindings.includes("connect")) return post("/lf.a2a.v1.A2AService/SendMessage", request);
  return "/readyz";
}
