import {
  createServer as createHttp1Server,
  type Server as Http1Server,
  type IncomingMessage,
  type ServerResponse,
} from "node:http";
import {
  constants,
  createServer as createHttp2Server,
  type Http2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
  type Http2Session,
  type ServerHttp2Session,
} from "node:http2";
import { type AddressInfo, createServer as createTcpServer, type Socket, type Server as TcpServer } from "node:net";
import { createServer as createTlsServer, type TLSSocket, Server as TlsServer } from "node:tls";
import { type Clock, systemClock } from "../../runtime/clock.ts";
import { type Logger, silentLogger } from "../../runtime/logger.ts";
import { readFirstBytes } from "./detect-protocol.ts";
import { closeWhenIdle } from "./idleness.ts";
import { type ListenerLimits, listenerLimits } from "./listener-limits.ts";
import { watchForSilence } from "./pings.ts";

/** A request of `node:http` or `node:http2`. */
export type NodeRequest = IncomingMessage | Http2ServerRequest;
export type NodeResponse = ServerResponse | Http2ServerResponse;
export type ListenerHandler = (request: NodeRequest, response: NodeResponse) => void;

export interface ListenerOptions {
  /** Gets every request of both versions. */
  readonly handler: ListenerHandler;
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  /** Certificate chain and private key, PEM. With them the port speaks TLS only. */
  readonly tls?: { readonly cert: string | Buffer; readonly key: string | Buffer };
  readonly limits?: Partial<ListenerLimits>;
  readonly clock?: Clock;
  readonly logger?: Logger;
}

/** One TCP port for HTTP/1.1 and HTTP/2. */
export interface Listener {
  /** Resolves to the address. Rejects with Node's error, such as EADDRINUSE. To be called once. */
  listen(): Promise<{ readonly host: string; readonly port: number }>;
  /**
   * Connections that begin from now on get this certificate; open ones go on. Throws Node's error for what can't be
   * used, and changes nothing then. Only for a listener that was created with a certificate.
   */
  replaceTls(tls: NonNullable<ListenerOptions["tls"]>): void;
  /**
   * Stops accepting, lets open requests end for `graceMs`, then cuts the rest. No socket is open when it resolves. A
   * second call joins the first.
   */
  close(graceMs: number): Promise<void>;
}

/**
 * Creates a listener. It detects the protocol of a connection by the first bytes and hands it to an HTTP/1.1 or an
 * HTTP/2 server, which don't listen themselves. With TLS it does the same after the handshake, whatever ALPN says. So
 * every limit holds for all four combinations.
 */
export function createListener(options: ListenerOptions): Listener {
  return new OnePort(options);
}

/** Older versions are broken (R187). Set here, so that no command-line option of Node's allows them. */
const tlsVersionMin = "TLSv1.2";

/** The state of an open connection. */
interface Connection {
  /** Undefined until the first bytes have arrived. */
  version: 1 | 2 | undefined;
  session: ServerHttp2Session | undefined;
  /** HTTP/1.1: the newest response. */
  response: ServerResponse | undefined;
  /** Requests whose answer isn't complete. */
  requests: number;
  /** Since when there has been none, by the monotonic clock. */
  idleSinceMs: number;
  /** It takes no more requests and ends with the open ones. */
  retiring: boolean;
}

/** States: created → listening → closing → closed. */
class OnePort implements Listener {
  readonly #options: ListenerOptions;
  readonly #limits: ListenerLimits;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #front: TcpServer;
  readonly #http1: Http1Server;
  readonly #http2: Http2Server;
  readonly #connections = new Map<Socket, Connection>();
  readonly #sessions = new WeakMap<Http2Session, Connection>();
  /** Connections in their TLS handshake, by the client's address: Node doesn't link them to their TLS sockets. */
  readonly #handshakes = new Map<string, Socket>();
  /** Each cuts a request whose rest is read only to be dropped. */
  readonly #readingOut = new Set<() => void>();
  #closing: Promise<void> | undefined;

  constructor(options: ListenerOptions) {
    this.#options = options;
    this.#limits = { ...listenerLimits, ...options.limits };
    this.#clock = options.clock ?? systemClock;
    this.#logger = options.logger ?? silentLogger;
    this.#http1 = this.#makeHttp1();
    this.#http2 = this.#makeHttp2();
    this.#front = this.#makeFront();
  }

