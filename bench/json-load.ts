import { Agent, request as httpRequest, type IncomingMessage } from "node:http";
import { text } from "node:stream/consumers";

/**
 * A2A's bindings in JSON, by hand on Node's own client: so little of the callers' core goes into it that the server is
 * what is measured.
 */
export const jsonBindings = ["HTTP+JSON", "JSON-RPC"] as const;
export type JsonBinding = (typeof jsonBindings)[number];

interface Message {
  readonly messageId: string;
  readonly role: string;
  readonly parts: readonly object[];
}

const methods = { send: "SendMessage", stream: "SendStreamingMessage" } as const;
/** One connection for each caller, kept. */
const agent = new Agent({ keepAlive: true });
const headers = { "content-type": "application/json", "A2A-Version": "1.0" };

/** One SendMessage. Throws for an answer without a task or message. */
export async function jsonUnary(url: string, binding: JsonBinding, content: string): Promise<void> {
  const answer = await text(await open(url, binding, "send", content));
  if (!/"(task|message)":\{/.test(answer)) throw new Error(`An empty answer: ${answer}`);
}

/** Reads a stream to its end and counts the artifact updates. */
export async function jsonStream(url: string, binding: JsonBinding, content: string): Promise<number> {
  const needle = '"artifactUpdate":';
  let chunks = 0;
  let left = "";
  const response = await open(url, binding, "stream", content);
  response.setEncoding("utf8");
  for await (const piece of response) {
    const seen: string = left + piece;
    let at = -1;
    for (at = seen.indexOf(needle); at >= 0; at = seen.indexOf(needle, at + needle.length)) chunks++;
    // Less than a needle, so that none is counted twice.
    left = seen.slice(-needle.length + 1);
  }
  return chunks;
}

function open(
  url: string,
  binding: JsonBinding,
  kind: keyof typeof methods,
  content: string,
): Promise<IncomingMessage> {
  const message: Message = { messageId: crypto.randomUUID(), role: "ROLE_USER", parts: [{ text: content }] };
  const isRpc = binding === "JSON-RPC";
  const body = JSON.stringify(
    isRpc ? { jsonrpc: "2.0", id: 1, method: methods[kind], params: { message } } : { message },
  );
  return new Promise((resolve, reject) => {
    const request = httpRequest(
      new URL(isRpc ? "/" : `/message:${kind}`, url),
      { method: "POST", headers, agent },
      resolve,
    );
    request.on("error", reject);
    request.end(body);
  });
}
