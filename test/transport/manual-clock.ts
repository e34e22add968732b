import type { Clock } from "../../src/runtime/clock.ts";

/** A clock that a test turns by hand. */
export class ManualClock implements Clock {
  #nowMs = 0;
  readonly #waiting = new Set<{ readonly dueMs: number; readonly callback: () => void }>();

  now(): number {
    return this.#nowMs;
  }

  /** Calls that are due, now or later. */
  get waiting(): number {
    return this.#waiting.size;
  }

  after(ms: number, callback: () => void): () => void {
    const call = { dueMs: this.#nowMs + ms, callback };
    this.#waiting.add(call);
    return () => this.#waiting.delete(call);
  }

  /** Calls back everything that becomes due, in its order. */
  advance(ms: number): void {
    const endMs = this.#nowMs + ms;
    for (;;) {
      const [next] = [...this.#waiting].filter(({ dueMs }) => dueMs <= endMs).sort((a, b) => a.dueMs - b.dueMs);
      if (next === undefined) break;
      this.#waiting.delete(next);
      this.#nowMs = next.dueMs;
      next.callback();
    }
    this.#nowMs = endMs;
  }
}
