/** What waits at a gate. */
interface Waiter {
  /** The gate has given it the place that it waited for. */
  granted(): void;
}

/**
 * Places for calls at work. Calls beyond them wait, and get places in the order in which they came.
 *
 * Invariant: nobody waits while a place is free. A place that is given back goes to the first that waits, in the same
 * step.
 */
export class CallGate {
  readonly #placesMax: number;
  #taken = 0;
  readonly #waiting = new Set<Waiter>();

  constructor(placesMax: number) {
    this.#placesMax = placesMax;
  }

  get taken(): number {
    return this.#taken;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  /** Takes a place, if one is free. */
  enter(): boolean {
    if (this.#taken >= this.#placesMax) return false;
    this.#taken++;
    return true;
  }

  /** Waits for a place after `enter` has found none, in the same step. Who waits is bounded by the caller. */
  wait(waiter: Waiter): void {
    this.#waiting.add(waiter);
  }

  /** Gives a place back. */
  leave(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#taken--;
      return;
    }
    this.#waiting.delete(next);
    next.granted();
  }

  /** Lets a waiter wait no longer. */
  giveUp(waiter: Waiter): void {
    this.#waiting.delete(waiter);
  }
}
