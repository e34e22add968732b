import type { MessageProcessor } from "../agent/message-processor.ts";
import type { ManagerOptions } from "../manager/options.ts";
import type { Logger } from "../runtime/logger.ts";
import type { Storage } from "../storage/storage.ts";
import type { VersionMode } from "../transport/admission/a2a-version.ts";
import type { AgentCardInit } from "../transport/agent-card/capabilities.ts";
import type { CardKeyText } from "../transport/agent-card/card-key.ts";
import type { BindingName } from "../transport/binding-names.ts";
import type { ListenerOptions } from "../transport/listener/listener.ts";

/** What a handler is made of. Every group and every field has a default, except the processor and the storage. */
export interface HandlerOptions {
  readonly processor: MessageProcessor;
  /** Stays the caller's: disposing the handler or the server doesn't dispose it. */
  readonly storage: Storage;
  readonly logger?: Logger | undefined;
  readonly manager?: ManagerOptions | undefined;
  readonly card?: CardOptions | undefined;
  readonly calls?: CallOptions | undefined;
  readonly origins?: OriginOptions | undefined;
  /**
   * Where clients reach the server, as its card says: its origin, and a path if a proxy puts one before it. Default:
   * the address it listens on.
   */
  readonly publicUrl?: URL | undefined;
  /**
   * The path below which a host serves the handler, such as `/a2a`, for hosts that leave it in the requests' paths
   * (Fastify, Next, Bun, Deno). Requests for other paths get 404. Hosts that strip it (Express' `use`, Hono's `mount`)
   * need none. Default: none. The card's address is `publicUrl` or that of `publish`, path included.
   */
  readonly pathPrefix?: string | undefined;
  /**
   * Serves what is meant for authenticated callers to everybody who reaches the port: callers are not authenticated
   * yet. Default false.
   */
  readonly allowAnonymous?: boolean | undefined;
  /**
   * How long running turns may go on after the drain begins, milliseconds. Later they are aborted, and the next server
   * takes them up. 0: they are aborted at once. Default 15 s.
   */
  readonly drainTurnsMs?: number | undefined;
  /**
   * How long open calls may go on after that, milliseconds. Later they end with UNAVAILABLE. Default 10 s.
   */
  readonly drainTimeoutMs?: number | undefined;
}

/** A handler and the port in front of it. */
export interface ServerOptions extends HandlerOptions {
  readonly listener?: ServerListenerOptions | undefined;
}

/** The agent card and its signatures. */
export interface CardOptions {
  /** The agent's card. Replaces the processor's; missing members are filled in. */
  readonly agent?: AgentCardInit | undefined;
  /** The extended card. It needs `allowAnonymous`. */
  readonly extended?: AgentCardInit | undefined;
  /** Each key signs the cards. Default: none. */
  readonly keys?: readonly CardKeyText[] | undefined;
  /** Where verifiers find the public keys, for the signatures' `jku`. */
  readonly keysUrl?: URL | undefined;
}

/** Which calls are served, and how. */
export interface CallOptions {
  /** The enabled protocols. Default: all. */
  readonly bindings?: readonly BindingName[] | undefined;
  /**
   * How an A2A call without a version is taken: as 0.3 and rejected ("strict"), or as 1.0 ("lenient"). Default
   * "strict".
   */
  readonly a2aVersion?: VersionMode | undefined;
  /** Silence on a stream after which a heartbeat is sent, milliseconds. Default 25 s. */
  readonly heartbeatMs?: number | undefined;
  /**
   * Bytes of request bodies that are being read, of all connections. Beyond it the newest requests are rejected with
   * RESOURCE_EXHAUSTED. Default 512 MiB.
   */
  readonly maxReadingBytes?: number | undefined;
  /** The same of one connection. At least the largest request, or that is never accepted. Default 64 MiB. */
  readonly maxConnectionReadingBytes?: number | undefined;
  /**
   * Bytes that large answers may hold while they wait for their clients, those of one task once. Others wait 10 s for
   * room and are then rejected with RESOURCE_EXHAUSTED. A single larger answer passes alone. Default 512 MiB.
   */
  readonly maxAnswerBytes?: number | undefined;
  /** The same for the answers on one connection. Default 64 MiB. */
  readonly maxConnectionAnswerBytes?: number | undefined;
}

/** Requests of browsers: which pages may call, and under which names the server may be reached. */
export interface OriginOptions {
  /**
   * Origins whose pages may call, such as `https://example.com`; `*`: all. Default: none. Requests from other origins
   * are rejected with 403.
   */
  readonly allowed?: readonly string[] | undefined;
  /**
   * Only names of this machine, and that of `publicUrl`, are accepted as `Host`, against DNS rebinding. Default: true
   * without `allowAnonymous`. `createServer` sets it for loopback addresses only.
   */
  readonly localNamesOnly?: boolean | undefined;
}

/** The port. */
export interface ServerListenerOptions {
  /** Default 127.0.0.1: reachable from this machine only. */
  readonly host?: string | undefined;
  /** Default 8080; 0: any free port. */
  readonly port?: number | undefined;
  /** Certificate chain and private key, PEM. With them the port speaks TLS only. */
  readonly tls?: ListenerOptions["tls"] | undefined;
  /** A connection of this age, milliseconds, takes no more calls: GOAWAY. Default 0: any age. */
  readonly maxConnectionAgeMs?: number | undefined;
  /** Calls that are still open on it are ended after this time, milliseconds. Default 5 min. */
  readonly maxConnectionAgeGraceMs?: number | undefined;
}
