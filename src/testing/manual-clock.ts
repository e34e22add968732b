import { setImmediate } from "node:timers/promises";
import type { Clock } from "../runtime/clock.ts";

interface Call {
  readonly dueMs: number;
  readonly callback: () => void;
}

/**
 * A clock that a test turns by hand. Callbacks run in the order they are due, those due at one time in the order they
 * were asked for. Between two of them everything that can go on without time passing does so, so that what one sets off
 * is done, and its own waits are asked for, before the next.
 */
export class ManualClock implements Clock {
  /** How far the wall clock is ahead of the monotonic one. */
  #aheadMs: number;
  #nowMs = 0;
  /** In the order they were asked for. */
  readonly #calls = new Set<Call>();

  /** Starts at an ordinary time: 0 would hide a time that was never set. */
  constructor(startMs = 1_800_000_000_000) {
    this.#aheadMs = startMs;
  }

  now(): number {
    return this.#nowMs + this.#aheadMs;
  }

  monotonic(): number {
    return this.#nowMs;
  }

  after(ms: number, callback: () => void): () => void {
    const call: Call = { dueMs: this.#nowMs + Math.max(0, ms), callback };
    this.#calls.add(call);
    return () => {
      this.#calls.delete(call);
    };
  }

  /** How many callbacks wait for their time. 0 at the end of a test means that nothing forgot to take its own back. */
  get waiting(): number {
    return this.#calls.size;
  }

  /** Milliseconds until the next callback is due; undefined if none waits. */
  get nextInMs(): number | undefined {
    const next = this.#next();
    return next === undefined ? undefined : Math.max(0, next.dueMs - this.#nowMs);
  }

  /** Sets the wall clock forward, or back, and changes nothing else: neither monotonic time nor what waits. */
  jump(ms: number): void {
    this.#aheadMs += ms;
  }

  /**
   * Lets time pass, and runs what becomes due meanwhile, also what that asks for. Resolves when all that follows from
   * it has been done.
   */
  async advance(ms: number): Promise<void> {
    const endMs = this.#nowMs + ms;
    await settle();
    for (;;) {
      const next = this.#next();
      if (next === undefined || next.dueMs > endMs) break;
      this.#calls.delete(next);
      this.#nowMs = Math.max(this.#nowMs, next.dueMs);
      next.callback();
      await settle();
    }
    this.#nowMs = Math.max(this.#nowMs, endMs);
    await settle();
  }

  /**
   * Lets time pass until the promise settles, from one callback to the next. Throws if that takes more than so much
   * time, or nothing is left to wait for.
   */
  async advanceUntil<T>(promise: Promise<T>, mostMs = 3_600_000): Promise<T> {
    let settled = false;
    const done = () => {
      settled = true;
    };
    promise.then(done, done);
    const endMs = this.#nowMs + mostMs;
    await settle();
    while (!settled) {
      const next = this.#next();
      if (next === undefined) throw new Error("The clock has nothing more to run, and the promise is still open");
      if (next.dueMs > endMs) throw new Error(`The promise is still open after ${mostMs} ms of the clock's time`);
      await this.advance(Math.max(0, next.dueMs - this.#nowMs));
    }
    return promise;
  }

  #next(): Call | undefined {
    let next: Call | undefined;
    for (const call of this.#calls) if (next === undefined || call.dueMs < next.dueMs) next = call;
    return next;
  }
}

/** Lets everything run that doesn't wait for time or the outside: all microtasks, and a few turns of the event loop. */
export async function settle(turns = 3): Promise<void> {
  for (let turn = 0; turn < turns; turn++) await setImmediate();
}
