import type { Clock } from "../../runtime/clock.ts";

/** Whether a task manager should be given work, and why not. */
export type ReadinessState = "ready" | "storage-silent" | "draining" | "replaced";

/** What an operator, or a load balancer, may ask at any time. */
export interface Readiness {
  readonly state: ReadinessState;
  /** Resolves at the next change of the state, or when the signal is aborted. Never rejects. */
  changed(signal: AbortSignal): Promise<void>;
}

/**
 * A storage that hasn't answered for this long is taken for down: ten beats, so that one that is merely slow is not.
 */
export const storageSilenceMs = 10_000;

/**
 * Ready from the first answer of the storage on, until it has been silent for too long, and again at its next answer.
 * Draining is final, and so is to be replaced by another task manager on the same database.
 *
 * The silence is a timer, set anew by every answer, and no difference of two times: a wall clock that somebody corrects
 * can't make a dead storage look alive.
 */
export class ReadinessTracker implements Readiness {
  readonly #clock: Clock;
  #state: ReadinessState = "storage-silent";
  #cancelSilence = () => {};
  readonly #waiters = new Set<() => void>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get state(): ReadinessState {
    return this.#state;
  }

  storageAnswered(): void {
    if (this.#isFinal) return;
    this.#cancelSilence();
    this.#cancelSilence = this.#clock.after(storageSilenceMs, () => this.#become("storage-silent"));
    this.#become("ready");
  }

  drain(): void {
    this.#end("draining");
  }

  replace(): void {
    this.#end("replaced");
  }

  changed(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        this.#waiters.delete(done);
        signal.removeEventListener("abort", done);
        resolve();
      };
      if (signal.aborted) return done();
      this.#waiters.add(done);
      signal.addEventListener("abort", done, { once: true });
    });
  }

  get #isFinal(): boolean {
    return this.#state === "draining" || this.#state === "replaced";
  }

  #end(state: "draining" | "replaced"): void {
    this.#cancelSilence();
    if (!this.#isFinal) this.#become(state);
  }

  #become(state: ReadinessState): void {
    if (this.#state === state) return;
    this.#state = state;
    for (const waiter of [...this.#waiters]) waiter();
  }
}
