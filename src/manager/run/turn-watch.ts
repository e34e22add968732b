import type { AbortReason } from "../../agent/message-processor.ts";
import type { TurnEnd } from "../../domain/decide.ts";
import type { ManagerDeps } from "../manager-deps.ts";

/**
 * Holds the time limits of one turn: the whole turn, the silence since its last event, and the grace time after its
 * signal was aborted. A turn may yield until its grace time is over; then it must be abandoned.
 */
export class TurnWatch {
  readonly #deps: ManagerDeps;
  readonly #abort: AbortController;
  readonly #isWaiting: () => boolean;
  readonly #cancelTurnTimer: () => void;
  #cancelIdleTimer: () => void;
  #cancelGraceTimer = () => {};
  #lastHeardMs: number;
  #timedOut = "";
  #isStopped = false;
  /** Ends the `untilStopped` under way. */
  #tellStopped = () => {};

  /** `isWaiting`: whether the turn waits for its client. Then its silence does not count. */
  constructor(deps: ManagerDeps, abort: AbortController, isWaiting: () => boolean) {
    const { clock, options } = deps;
    this.#isWaiting = isWaiting;
    this.#deps = deps;
    this.#abort = abort;
    this.#lastHeardMs = clock.monotonic();
    this.#cancelTurnTimer = clock.after(options.turnTimeoutMs, () =>
      this.#timeOut(`took longer than ${seconds(options.turnTimeoutMs)}`),
    );
    this.#cancelIdleTimer = clock.after(options.turnIdleTimeoutMs, this.#onIdle);
    if (abort.signal.aborted) this.#onAbort();
    else abort.signal.addEventListener("abort", this.#onAbort, { once: true });
  }

  /**
   * The result of the turn's next step, or "stopped" once the turn must be abandoned. One step at a time.
   * `Promise.race` with one long-lived promise would keep every step in memory until the turn is over.
   */
  untilStopped<T>(step: Promise<T>): Promise<T | "stopped"> {
    return new Promise((resolve, reject) => {
      this.#tellStopped = () => resolve("stopped");
      if (this.#isStopped) this.#tellStopped();
      Promise.resolve(step).then(resolve, reject);
    });
  }

  /** The turn yielded something. Cheap: the timer is restarted only when it fires. */
  heard(): void {
    this.#lastHeardMs = this.#deps.clock.monotonic();
  }

  end(): void {
    this.#cancelTurnTimer();
    this.#cancelIdleTimer();
    this.#cancelGraceTimer();
    this.#abort.signal.removeEventListener("abort", this.#onAbort);
  }

  /** The end of a turn whose signal was aborted. */
  get abortedEnd(): TurnEnd {
    const reason: AbortReason = this.#abort.signal.reason;
    switch (reason) {
      case "canceled":
        return { kind: "canceled" };
      case "timed-out":
        return { kind: "failed", text: `The agent was stopped: it ${this.#timedOut}` };
      case "lost":
      case "draining":
        return { kind: "stopped" };
      default:
        return reason satisfies never;
    }
  }

  readonly #onIdle = () => {
    const { clock, options } = this.#deps;
    if (this.#isWaiting()) this.heard();
    const silentMs = clock.monotonic() - this.#lastHeardMs;
    if (silentMs >= options.turnIdleTimeoutMs)
      this.#timeOut(`yielded nothing for ${seconds(options.turnIdleTimeoutMs)}`);
    else this.#cancelIdleTimer = clock.after(options.turnIdleTimeoutMs - silentMs, this.#onIdle);
  };

  #timeOut(why: string): void {
    if (this.#abort.signal.aborted) return;
    this.#timedOut = why;
    this.#abort.abort("timed-out" satisfies AbortReason);
  }

  readonly #onAbort = () => {
    // The turn of a lost task can append nothing more, so it has no grace time.
    if (this.#abort.signal.reason === ("lost" satisfies AbortReason)) this.#stop();
    else this.#cancelGraceTimer = this.#deps.clock.after(this.#deps.options.cancelGraceMs, this.#stop);
  };

  readonly #stop = () => {
    this.#isStopped = true;
    this.#tellStopped();
  };
}

function seconds(ms: number): string {
  return `${ms / 1000} s`;
}
