import { type Clock, systemClock } from "../runtime/clock.ts";

interface Timer {
  readonly dueMs: number;
  readonly fire: () => void;
}

/** The system's clock, which can be moved forward. What becomes due meanwhile runs at once, in order. */
export class JumpingClock implements Clock {
  #aheadMs = 0;
  readonly #timers = new Set<Timer>();

  now(): number {
    return systemClock.now() + this.#aheadMs;
  }

  monotonic(): number {
    return systemClock.monotonic() + this.#aheadMs;
  }

  after(ms: number, callback: () => void): () => void {
    const cancel = () => {
      this.#timers.delete(timer);
      cancelReal();
    };
    const timer: Timer = {
      dueMs: this.monotonic() + ms,
      fire: () => {
        cancel();
        callback();
      },
    };
    const cancelReal = systemClock.after(ms, timer.fire);
    this.#timers.add(timer);
    return cancel;
  }

  async advance(ms: number): Promise<void> {
    this.#aheadMs += ms;
    const due = [...this.#timers].filter(({ dueMs }) => dueMs <= this.monotonic());
    for (const timer of due.sort((a, b) => a.dueMs - b.dueMs)) if (this.#timers.has(timer)) timer.fire();
  }
}
