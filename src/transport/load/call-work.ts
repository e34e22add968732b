import { createContextKey, type HandlerContext } from "@connectrpc/connect";
import { A2AService } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { TaskError } from "../../domain/task-error.ts";
import { untilAborted } from "../calls/deadlines.ts";
import type { CallGate } from "./call-gate.ts";

/** The gates on the way of one call: that of its connection, then that of the process. */
export interface CallGates {
  readonly connection: CallGate;
  readonly process: CallGate;
  /** The calls that wait at any gate of the process. Shared, like the gate of the process. */
  readonly waiting: WaitingCalls;
  readonly connectionWaitingMax: number;
}

export interface WaitingCalls {
  readonly max: number;
  count: number;
}

/**
 * One call on its way through the gates: it works while it computes or waits for the storage. It gives its places back
 * when that is over: earlier than its call if only an agent or a client keeps the call open, later if the client has
 * left and the storage has not answered. It never asks for a place again, so no call at work waits for one that needs a
 * place.
 *
 * States: new → at the connection's gate → at the process's gate → at work → over; every state → over.
 */
export class CallWork {
  readonly #gates: CallGates;
  readonly #signal: AbortSignal;
  #state: "new" | "connection" | "process" | "work" | "over" = "new";
  #entered: PromiseWithResolvers<void> | undefined;
  #outlives = false;

  /** The signal ends the wait: by the call's deadline, the end of the server, or a client that hangs up. */
  constructor(gates: CallGates, signal: AbortSignal) {
    this.#gates = gates;
    this.#signal = signal;
  }

  /**
   * Returns undefined if the call may work at once, else a promise that resolves when it may, or rejects with the
   * signal's reason. Throws TaskError TOO_MANY if too many calls wait already. Called once.
   */
  enter(): Promise<void> | undefined {
    const { connection, process, waiting, connectionWaitingMax } = this.#gates;
    const isFull = waiting.count >= waiting.max;
    if (connection.enter()) {
      if (process.enter()) {
        this.#state = "work";
        return undefined;
      }
      if (isFull) {
        connection.leave();
        throw tooManyWait("of all clients", waiting.max);
      }
      this.#state = "process";
      process.wait(this);
    } else {
      if (isFull) throw tooManyWait("of all clients", waiting.max);
      if (connection.waiting >= connectionWaitingMax) throw tooManyWait("of this connection", connectionWaitingMax);
      this.#state = "connection";
      connection.wait(this);
    }
    waiting.count++;
    this.#entered = Promise.withResolvers();
    this.#signal.addEventListener("abort", this.#onAbort);
    if (this.#signal.aborted) this.#onAbort();
    return this.#entered.promise;
  }

  granted(): void {
    const { process, waiting } = this.#gates;
    if (this.#state === "connection" && !process.enter()) {
      this.#state = "process";
      process.wait(this);
      return;
    }
    this.#state = "work";
    waiting.count--;
    this.#signal.removeEventListener("abort", this.#onAbort);
    this.#entered?.resolve();
  }

  /** From now on the work goes on although its call ends: until `leave`, which the work itself calls. */
  outlive(): void {
    this.#outlives = true;
  }

  /** The call is over. */
  end(): void {
    if (!this.#outlives) this.leave();
  }

  /** Gives the places back, or waits no longer for them. May be called at any time, and again. */
  leave(): void {
    const { connection, process, waiting } = this.#gates;
    const state = this.#state;
    this.#state = "over";
    if (state === "connection" || state === "process") waiting.count--;
    if (state === "connection") connection.giveUp(this);
    if (state === "process") process.giveUp(this);
    if (state === "work") process.leave();
    if (state === "process" || state === "work") connection.leave();
  }

  readonly #onAbort = () => {
    this.#signal.removeEventListener("abort", this.#onAbort);
    this.leave();
    this.#entered?.reject(this.#signal.reason);
  };
}

function tooManyWait(whose: string, max: number): TaskError {
  return new TaskError("TOO_MANY", `Too many calls wait to be worked on: ${max} ${whose} may wait`);
}

/** The work of a call, once it is admitted. Undefined for calls that never wait to work. */
export const workKey = createContextKey<CallWork | undefined>(undefined, { description: "the work of a call" });

/**
 * The work of a new call, which the context keeps. A request to cancel has none: it must come through although all
 * others wait, since it makes room.
 */
export function workOf(context: HandlerContext, gates: CallGates): CallWork | undefined {
  if (context.method === A2AService.method.cancelTask) return undefined;
  const work = new CallWork(gates, context.signal);
  context.values.set(workKey, work);
  return work;
}

/**
 * What a call does once an agent or a client alone keeps it open: it gives up its place among those at work. May be
 * called again.
 */
export function restOf({ values }: HandlerContext): () => void {
  const work = values.get(workKey);
  return () => work?.leave();
}

/** Like `untilAborted`. The call works until `call` settles, also if it is over before. */
export function workUntilAborted<T>(
  signal: AbortSignal,
  work: CallWork | undefined,
  call: () => Promise<T>,
): Promise<T> {
  work?.outlive();
  return untilAborted(signal, call, () => work?.leave());
}
