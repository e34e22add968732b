import { type Agent, request as httpRequest, type IncomingHttpHeaders } from "node:http";
import { type ClientHttp2Session, connect as connectHttp2 } from "node:http2";
import { connect, type Socket } from "node:net";
import { text } from "node:stream/consumers";
import { expect } from "vitest";
import {
  createListener,
  type Listener,
  type ListenerHandler,
  type ListenerOptions,
} from "../../../src/transport/listener/listener.ts";

const opened: Listener[] = [];
export const clients: (() => void)[] = [];

/** Closes what the test opened. */
export async function closeAll(): Promise<void> {
  for (const close of clients.splice(0)) close();
  await Promise.all(opened.splice(0).map((port) => port.close(0)));
}

/** Answers with what it was asked. */
export const echo: ListenerHandler = (request, response) => {
  let bytes = 0;
  request.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
  });
  request.on("end", () => {
    response.setHeader("content-type", "text/plain");
    response.end(`${request.httpVersion} ${request.method} ${request.url} ${bytes}`);
  });
};

export async function open(
  options: Partial<ListenerOptions> = {},
): Promise<{ readonly port: Listener; readonly number: number }> {
  const port = createListener({ handler: echo, host: "127.0.0.1", port: 0, ...options });
  opened.push(port);
  const address = await port.listen();
  expect(address.host).toBe("127.0.0.1");
  return { port, number: address.port };
}

export function http2Client(url: string, options: object = {}): ClientHttp2Session {
  const session = connectHttp2(url, options);
  session.on("error", () => undefined);
  clients.push(() => session.destroy());
  return session;
}

export function tcpClient(port: number): Socket {
  const socket = connect({ host: "127.0.0.1", port });
  socket.on("error", () => undefined);
  clients.push(() => socket.destroy());
  return socket;
}

export function http2Call(session: ClientHttp2Session, path: string, body = ""): Promise<string> {
  const stream = session.request({ ":method": "POST", ":path": path });
  stream.end(body);
  return text(stream);
}

export function http1Call(
  port: number,
  options: { readonly agent?: Agent; readonly path?: string; readonly method?: string; readonly body?: string } = {},
): Promise<string> {
  const { agent, path = "/", method = "POST", body = "" } = options;
  return new Promise((resolve, reject) => {
    const request = httpRequest({ host: "127.0.0.1", port, path, method, ...(agent && { agent }) }, (response) =>
      resolve(text(response)),
    );
    request.on("error", reject);
    request.end(body);
  });
}

/** A call whose answer is looked at in full. */
export function http1Request(
  port: number,
  options: {
    readonly agent?: Agent;
    readonly method?: string;
    readonly headers?: Readonly<Record<string, string>>;
  } = {},
): Promise<{ readonly status: number | undefined; readonly headers: IncomingHttpHeaders; readonly body: string }> {
  return new Promise((resolve, reject) => {
    const request = httpRequest({ host: "127.0.0.1", port, method: "POST", ...options }, (response) => {
      resolve(text(response).then((body) => ({ status: response.statusCode, headers: response.headers, body })));
    });
    request.on("error", reject);
    request.end();
  });
}

export function whenClosed(socket: Socket | ClientHttp2Session): Promise<void> {
  return new Promise((resolve) => {
    if (socket.closed) return resolve();
    if ("resume" in socket) socket.resume();
    socket.once("close", () => resolve());
    return undefined;
  });
}
