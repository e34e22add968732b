import { type Clock, systemClock } from "../../runtime/clock.ts";
import type { NodeRequest } from "../listener/request-handler.ts";
import { AnswerBudget } from "./answer-budget.ts";
import { ByteBudget } from "./byte-budget.ts";
import { CallGate } from "./call-gate.ts";
import type { CallGates, WaitingCalls } from "./call-work.ts";
import {
  connectionWaitingCallsMax,
  connectionWorkingCallsMax,
  type LoadLimits,
  loadDefaults,
  unreadShare,
  waitingCallsMax,
  workingCallsMax,
} from "./load-limits.ts";
import { ReadingBodies } from "./reading-bodies.ts";
import { StalledAnswers } from "./stalled-answers.ts";
import { type ConnectionUnread, UnreadBytes } from "./unread-bytes.ts";

/** What one connection may hold, within what the process may. */
export interface ConnectionLoad {
  readonly bodies: ReadingBodies;
  readonly gates: CallGates;
  /** The bytes of its large answers. */
  readonly answers: ByteBudget;
  readonly unread: ConnectionUnread;
}

/** What all clients of this server hold together, and each connection of it. */
export class ServerLoad {
  /** Calls between their admission and their end, open streams included. Changed in run-call.ts. */
  calls = 0;
  /** The bytes of large answers. */
  readonly answers: AnswerBudget;
  /** Cuts answers that their clients don't take. */
  readonly stalled: StalledAnswers;
  readonly #limits: LoadLimits;
  readonly #bodies: ReadingBodies;
  readonly #unread: UnreadBytes;
  readonly #gate = new CallGate(workingCallsMax);
  readonly #waiting: WaitingCalls = { max: waitingCallsMax, count: 0 };
  /** By the socket of HTTP/1.1, and the session of HTTP/2. */
  readonly #connections = new WeakMap<object, ConnectionLoad>();

  constructor(limits: Partial<LoadLimits> = {}, clock: Clock = systemClock) {
    this.#limits = { ...loadDefaults, ...limits };
    const { readingBytesMax, answerBytesMax, connectionAnswerBytesMax } = this.#limits;
    this.#bodies = new ReadingBodies(readingBytesMax, "--max-reading-bytes");
    this.answers = new AnswerBudget(clock, answerBytesMax);
    this.#unread = new UnreadBytes(clock, answerBytesMax * unreadShare, connectionAnswerBytesMax * unreadShare);
    this.stalled = new StalledAnswers(clock, () => this.#unread.waiting > 0);
  }

  /** Written bytes of answers that their clients have not taken yet. */
  get unreadBytes(): number {
    return this.#unread.held;
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
    const { connectionReadingBytesMax, connectionAnswerBytesMax } = this.#limits;
    return {
      answers: new ByteBudget(connectionAnswerBytesMax),
      unread: this.#unread.connection(),
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
