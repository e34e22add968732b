/** Bounds of one port, with the reason for each. Times in milliseconds, sizes in bytes. */
export interface PortLimits {
  /**
   * From the beginning of a connection to the bytes that tell its protocol: one byte of HTTP/1.1, the whole preface of
   * HTTP/2. A client speaks first in both, so whoever is silent for longer only holds a socket. TLS has as long again
   * for its handshake.
   */
  readonly firstBytesMs: number;
  /**
   * When the port closes: what is left of a request that is answered already is waited for no longer than this, so that
   * its answer gets out.
   */
  readonly lastBytesMs: number;
  /** HTTP/1.1: to the end of a request's head. Slowloris sends it one byte at a time. */
  readonly headMs: number;
  /**
   * To the end of a request, body included; the largest one over a slow line. Over HTTP/1.1 it ends with the request,
   * so it never cuts an answer that streams; over HTTP/2 it ends with the answer's beginning as well, since a stream in
   * both directions has no end to its request.
   */
  readonly requestMs: number;
  /** HTTP/1.1: how often those two are looked at. */
  readonly checkMs: number;
  /**
   * HTTP/1.1: an idle connection is kept this long, longer than load balancers keep theirs (60 s), or they send into a
   * connection that is just being closed.
   */
  readonly keepAliveMs: number;
  /**
   * HTTP/2: a connection without a request is closed by GOAWAY after this long. Clients open another one when they need
   * it.
   */
  readonly idleMs: number;
  /**
   * HTTP/2: after so long without a byte from a client it is asked by a PING whether it is still there. Below the
   * minute or so after which the strictest of the usual NATs and load balancers forget a silent line.
   */
  readonly silentMs: number;
  /**
   * HTTP/2: a client that sends nothing for so long after that is cut off. What gRPC itself allows for the answer to a
   * PING.
   */
  readonly pingAnswerMs: number;
  /**
   * A connection of this age, give or take a tenth, takes no more requests: GOAWAY, or `connection: close`. 0: any age.
   * So that clients find new servers by and by.
   */
  readonly ageMs: number;
  /** What is open on it then is cut after this long. */
  readonly ageGraceMs: number;
  /**
   * Lines that are idle but open are asked by TCP after this long whether the other side still is: long streams are
   * silent for hours.
   */
  readonly tcpKeepAliveMs: number;
  /** Connections at once; more are refused. Some 20 KiB each, so that all of them fit in memory. */
  readonly connectionsMax: number;
  /** The head of a request: what common proxies let through. */
  readonly headBytesMax: number;
  /**
   * HTTP/2: requests at once on one connection. A gRPC client keeps one connection and waits beyond the bound, and
   * streams last for hours: too low a bound would be a deadlock for it.
   */
  readonly streamsMax: number;
  /**
   * HTTP/2: what Node may hold for one connection, all its streams together, in MB. Its default of 10 refuses streams
   * long before `streamsMax`.
   */
  readonly sessionMegabytesMax: number;
  /**
   * HTTP/2: what a client may send on one stream, and on the connection, before it hears that it was read. The
   * protocol's own 64 KiB are a wait per round trip.
   */
  readonly streamWindowBytes: number;
  readonly connectionWindowBytes: number;
  /**
   * HTTP/2: streams that a client may reset, at once and each second, before its connection is closed (the rapid reset
   * attack). Node's 33 a second are fewer than a gateway resets whose calls run into their deadlines.
   */
  readonly resetsBurst: number;
  readonly resetsPerSecond: number;
}

export const portLimits: PortLimits = {
  firstBytesMs: 10_000,
  lastBytesMs: 500,
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
