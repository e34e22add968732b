/** Bounds of one listener, with their reasons. Times in milliseconds, sizes in bytes. */
export interface ListenerLimits {
  /**
   * From the beginning of a connection to the bytes that show its protocol. In both versions the client speaks first,
   * so a client that is silent for longer only holds a socket. A TLS handshake has the same time before that.
   */
  readonly firstBytesMs: number;
  /**
   * While the listener closes: time for the rest of a request that is already answered. Reading it lets the answer
   * reach the client.
   */
  readonly lastBytesMs: number;
  /**
   * Pieces of the rest of a request that is already answered. A client that sends large pieces ends within them, and
   * small ones cost as much as large ones.
   */
  readonly lastPiecesMax: number;
  /** HTTP/1.1: to the end of a request's head. A Slowloris attack sends it one byte at a time. */
  readonly headMs: number;
  /**
   * To the end of a request with its body: enough for the largest one over a slow line. Over HTTP/1.1 it ends with the
   * request, so it never cuts an answer that streams. Over HTTP/2 it also ends when the answer begins, since the
   * request of a stream in both directions has no end.
   */
  readonly requestMs: number;
  /** HTTP/1.1: how often these two limits are checked. */
  readonly checkMs: number;
  /**
   * HTTP/1.1: how long an idle connection is kept. Longer than load balancers keep theirs (60 s), or they send a
   * request into a connection that is being closed.
   */
  readonly keepAliveMs: number;
  /**
   * HTTP/2: a connection without a request is closed by GOAWAY after this time. Clients reconnect when they need to.
   */
  readonly idleMs: number;
  /**
   * HTTP/2: a client that has sent nothing for this time gets a PING. Below the minute after which the strictest NATs
   * and load balancers drop a silent connection.
   */
  readonly silentMs: number;
  /** HTTP/2: a client that sends nothing for this time after the PING is cut off. gRPC allows the same time. */
  readonly pingAnswerMs: number;
  /**
   * A connection of this age, give or take a tenth, takes no more requests: GOAWAY, or `connection: close`. Clients
   * then spread over new servers. 0: any age.
   */
  readonly ageMs: number;
  /** Requests that are still open on it are cut after this time. */
  readonly ageGraceMs: number;
  /** TCP probes an idle connection after this time: long streams are silent for hours. */
  readonly tcpKeepAliveMs: number;
  /** Connections at once; more are refused. All of them fit in memory, at about 20 KiB each. */
  readonly connectionsMax: number;
  /** The head of a request: the size that common proxies let through. */
  readonly headBytesMax: number;
  /**
   * HTTP/2: requests at once on one connection. A gRPC client keeps one connection and waits if the bound is reached.
   * Streams last for hours, so a low bound would be a deadlock.
   */
  readonly streamsMax: number;
  /**
   * HTTP/2: memory that Node may hold for one connection with all its streams, MB. Node's default of 10 refuses streams
   * long before `streamsMax`.
   */
  readonly sessionMegabytesMax: number;
  /**
   * HTTP/2: bytes that a client may send on one stream, and on the connection, before the server has read them. The
   * protocol's default of 64 KiB costs a round trip for each 64 KiB.
   */
  readonly streamWindowBytes: number;
  readonly connectionWindowBytes: number;
  /**
   * HTTP/2: streams that a client may reset, at once and each second, before its connection is closed (rapid reset
   * attack). Node's default of 33 a second is too low for a gateway whose calls run into their deadlines.
   */
  readonly resetsBurst: number;
  readonly resetsPerSecond: number;
}

export const listenerLimits: ListenerLimits = {
  firstBytesMs: 10_000,
  lastBytesMs: 500,
  lastPiecesMax: 16 * 1024,
  headMs: 10_000,
  requestMs: 120_000,
  checkMs: 2_000,
  keepAliveMs: 75_000,
  idleMs: 300_000,
  silentMs: 45_000,
  pingAnswerMs: 20_000,
  ageMs: 0,
  ageGraceMs: 300_000,
  tcpKeepAliveMs: 60_000,
  connectionsMax: 20_000,
  headBytesMax: 16 * 1024,
  streamsMax: 10_000,
  sessionMegabytesMax: 256,
  streamWindowBytes: 1024 * 1024,
  connectionWindowBytes: 8 * 1024 * 1024,
  resetsBurst: 10_000,
  resetsPerSecond: 1_000,
};
