import type { Caller } from "../../domain/scope.ts";
import type { Clock } from "../../runtime/clock.ts";
import type { Logger } from "../../runtime/logger.ts";
import type { Admission } from "../admission/admission.ts";
import type { AgentCardInit } from "../agent-card/capabilities.ts";
import type { BindingName } from "../binding-names.ts";
import type { CallHooks } from "./call-hooks.ts";
import type { OpenExchanges } from "./open-exchanges.ts";

/**
 * The extended card for a caller, undefined if there is none for it. The provider decides who may see it (R114);
 * callers are not authenticated yet.
 */
export type ExtendedCard = (caller: Caller) => Promise<AgentCardInit | undefined>;

/** What services and bindings need besides the manager. */
export interface CallSettings {
  /** Admits calls of the contract. `runCall` asks it before a request is parsed. */
  readonly admit: Admission;
  readonly hooks: CallHooks;
  readonly extendedCard?: ExtendedCard | undefined;
  readonly logger: Logger;
  /** For heartbeats. */
  readonly clock: Clock;
  /** The enabled protocols. */
  readonly bindings: ReadonlySet<BindingName>;
  /** The largest request body that is read, bytes. */
  readonly readBytesMax: number;
  /** The open exchanges of our own bindings, which `shutdownSignal` ends. */
  readonly openExchanges: OpenExchanges;
  /** Ends every open call when it is aborted. Its reason is a ConnectError, which clients get. */
  readonly shutdownSignal?: AbortSignal;
  /** Silence on a stream after which a heartbeat is sent, milliseconds. */
  readonly heartbeatMs: number;
}
