import type { Clock } from "../../runtime/clock.ts";

/** Whether a task manager should get work, and why not. */
export type ReadinessState = "ready" | "storage-silent" | "storage-lost" | "draining" | "replaced";

/** The readiness of a task manager, for operators and load balancers. */
export interface Readiness {
  readonly state: ReadinessState;
  /** Resolves at the next change of the state, or when the signal is aborted. Never rejects. */
  changed(signal: AbortSignal): Promise<void>;
}

/** A storage without an answer for this long counts as down: ten heartbeats, so that a slow storage does not. */
export const storageSilenceMs = 10_000;

/**
 * "ready" after each answer of the storage, "storage-silent" after 10 s without one, "storage-lost" as soon as the
 * storage says that its database was removed or replaced. "draining" and "replaced" are final.
 *
 * The silence is measured by a timer, which every answer restarts, and not by two clock readings: a correction of the
 * system clock cannot make a dead storage look alive.
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

  /** The database was removed or replaced: not ready at once. The next answer of the storage makes it ready again. */
  storageLost(): void {
    if (this.#isFinal) return;
    this.#cancelSilence();
    this.#become("storage-lost");
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
