import type { NodeRequest } from "../listener/request-handler.ts";
import { CallGate } from "./call-gate.ts";
import type { CallGates, WaitingCalls } from "./call-work.ts";
import {
  connectionWaitingCallsMax,
  connectionWorkingCallsMax,
  type LoadLimits,
  loadDefaults,
  waitingCallsMax,
  workingCallsMax,
} from "./load-limits.ts";
import { ReadingBodies } from "./reading-bodies.ts";

/** What one connection may hold, within what the process may. */
export interface ConnectionLoad {
  readonly bodies: ReadingBodies;
  readonly gates: CallGates;
}

/** What all clients of this server hold together, and each connection of it. */
export class ServerLoad {
  /** Calls between their admission and their end, open streams included. Changed in run-call.ts. */
  calls = 0;
  /** Bytes of answers that wait for clients to read, beyond the buffer of each. Changed in response-writer.ts. */
  answerBytes = 0;
  readonly #limits: LoadLimits;
  readonly #bodies: ReadingBodies;
  readonly #gate = new CallGate(workingCallsMax);
  readonly #waiting: WaitingCalls = { max: waitingCallsMax, count: 0 };
  /** By the socket of HTTP/1.1, and the session of HTTP/2. */
  readonly #connections = new WeakMap<object, ConnectionLoad>();

  constructor(limits: Partial<LoadLimits> = {}) {
    this.#limits = { ...loadDefaults, ...limits };
    this.#bodies = new ReadingBodies(this.#limits.readingBytesMax, "--max-reading-bytes");
  }

  /** Bytes of request bodies that have arrived, and whose calls don't work yet. */
  get bodyBytes(): number {
    return this.#bodies.bytes;
  }

  /** Calls that compute or wait for the storage. */
  get workingCalls(): number {
    return this.#gate.taken;
  }

  /** Calls that wait to be among these. */
  get waitingCalls(): number {
    return this.#waiting.count;
  }

  /**
   * The load of a request's connection. Without a request, on a router of the embedding application, each call has a
   * connection of its own: only the bounds of the process hold.
   */
  connectionOf(request: NodeRequest | undefined): ConnectionLoad {
    const connection = request && ("stream" in request ? request.stream.session : request.socket);
    if (connection === undefined) return this.#newConnection();
    const known = this.#connections.get(connection);
    if (known !== undefined) return known;
    const load = this.#newConnection();
    this.#connections.set(connection, load);
    return load;
  }

  #newConnection(): ConnectionLoad {
    const { connectionReadingBytesMax } = this.#limits;
    return {
      bodies: new ReadingBodies(connectionReadingBytesMax, "--max-connection-reading-bytes", this.#bodies),
      gates: {
        connection: new CallGate(connectionWorkingCallsMax),
        process: this.#gate,
        waiting: this.#waiting,
        connectionWaitingMax: connectionWaitingCallsMax,
      },
    };
  }
}