  async listen(): Promise<{ readonly host: string; readonly port: number }> {
    const { host, port } = this.#options;
    await new Promise<void>((resolve, reject) => {
      this.#front.once("error", reject);
      this.#front.listen({ host, port }, () => {
        this.#front.off("error", reject);
        resolve();
      });
    });
    // Errors of accepting, such as no file descriptors left. Open connections go on.
    this.#front.on("error", (error) => this.#logger.error({ err: error }, "A connection could not be accepted"));
    // An HTTP/1.1 server checks its time limits from the event "listening" on, and this one doesn't listen by itself.
    this.#http1.emit("listening");
    const address = this.#front.address() as AddressInfo;
    return { host: address.address, port: address.port };
  }

  replaceTls({ cert, key }: NonNullable<ListenerOptions["tls"]>): void {
    if (!(this.#front instanceof TlsServer)) throw new Error("The listener has no TLS");
    this.#front.setSecureContext({ cert, key, minVersion: tlsVersionMin });
  }

  close(graceMs: number): Promise<void> {
    this.#closing ??= this.#close(graceMs);
    return this.#closing;
  }

  async #close(graceMs: number): Promise<void> {
    // Calls back when the last connection is closed, or at once if the server never listened.
    const gone = new Promise<void>((resolve) => this.#front.close(() => resolve()));
    for (const socket of this.#handshakes.values()) socket.destroy();
    for (const cut of this.#readingOut) this.#clock.after(this.#limits.lastBytesMs, cut);
    for (const [socket, connection] of this.#connections) this.#retire(socket, connection);
    const cancel = this.#clock.after(graceMs, () => {
      for (const socket of this.#connections.keys()) socket.destroy();
    });
    await gone;
    cancel();
    this.#http1.close();
  }

  // ── Connections ──

  #makeFront(): TcpServer {
    const { tls } = this.#options;
    const { connectionsMax, firstBytesMs, tcpKeepAliveMs } = this.#limits;
    // Half-open: a client may end its side after its request. The HTTP servers close the other side.
    const tcp = { noDelay: true, keepAlive: true, keepAliveInitialDelay: tcpKeepAliveMs, allowHalfOpen: true };
    let front: TcpServer;
    if (tls === undefined) {
      front = createTcpServer(tcp, (socket) => this.#accept(socket));
    } else {
      const { cert, key } = tls;
      front = createTlsServer(
        {
          ...tcp,
          cert,
          key,
          minVersion: tlsVersionMin,
          ALPNProtocols: ["h2", "http/1.1"],
          handshakeTimeout: firstBytesMs,
        },
        (socket) => {
          this.#handshakes.delete(remoteOf(socket));
          this.#accept(socket);
        },
      );
      front.on("connection", (socket: Socket) => this.#shake(socket));
      front.on("tlsClientError", (error: Error, socket: TLSSocket) => {
        this.#logger.debug({ err: error }, "A TLS handshake failed");
        // Node leaves the socket open after a timeout.
        socket.destroy();
      });
    }
    front.maxConnections = connectionsMax;
    return front;
  }

  #shake(socket: Socket): void {
    const remote = remoteOf(socket);
    this.#handshakes.set(remote, socket);
    socket.once("close", () => {
      if (this.#handshakes.get(remote) === socket) this.#handshakes.delete(remote);
    });
  }

  #accept(socket: Socket): void {
    // Resets are common. Without a listener an error would end the process.
    socket.on("error", (error) => this.#logger.debug({ err: error }, "A connection broke"));
    // It was in its TLS handshake when the listener began to close.
    if (this.#closing !== undefined) {
      socket.destroy();
      return;
    }
    const connection: Connection = {
      version: undefined,
      session: undefined,
      response: undefined,
      requests: 0,
      idleSinceMs: this.#clock.monotonic(),
      retiring: false,
    };
    this.#connections.set(socket, connection);
    const cancelAge = this.#limitAge(socket, connection);
    socket.once("close", () => {
      this.#connections.delete(socket);
      cancelAge();
    });
    readFirstBytes(socket, this.#clock, this.#limits.firstBytesMs, (version) => {
      if (socket.destroyed) return;
      connection.version = version;
      if (version === 1) {
        this.#http1.emit("connection", socket);
        return;
      }
      // HTTP/2 ends one side by itself. A client that ends the socket is gone.
      socket.allowHalfOpen = false;
      this.#http2.once("session", (session) => this.#begin(session, socket, connection));
      this.#http2.emit("connection", socket);
    });
  }

  #begin(session: ServerHttp2Session, socket: Socket, connection: Connection): void {
    connection.session = session;
    this.#sessions.set(session, connection);
    const { connectionWindowBytes, idleMs, firstBytesMs, silentMs, pingAnswerMs } = this.#limits;
    session.setLocalWindowSize(connectionWindowBytes);
    closeWhenIdle(session, socket, this.#clock, { idleMs, closeMs: firstBytesMs }, connection);
    const dead = () => {
      this.#logger.debug({ silentMs: silentMs + pingAnswerMs }, "A client that stopped answering was cut off");
      socket.destroy();
    };
    watchForSilence(session, socket, this.#clock, { silentMs, answerMs: pingAnswerMs, dead });
  }

  /** Ends a connection at its maximal age, with some jitter. The result cancels that. */
  #limitAge(socket: Socket, connection: Connection): () => void {
    const { ageMs, ageGraceMs } = this.#limits;
    if (ageMs === 0) return () => {};
    let cancel = this.#clock.after(ageMs * (0.9 + Math.random() * 0.2), () => {
      cancel = this.#clock.after(ageGraceMs, () => socket.destroy());
      this.#retire(socket, connection);
    });
    return () => cancel();
  }

  /** Ends a connection after its open requests. */
  #retire(socket: Socket, connection: Connection): void {
    connection.retiring = true;
    const { version, session, response, requests } = connection;
    if (version === undefined) socket.destroy();
    else if (version === 2) {
      // GOAWAY: open streams go on to their end, new ones have to be opened on another connection.
      session?.close();
      if (requests === 0 && session !== undefined) this.#end(session);
    } else if (requests === 0) socket.destroySoon();
    // Without it a client may send its next request into a connection that is being closed.
    else if (response?.headersSent === false) response.setHeader("connection", "close");
  }

  /**
   * Ends a session without open answers. It doesn't wait for what clients still send; what is on its way to them goes
   * out first.
   */
  #end(session: Http2Session): void {
    setImmediate(() => session.destroy());
  }

  // ── Requests ──

  #makeHttp1(): Http1Server {
    const { headMs, requestMs, checkMs, keepAliveMs, headBytesMax } = this.#limits;
    return createHttp1Server(
      {
        headersTimeout: headMs,
        requestTimeout: requestMs,
        connectionsCheckingInterval: checkMs,
        keepAliveTimeout: keepAliveMs,
        maxHeaderSize: headBytesMax,
      },
      (request, response) => {
        const { socket } = request;
        const connection = this.#connections.get(socket);
        if (connection === undefined) return;
        connection.response = response;
        if (connection.retiring) response.setHeader("connection", "close");
        response.once("finish", () => this.#readOut(request, () => socket.destroy()));
        this.#serve(connection, request, response, ["finish", "close"], () => socket.destroySoon());
      },
    );
  }

  /**
   * Reads and drops the rest of a request that was answered early, for example because it is too large. Over HTTP/1.1
   * the rest precedes the next request on the connection. Over HTTP/2 a client may not read the answer before it has
   * sent everything. A client that doesn't stop is cut off.
   */
  #readOut(request: NodeRequest, cut: () => void): void {
    if (request.complete) return;
    const { firstBytesMs, lastBytesMs, lastPiecesMax } = this.#limits;
    const cancel = this.#clock.after(this.#closing === undefined ? firstBytesMs : lastBytesMs, cut);
    const done = () => {
      cancel();
      this.#readingOut.delete(cut);
    };
    this.#readingOut.add(cut);
    request.once("close", done);
    request.once("end", done);
    let pieces = 0;
    request.on("data", () => {
      if (++pieces > lastPiecesMax) cut();
    });
    request.resume();
  }

  #makeHttp2(): Http2Server {
    const {
      headBytesMax,
      requestMs,
      streamsMax,
      sessionMegabytesMax,
      streamWindowBytes,
      resetsBurst,
      resetsPerSecond,
    } = this.#limits;
    const server = createHttp2Server(
      {
        settings: {
          maxConcurrentStreams: streamsMax,
          initialWindowSize: streamWindowBytes,
          maxHeaderListSize: headBytesMax,
        },
        maxSessionMemory: sessionMegabytesMax,
        streamResetBurst: resetsBurst,
        streamResetRate: resetsPerSecond,
      },
      (request, response) => {
        const { session } = request.stream;
        const connection = session && this.#sessions.get(session);
        if (session === undefined || connection === undefined) return;
        // "finish" of the stream means written but not yet sent. Ending the session then would lose the status and the
        // trailers of a gRPC call.
        response.stream.once("finish", () =>
          this.#readOut(request, () => request.stream.close(constants.NGHTTP2_NO_ERROR)),
        );
        const cancel = this.#clock.after(requestMs, () => {
          // Unless its body is read, a request without a body shows only here that it is complete.
          const isComplete = request.complete || request.stream.endAfterHeaders;
          if (!isComplete && !response.headersSent) request.stream.close(constants.NGHTTP2_CANCEL);
        });
        response.once("close", cancel);
        this.#serve(connection, request, response, ["close"], () => this.#end(session));
      },
    );
    // Node's own answer to `expect` throws, and ends the process, for a stream that was reset with its head.
    server.on("checkContinue", (request, response) => {
      if (response.stream.destroyed || response.stream.closed) return;
      response.writeContinue();
      server.emit("request", request, response);
    });
    server.on("sessionError", (error) => this.#logger.debug({ err: error }, "An HTTP/2 connection broke"));
    return server;
  }

  /** `ends` are the events of the response that mean the answer is complete, whatever the rest of the request. */
  #serve(
    connection: Connection,
    request: NodeRequest,
    response: NodeResponse,
    ends: readonly ("finish" | "close")[],
    onIdle: () => void,
  ): void {
    connection.requests++;
    let open = true;
    const done = () => {
      if (!open) return;
      open = false;
      connection.requests--;
      if (connection.requests > 0) return;
      connection.idleSinceMs = this.#clock.monotonic();
      connection.response = undefined;
      if (connection.retiring) onIdle();
    };
    for (const end of ends) response.once(end, done);
    try {
      this.#options.handler(request, response);
    } catch (error) {
      this.#logger.error({ err: error }, "A request failed unexpectedly");
      response.destroy();
    }
  }
}

function remoteOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}
