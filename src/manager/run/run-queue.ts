import { TaskError } from "../../domain/task-error.ts";

/** A place in the queue that is kept for a task while it is created. */
export interface Reservation {
  /** Gives the place back, once. */
  readonly release: () => void;
  /** Keeps the place beyond `release`. The result gives it back instead, once. */
  readonly keep: () => () => void;
}

/**
 * Places for running tasks: at most `runningMax` tasks run at once, and at most `queuedMax` wait, in order of arrival.
 * A task waits as SUBMITTED.
 *
 * Invariant: every place is given back exactly once, by the function that came with it.
 */
export class RunQueue {
  readonly #runningMax: number;
  readonly #queuedMax: number;
  #running = 0;
  /** Places kept for tasks that are being created. */
  #reserved = 0;
  #queue: { grant(): void }[] = [];

  constructor(runningMax: number, queuedMax: number) {
    this.#runningMax = runningMax;
    this.#queuedMax = queuedMax;
  }

  get running(): number {
    return this.#running;
  }

  get queued(): number {
    return this.#queue.length;
  }

  /**
   * Keeps a place for a task, running or waiting, while it is created; undefined if there is none. Called before the
   * task is created, so that a refusal leaves nothing behind.
   */
  reserve(): Reservation | undefined {
    if (this.#isFull()) return undefined;
    this.#reserved++;
    let held = true;
    const giveBack = () => {
      if (held) this.#reserved--;
      held = false;
    };
    let kept = false;
    return {
      release: () => {
        if (!kept) giveBack();
      },
      keep: () => {
        kept = true;
        return giveBack;
      },
    };
  }

  /** Throws TaskError TOO_MANY if there is no place for another task, running or waiting. */
  checkRoom(): void {
    if (this.#isFull()) throw this.tooMany();
  }

  tooMany(): TaskError {
    return new TaskError("TOO_MANY", `The queue is full (${this.#queuedMax} tasks)`);
  }

  #isFull(): boolean {
    return this.#running + this.#queue.length + this.#reserved >= this.#runningMax + this.#queuedMax;
  }

  /** Resolves to the function that gives the place back, or to undefined if the signal is aborted first. */
  async acquire(signal: AbortSignal): Promise<(() => void) | undefined> {
    if (signal.aborted) return undefined;
    if (this.#running < this.#runningMax && this.#queue.length === 0) {
      this.#running++;
      return this.#releaser();
    }
    return new Promise((resolve) => {
      const waiter = {
        grant: () => {
          signal.removeEventListener("abort", onAbort);
          this.#running++;
          resolve(this.#releaser());
        },
      };
      const onAbort = () => {
        this.#queue = this.#queue.filter((other) => other !== waiter);
        resolve(undefined);
      };
      this.#queue.push(waiter);
      signal.addEventListener("abort", onAbort, { once: true });
    });
  }

  #releaser(): () => void {
    let released = false;
    return () => {
      if (released) return;
      released = true;
      this.#running--;
      if (this.#running < this.#runningMax) this.#queue.shift()?.grant();
    };
  }
}
